package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// Made here and not written down, so that no line of this file is one. They open nothing.
var (
	aKey   = seal("acme_test_0123456789AB" + strings.Repeat("Qz7", 10))
	aToken = strings.Repeat("aB3cD4eF5gH6iJ7kL8mN9", 2) + "x"
	aHash  = "$argon2id$" + "v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"
	aJWT   = part(`{"alg":"none"}`) + "." + part(`{"sub":"usr_1"}`) + "." + part("a signature of it")
	aPEM   = "-----BEGIN EC " + "PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----"
)

func part(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// seal finds the checksum that isKey takes, by the rule and not by its code.
func seal(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	crc := ^uint32(0)
	for _, b := range []byte(text) {
		crc ^= uint32(b)
		for range 8 {
			crc = crc>>1 ^ 0xedb88320&-(crc&1)
		}
	}
	n, end := ^crc, ""
	for range 6 {
		end = string(digits[n%62]) + end
		n /= 62
	}
	return text + end
}

func TestCanary_FindsAndMasksSecrets(t *testing.T) {
	for what, tc := range map[string]struct{ secret, part string }{
		"API key":       {aKey, "Qz7Qz7"},
		"token":         {aToken, "7kL8mN9a"},
		"password hash": {aHash, "c2FsdHNh"},
		"JWT":           {aJWT, part(`{"sub":"usr_1"}`)},
		"private key":   {aPEM, "MHcCAQEEIB"},
		"pepper":        {"PEPPER-" + "a-PEPPER-a", "PEPPER-"},
	} {
		for _, around := range []string{"%s", "before %s after\nand a line", "{\"k\":\"%s\"}", "k=%s&x", "\\n%s\\n", "https://x.example/%s", "<%s>", "\x00%s\xff", "%[1]s %[1]s", "(%s)", "Bearer %s\r\n"} {
			text := fmt.Sprintf(around, tc.secret)
			found, safe := canary(text)
			if len(found) != 1 || strings.Contains(safe, tc.part) || !strings.Contains(found[0], "["+what+", masked]") || strings.Contains(found[0], tc.part) {
				t.Errorf("%s in %q: %q, %q", what, around, found, safe)
			}
		}
	}
	for what, text := range map[string]string{
		"a published key":      "key " + published[0] + " n" + published[1] + " " + published[2],
		"a wrong checksum":     aKey[:len(aKey)-1] + "~",
		"a key with a typo":    strings.Replace(aKey, "Qz7", "Qz8", 1),
		"the form of a key":    "<brand>_<env>_<id><secret><crc> ^[a-z][a-z0-9]{1,15}_[a-z]{2,8}_[0-9A-Za-z]{48}$",
		"a name of 43 letters": "TestLeakedRevokesTheKeyAndNotesItOnceAtOnce",
		"a hash in hex":        strings.Repeat("0a1b2c3d", 8),
		"a longer word":        aToken + "9",
		"an id":                "acc_" + strings.ToLower(aToken[:26]) + " key 0123456789AB",
		"three dots":           "eyJ.x.y www.example.com",
		"a public key":         "-----BEGIN PUBLIC KEY-----\nMFkw",
	} {
		if found, safe := canary(text); len(found) != 0 || safe != text {
			t.Errorf("%s: %q, %q", what, found, safe)
		}
	}
}

func TestTest_APrintedSecretFailsAndIsMasked(t *testing.T) {
	long := strings.Repeat("x", 4000) + " "
	dir := module(t, map[string]string{
		"passes": fmt.Sprintf("func TestA(t *testing.T) { t.Log(%q) }", aKey),
		"prints": fmt.Sprintf("func TestA(t *testing.T) { println(%q); os.Stdout.WriteString(%q) }", aHash, long+aKey+"\n"),
		"fails":  fmt.Sprintf("func TestA(t *testing.T) { t.Run(%q, func(t *testing.T) { t.Error(%q) }) }", aKey, aJWT),
		"skips":  fmt.Sprintf("func TestA(t *testing.T) { t.Skip(%q) }", aKey),
		"panics": fmt.Sprintf("func TestA(t *testing.T) { panic(%q) }", aKey),
		"last":   fmt.Sprintf("func TestMain(m *testing.M) { m.Run(); println(%q) }; func TestA(t *testing.T) {}", aKey),
		"fine":   "func TestA(t *testing.T) {}",
	})
	var out bytes.Buffer
	got := test(t.Context(), &out, dir, []string{"./..."})
	if got.passed != 4 || got.failed != 11 || got.skipped != 1 || got.exit(false) != 1 {
		t.Errorf("got %v", got)
	}
	for _, part := range []string{"Qz7Qz7", "c2FsdHNh", part(`{"sub":"usr_1"}`)} {
		if strings.Contains(out.String(), part) {
			t.Errorf("%s shows in\n%s", part, &out)
		}
	}
	for _, want := range []string{"FAIL example/passes TestA prints a secret", "FAIL example/last prints a secret", "ok   example/fine", "FAIL example/passes  1 passed, 1 failed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}
