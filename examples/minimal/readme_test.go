package main

import (
	"os"
	"strings"
	"testing"
)

func TestReadme_ShowsThisProgramAsItIs(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(source), "package main\n")
	if at < 0 {
		t.Fatal("main.go has no package clause")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "\n```go\n"+string(source[at:])+"```\n") {
		t.Error("README.md shows another program than examples/minimal/main.go: copy it from \"package main\" on")
	}
}
