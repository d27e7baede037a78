package tokens

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// The examples of RFC 7515, appendices A.2 and A.3, and RFC 8037, appendix A.4.
func TestJWK_VerifiesTheExamplesOfTheRFCs(t *testing.T) {
	const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	for _, tc := range []struct{ what, key, algorithm, text, signature string }{
		{
			"RFC 7515, A.2", `{"kty":"RSA","kid":"x","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}`,
			"RS256", "eyJhbGciOiJSUzI1NiJ9." + joe,
			"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
		},
		{
			"RFC 7515, A.3", `{"kty":"EC","kid":"x","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			"ES256", "eyJhbGciOiJFUzI1NiJ9." + joe,
			"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
		},
		{
			"RFC 8037, A.4", `{"kty":"OKP","kid":"x","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"EdDSA", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
			"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
		},
	} {
		var k jwk
		if err := json.Unmarshal([]byte(tc.key), &k); err != nil {
			t.Fatal(err)
		}
		v, ok := k.verifier()
		sum, ok2 := octets(tc.signature)
		if !ok || !ok2 || v.algorithms[0] != tc.algorithm {
			t.Fatalf("%s: %t %t %v", tc.what, ok, ok2, v.algorithms)
		}
		method := jwt.GetSigningMethod(tc.algorithm)
		if err := method.Verify(tc.text, sum, v.key); err != nil {
			t.Errorf("%s: %v", tc.what, err)
		}
		sum[3] ^= 1
		if method.Verify(tc.text, sum, v.key) == nil {
			t.Errorf("%s: another signature is taken", tc.what)
		}
	}
}

func TestJWK_LeavesOutWhatVerifiesNothing(t *testing.T) {
	const (
		x = `"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"`
		y = `"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	)
	ec := `{"kid":"x","kty":"EC","crv":"P-256",` + x + `,` + y
	rsa := func(n, e string) string { return `{"kid":"x","kty":"RSA","n":"` + n + `","e":"` + e + `"}` }
	n := strings.Repeat("_", 341) // and two bits more
	for key, want := range map[string]int{
		ec + `}`:                                           1,
		ec + `,"use":"sig","alg":"ES256"}`:                 1,
		ec + `,"key_ops":["verify"]}`:                      1,
		ec + `,"use":"enc"}`:                               0,
		ec + `,"key_ops":["sign"]}`:                        0,
		ec + `,"alg":"ES384"}`:                             0,
		ec + `,"alg":"none"}`:                              0,
		ec + `,"kid":""}`:                                  0,
		ec + `,"kid":7}`:                                   0,
		ec + `,"crv":"P-384"}`:                             0,
		ec + `,"crv":"secp256k1"}`:                         0,
		ec + `,` + strings.Replace(x, "f8", "e8", 1) + `}`: 0, // a point that is not on the curve
		ec + `,"x":"AAAA"}`:                                0,
		ec + `,"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVE=="}`: 0,
		`{"kid":"x","kty":"OKP","crv":"X25519",` + x + `}`:          0,
		`{"kid":"x","kty":"OKP","crv":"Ed25519","x":"AAAA"}`:        0,
		`{"kid":"x","kty":"oct","k":"AAAA"}`:                        0,
		`{"kid":"x"}`:                                               0, `[]`: 0, `null`: 0, `7`: 0,
		rsa(n+"w", "AQAB"):                       1, // 2048 bits
		rsa(n+"g", "AQAB"):                       0, // even
		rsa(n+"8", "AQAB"):                       0, // bits that belong to nothing
		rsa(strings.Repeat("_", 340), "AQAB"):    0, // 2040 bits
		rsa(strings.Repeat("_", 344), "AQAB"):    1, // 2064 bits
		rsa(strings.Repeat("_", 344), "AQ"):      0, // 1
		rsa(strings.Repeat("_", 344), "AQAC"):    0, // even
		rsa(strings.Repeat("_", 344), "AQAAAAE"): 0, // more than 31 bits
		rsa(strings.Repeat("_", 344), ""):        0,
		rsa(strings.Repeat("_", 1368), "AQAB"):   0, // 8208 bits
		rsa("", "AQAB"):                          0,
	} {
		keys, err := parseSet([]byte(`{"keys":[` + key + `]}`))
		if err != nil || len(keys["x"]) != want || len(keys) != want {
			t.Errorf("%s: %d keys, %v", key, len(keys), err)
		}
	}
}
