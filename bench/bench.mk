# Benchmarks against stock etcd; included by the root Makefile. See bench/doc.go.

.PHONY: bench bench-short bench-report bench-test
BENCHFLAGS ?=

bench: ## detcd and stock etcd under the same load, side by side (about 15 minutes)
	cd bench && go run . $(BENCHFLAGS)

bench-short: ## the same in about 5 minutes: a look, not a result
	cd bench && go run . -short $(BENCHFLAGS)

bench-report: ## the same as bench, and docs/benchmarks.md written from it
	cd bench && go run . -report ../docs/benchmarks.md $(BENCHFLAGS)

bench-test: ## tests of the load generator
	cd bench && go vet ./... && go test ./...
