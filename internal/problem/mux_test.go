package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/quitrent/quitrent/internal/problem"
)

func mux() *problem.Mux {
	var m problem.Mux // the zero value works
	say := func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", r.Pattern, r.PathValue("id"))
	}
	m.HandleFunc("GET /keys/{id}", say)
	m.HandleFunc("DELETE /keys/{id}", say)
	m.Handle("POST /keys", http.HandlerFunc(say))
	m.HandleFunc("GET /files/", say)
	return &m
}

func TestMux_RunsWhatMatches(t *testing.T) {
	for request, want := range map[string]string{
		"GET /keys/7":     "GET /keys/{id} 7",
		"HEAD /keys/7":    "GET /keys/{id} 7",
		"DELETE /keys/7":  "DELETE /keys/{id} 7",
		"POST /keys":      "POST /keys ",
		"GET /files/a/b":  "GET /files/ ",
		"GET /keys/a%2Fb": "GET /keys/{id} a/b",
	} {
		method, target, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		mux().ServeHTTP(w, httptest.NewRequest(method, target, nil))
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %q", request, w.Code, w.Body)
		}
	}
}

func TestMux_WhatMatchesNothingIsAProblem(t *testing.T) {
	for _, tc := range []struct {
		method, target string
		status         int
		code, allow    string
	}{
		{"GET", "/nowhere", 404, "not_found", ""},
		{"GET", "/", 404, "not_found", ""},
		{"GET", "/keys/7/more", 404, "not_found", ""},
		{"POST", "/keys/7", 405, "method_not_allowed", "DELETE, GET, HEAD"},
		{"GET", "/keys", 405, "method_not_allowed", "POST"},
		{"OPTIONS", "/keys", 405, "method_not_allowed", "POST"},
	} {
		w := httptest.NewRecorder()
		mux().ServeHTTP(w, httptest.NewRequest(tc.method, tc.target, nil))
		var body struct{ Code string }
		err := json.Unmarshal(w.Body.Bytes(), &body)
		h := w.Header()
		if err != nil || w.Code != tc.status || body.Code != tc.code || h.Get("Allow") != tc.allow || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %v %s", tc.method, tc.target, w.Code, h, w.Body)
		}
	}
}

func TestMux_RedirectsAsServeMuxDoes(t *testing.T) {
	for target, want := range map[string]string{"/files": "/files/", "//keys//7": "/keys/7", "//nowhere": "/nowhere"} {
		w := httptest.NewRecorder()
		mux().ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		if got := w.Header().Get("Location"); w.Code != http.StatusTemporaryRedirect || got != want {
			t.Errorf("%s: %d to %q", target, w.Code, got)
		}
	}
}

func TestMux_AsksOnError(t *testing.T) {
	m := mux()
	var got error
	m.OnError = func(w http.ResponseWriter, _ *http.Request, err error) {
		got = err
		w.WriteHeader(http.StatusTeapot)
	}
	for target, want := range map[string]error{"/nowhere": problem.ErrNotFound, "/keys": problem.ErrMethod} {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		if !errors.Is(got, want) || w.Code != http.StatusTeapot {
			t.Errorf("%s: %v, %d", target, got, w.Code)
		}
	}
}

func TestMux_AnAsteriskIsNoPath(t *testing.T) {
	r := httptest.NewRequest("OPTIONS", "/", nil)
	r.RequestURI = "*"
	w := httptest.NewRecorder()
	mux().ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
