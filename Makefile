# giouring reaches for a symbol of the standard library that Go 1.23 and later refuse to link without this flag. It is set here,
# and nowhere else: every target, CI and the release build go through this file.
export GOFLAGS := -ldflags=-checklinkname=0

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.1
FUZZTIME    ?= 10s
SEEDS       ?= 200
KILLS       ?= 5
SEED        ?= 1
MINUTES     ?= 55
SHORT       ?= false
FROM        ?= clock
BENCH       ?= .
COUNT       ?= 1
BENCHTIME   ?= 1s

.PHONY: build dev test vet race race-long planted invariants fuzz sim sim-long cluster cluster-seed cluster-long interop cluster-real-long \
	bench bench-compare cross release package-test clean

build: ## bin/ledger, pure Go
	CGO_ENABLED=0 $(GO) build -o bin/ledger ./cmd/ledger

dev: build ## a development server on 127.0.0.1:3001; with REPLICAS=3, a cluster of three processes
	bin/ledger dev $(if $(REPLICAS),--replicas=$(REPLICAS))

test: build ## all tests of this module; many wait for processes, so more packages than cores run at a time
	$(GO) test -p 4 -timeout 40m ./...

vet: ## formatting, vet, staticcheck
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

race: ## the race detector: where threads meet, the forest, and two seeds of the simulator, which run side by side
	$(GO) test -race -short -timeout 40m ./ring $(shell $(GO) list ./internal/... | grep -v internal/lint) ./affinity ./replica ./metrics ./admin ./client/... ./storage/forest ./stages/...
	$(GO) test -race ./sim -run '^TestSeeds$$' -count=1 -seeds=2

race-long: ## the race detector over all, with seeds of the clock: for nightly runs
	LEDGER_SEED=clock $(GO) test -race -timeout 4h ./...

planted: ## all planted bugs, of which a run of the tests takes a quarter: for nightly runs and after large changes
	LEDGER_PLANTED_ALL=1 $(GO) test -p 2 -timeout 60m -run '^TestPlanted' ./clock ./peer ./sim ./stages/... ./vsr

invariants: ## the costly checks, which only this build tag has
	$(GO) test -tags invariants -short ./storage/forest ./stages/apply
	$(GO) test -tags invariants ./sim -run '^TestSeeds$$' -count=1 -seeds=20

fuzz: ## every decoder for FUZZTIME
	./tools/fuzz.sh $(FUZZTIME)

sim: ## SEEDS seeds of the simulator; prints what they met, how large the median seed is and what the mean one costs
	$(GO) test ./sim -run '^TestSeeds$$' -v -count=1 -timeout 80m -seeds=$(SEEDS)

cluster: ## SEEDS seeds of clusters of several replicas; with SHORT=true, without the long lives
	$(GO) test ./sim -run '^TestSeveralSeeds$$' -v -count=1 -timeout 80m -several-seeds=$(SEEDS) -short-lives=$(SHORT)

cluster-seed: ## replays SEED of a cluster and prints what the replicas say, write and decide
	@$(GO) run ./sim/cmd/clusters -seed=$(SEED) -short=$(SHORT)

cluster-long: ## 10,000 seeds of clusters, in parts of MINUTES; each goes on where the last one stopped, and renews docs/clusters.*
	$(GO) run ./sim/cmd/clusters -first=7000001 -seeds=7010000 -minutes=$(MINUTES) -progress=docs/clusters.progress -out=docs/clusters.md

sim-long: ## seeds of single replicas and of clusters from FROM on (clock, commit, a number), for MINUTES; shrinks failures; report in bin/sim-long.md
	$(GO) run ./sim/cmd/clusters -from=$(FROM) -minutes=$(MINUTES) -short=$(SHORT) -out=bin/sim-long.md

interop: build ## the official clients, the recorded corpora, kill -9
	KILLS=$(KILLS) interop/run.sh

cluster-real-long: build ## three real replicas: 50 kills and so on, 200 placements of damage, 100 power cuts; prints figures
	cd interop && bash -o pipefail -c 'LEDGER_BIN=$(CURDIR)/bin/ledger KILLS=50 $(GO) test ./cluster -v -count=1 -timeout=6h \
		-rounds=50 -placements=200 -powercuts=100 -corpora=all \
		-sectors=1000 -transfers=10000000 -pauses=1s,5s,60s,10m -run "$(if $(RUN),$(RUN),.)" 2>&1 | grep -v message_bus'

bench: build ## BENCH of the stages, rings, pairs and the whole server, COUNT times, each for BENCHTIME: for benchstat
	@LEDGER_BIN=$(CURDIR)/bin/ledger $(GO) test ./bench -run '^$$' -bench '$(BENCH)' -benchtime=$(BENCHTIME) -count=$(COUNT) -timeout 4h

bench-compare: ## BENCH of this commit and of the one before, COUNT times each, and benchstat between: for nightly runs
	./tools/bench-compare.sh '$(BENCH)' '$(BENCHTIME)' $(COUNT)

cross: ## both architectures compile
	CGO_ENABLED=0 GOARCH=amd64 $(GO) build -o /dev/null ./cmd/ledger
	CGO_ENABLED=0 GOARCH=arm64 $(GO) build -o /dev/null ./cmd/ledger

release: ## archives of this commit for both architectures in release/, with SBOM and checksums; the same bytes each time
	tools/release.sh release

package-test: ## what release packs: the same bytes twice, the image, and installing, upgrading and removing the Debian package
	packaging/test.sh

clean:
	rm -rf release bin ledger-dev.data
