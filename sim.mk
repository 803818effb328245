# The simulator's targets; included by the root Makefile.

SEED      ?= 42
SEEDS     ?= 1000
# Seeds whose fingerprints must agree on every platform.
WASM_SEEDS ?= 1 3 7 19 32 42
JS_EXEC   := $(shell $(GO) env GOROOT)/lib/wasm/go_js_wasm_exec

sim: ## run one seed (SEED=42)
	$(GO) test ./sim -seed=$(SEED)

sim-test: ## the fixed set of seeds, natively
	$(GO) test ./sim/...

soak: ## many seeds on all cores (SEEDS=1000)
	$(GO) run ./cmd/detcd-sim -seeds=$(SEEDS)

$(BIN)/wasm: FORCE
	@mkdir -p $(BIN)/wasm
	$(GO) build -o $(BIN)/wasm/detcd-sim ./cmd/detcd-sim
	$(GO) build -o $(BIN)/wasm/wasmrun ./cmd/wasmrun
	GOOS=wasip1 GOARCH=wasm $(GO) build -o $(BIN)/wasm/detcd-sim.wasi.wasm ./cmd/detcd-sim
	GOOS=js GOARCH=wasm $(GO) build -o $(BIN)/wasm/detcd-sim.js.wasm ./cmd/detcd-sim

sim-wasm: $(BIN)/wasm ## run one seed natively, in wasip1 under wazero, and in js under node (SEED=42)
	@$(MAKE) --no-print-directory sim-wasm-compare WASM_SEEDS="$(SEED)"

sim-wasm-test: $(BIN)/wasm ## compare the fingerprints of some seeds on the three platforms
	@$(MAKE) --no-print-directory sim-wasm-compare

sim-wasm-compare:
	@for s in $(WASM_SEEDS); do \
	  n=$$($(BIN)/wasm/detcd-sim -seed=$$s) || { echo "$$n"; exit 1; }; \
	  w=$$($(BIN)/wasm/wasmrun $(BIN)/wasm/detcd-sim.wasi.wasm -seed=$$s) || { echo "$$w"; exit 1; }; \
	  j=$$($(JS_EXEC) $(BIN)/wasm/detcd-sim.js.wasm -seed=$$s) || { echo "$$j"; exit 1; }; \
	  echo "native $$n"; \
	  for o in "wasip1 $$w" "js $$j"; do \
	    if [ "$${o#* }" = "$$n" ]; then echo "$${o%% *} the same"; else \
	      echo "$$o"; echo "seed $$s differs; write traces with -trace on both and compare them: detcd-sim diff A B"; exit 1; fi; done; done

canary: ## a build with a planted bug, which the simulator must catch
	@if out=$$($(GO) run -tags canary ./cmd/detcd-sim -seeds=100 2>&1); then echo "the canary was not caught: the checks check nothing"; exit 1; \
	else echo "$$out" | grep -m1 'result=FAILED' || { echo "$$out"; echo "the canary failed for another reason"; exit 1; }; fi

mutants: ## put known bugs back, one at a time; each must be caught
	$(GO) run ./sim/mutants

FORCE:
.PHONY: sim sim-test soak sim-wasm sim-wasm-test sim-wasm-compare canary mutants FORCE
