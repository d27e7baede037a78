# make test    everything, with PostgreSQL, PgBouncer and Redis, under the race detector
# make lint    the rules of .golangci.yml and internal/sqltext, vet, gofmt, a tidy go.mod
# make fuzz    every fuzz test for FUZZTIME (30s)
#
# make test PKG=./credits/... ARGS='-run TestM14 -v'   a part of it
# go test ./...                                        what needs no set-up

SHELL := bash
.SHELLFLAGS := -o pipefail -ec
.PHONY: test lint fuzz

GOLANGCI := v2.15.0
LINTER := .cache/golangci-lint-$(GOLANGCI)
FUZZTIME ?= 30s

# The root and the modules nested in it, whose folders hold a go.mod.
MODULES := $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path './.*/*' -not -path '*/testdata/*'))

test:
	@go build -o .cache/testrun ./internal/testrun
	@.cache/testrun $(ARGS) $(PKG)

# Every check runs, and any of them fails the whole.
lint: $(LINTER)
	@go build -o .cache/sqltext ./internal/sqltext
	@bad=$$(find . -name '*.go' -not -path './.cache/*' -print0 | xargs -0 gofmt -l); \
	failed=; \
	.cache/sqltext || failed=1; \
	if [ -n "$$bad" ]; then failed=1; echo "gofmt is due for:"; echo "$$bad"; fi; \
	for m in $(MODULES); do \
	  echo "lint $$m"; \
	  go -C $$m mod tidy -diff || failed=1; \
	  go -C $$m vet ./... || failed=1; \
	  (cd $$m && $(CURDIR)/$(LINTER) run --config $(CURDIR)/.golangci.yml ./...) || failed=1; \
	done; \
	test -z "$$failed"

# Built from source in a folder of its own, so that it does not meet our go.mod.
$(LINTER):
	@mkdir -p .cache/bin
	@echo "building golangci-lint $(GOLANGCI)"
	@cd .cache/bin && GOBIN=$(CURDIR)/.cache/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	@mv .cache/bin/golangci-lint $@

fuzz:
	@go test -list '^Fuzz' ./... | awk '/^Fuzz/ {f[n++] = $$1} /^ok/ {for (i = 0; i < n; i++) print $$2, f[i]; n = 0}' | \
	while read -r pkg name; do \
	  echo "fuzz $$pkg $$name"; \
	  go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null; \
	done
