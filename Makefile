# belljar: run AI agents under glass. `make help` lists what there is.
export CGO_ENABLED ?= 0
GO       ?= go
GOFLAGS_BUILD = -ldflags "-s -w"
TESTBED  ?= /opt/belljar-testbed
PKGS     ?= ./...

.PHONY: help deps demo build test check light ablation race bench benchdeps fuzz soak man clean
help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

deps: ## install what the tests need (root: Debian packages, four agents from npm)
	sh .ci/deps $(TESTBED)

build: bin/belljar ## build bin/belljar, one static binary

bin/belljar: FORCE
	$(GO) build $(GOFLAGS_BUILD) -o $@ ./cmd/belljar
FORCE:

demo: build ## build, then run the main job here and show what a sandbox sees
	sh docs/demo.sh bin/belljar

test: ## all tests
	@test "$$BELLJAR_USER_RUN" != follows || echo "left to the ordinary user's run that follows: what needs only-run (internal/testenv)"
	$(GO) vet ./...
	$(GO) test -timeout 20m $(PKGS)

check: ## formatting, vet, staticcheck, repository guards
	test -z "$$($(GO)fmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks "all,-ST1000,-ST1003" ./...

# Not again for the other tier: what starts no sandbox, or is decided before one starts.
TIERLESS = 'StructuralGitControl|^Test(Words|HelpNamesOnlyWhatIsThere|WorkspaceRefused|HostileProjectPolicy|AgentFound)$$'
light: ## the end-to-end tests on the tier that shares the host's kernel
	BELLJAR_TEST_TIER=native $(GO) test -timeout 15m -skip $(TIERLESS) ./internal/e2e

ablation: ## belljar verify must go red, by name, for each layer of enforcement that is switched off
	$(GO) test -tags ablation -run TestAblation -timeout 15m ./verify

race: ## the race detector on what runs many goroutines
	CGO_ENABLED=1 $(GO) test -race -short -timeout 15m ./api ./approval ./credential ./event ./gateway/... ./keeper ./limit ./notify ./sandbox ./ssh ./terminal

benchdeps: ## install what bench compares with (root: Debian packages; two minutes, once)
	sh .ci/benchdeps $(TESTBED)/runsc

bench: build ## the design's table of speed: both sides in one run, ratios
	$(GO) build -o bin/bench ./internal/bench
	$(GO) build $(GOFLAGS_BUILD) -tags ablation -o bin/belljar-ablation ./cmd/belljar
	BELLJAR_BENCH_ABLATION=bin/belljar-ablation BELLJAR_BENCH_LIBRARY=$${BELLJAR_BENCH_LIBRARY:-$(wildcard $(TESTBED)/runsc)} bin/bench bin/belljar $(ROWS)

FUZZTIME ?= 20s
fuzz: ## every fuzz target for FUZZTIME
	sh .ci/fuzz $(FUZZTIME)

soak: build ## the large counts: kill -9, ten thousand starts, long fuzzing
	BELLJAR_SOAK=1 $(GO) test -timeout 6h -count=1 -v ./internal/e2e ./policy ./event
	BELLJAR_SOAK=1 $(GO) test -timeout 3h -count=1 ./gateway ./keeper
	BELLJAR_SOAK=1 $(GO) test -timeout 6h -count=1 ./workspace ./workspace/view
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./workspace/view
	sh .ci/fuzz 10m

man: build ## man pages in man/
	bin/belljar man man

clean: ## remove what was built
	rm -rf bin man
