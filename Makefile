# Every check that CI makes is a target here; .ci/run only calls them.
GO      ?= go
BIN     := bin
# What detcd --version shows (cmd/detcd/version.go), also where Go is told to look at no repository (-buildvcs=false).
COMMIT  ?= $(shell git describe --always --dirty --abbrev=7 --exclude='*' 2>/dev/null)
LDFLAGS := -X main.commit=$(COMMIT)

# The rooms that must build wherever Go code of this kind is run, and where the binaries must.
PURE_ROOMS    := ./node/... ./statemachine/... ./sim/... ./linearizability/...
PURE_TARGETS  := linux/amd64 darwin/arm64 windows/amd64 wasip1/wasm js/wasm
BINARY_TARGETS := linux/amd64 linux/arm64 darwin/arm64 windows/amd64

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

build: ## build the binaries into ./bin
	$(GO) build -ldflags "$(LDFLAGS)" -o $(BIN)/ ./cmd/...

run: ## start one member on 127.0.0.1:2379, data in ./default.etcd (ARGS="--flag …" for more)
	$(GO) build -ldflags "$(LDFLAGS)" -o $(BIN)/detcd ./cmd/detcd
	exec $(BIN)/detcd $(ARGS)

test: check unit race sim-test sim-wasm-test canary ## all that CI runs, under 12 minutes on 2 cores

check: ## format, vet, staticcheck, import arrows, cross builds (about a minute when warm)
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt-clean:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test .
	@$(MAKE) --no-print-directory cross

cross: ## build for every system that is promised
	@for t in $(PURE_TARGETS); do echo "build the rooms for $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build $(PURE_ROOMS) || exit 1; done
	@for t in $(BINARY_TARGETS); do echo "build the binaries for $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/detcd && GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/detcdctl || exit 1; done

UNIT := $$($(GO) list ./... | grep -v -e /sim$$ -e /bench)

unit: ## tests of all packages, end-to-end tests included, without the simulator's seeds
	$(GO) test -timeout 8m $(UNIT)

e2e: ## the end-to-end tests alone (E2E=full for the long forms; SERVER=/path/to/etcd asks the same of stock etcd)
	DETCD_E2E=$(E2E) DETCD_E2E_SERVER=$(SERVER) $(GO) test -count=1 -timeout 40m ./netio/e2e

race: ## the concurrent parts under the race detector
	$(GO) test -race -timeout 6m ./netio/driver/... ./netio/transport/... ./netio/door/... ./netio/server/... ./statemachine/... ./node/watch/...

include sim.mk
include bench/bench.mk

clean: ## remove what was built and what tests left
	rm -rf $(BIN) tmp

.PHONY: help build run test check cross unit e2e race clean
