# make          bin/initgrace: the server, with the loader, Pyodide and the demo in it
# make run      builds it and starts the demo study
# make test     everything that must hold before a commit
# make bench    this server beside others, into BENCHMARKS.md; BENCH=-quick for less
# make clean    removes what was built

GO     ?= go
BROTLI ?= 9# quality of the big files. 11 makes Pyodide 7 % smaller and takes minutes

GOFLAGS_RELEASE = -trimpath -ldflags='-s -w'
JS = GOOS=js GOARCH=wasm
# What also runs in the browser.
JS_PACKAGES = ./grace/protocol/... ./wasmclient/...
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: build run wasm size web test lint unit wasm-test js-test e2e e2e-on-page loader-on-page bench test-tools clean

build: web
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_RELEASE) -o bin/initgrace ./server/cmd/initgrace

run: build
	bin/initgrace serve --addr 127.0.0.1:8080 --db initgrace.db

# The loader: Go, compiled for the browser. Web/internal/slim says what its
# workspace is for, and web/internal/segments what it does; with the collector
# that Go had before 1.26 a sixtieth less has to be downloaded. Without inlining it
# would be another tenth, but browsers compile a function when it is first called,
# and would have twice as many to compile before the first ack.
wasm:
	$(GO) run ./web/internal/slim -out bin/slim
	GOEXPERIMENT=nogreenteagc GOWORK=$(CURDIR)/bin/slim/go.work $(JS) $(GO) build $(GOFLAGS_RELEASE) -o bin/loader.wasm ./wasmclient/cmd/loader
	$(GO) run ./web/internal/segments bin/loader.wasm

# What a page has to download before it can connect, against its budget.
size: wasm
	$(GO) run ./web/internal/size

# Everything that browsers download, compressed into web/dist for embedding.
web: wasm bin/pyodide/startup.json
	$(GO) run ./web/internal/pack -brotli $(BROTLI)

# Pyodide's standard library, compiled once instead of at every start.
bin/pyodide/startup.json: node_modules/.package-lock.json web/pyodide/stdlib.mjs web/pyodide/compile.py
	node web/pyodide/stdlib.mjs

node_modules/.package-lock.json: package.json package-lock.json .npmrc
	npm ci
	touch $@

test: test-tools lint build size unit
	$(BOTH) wasm-test js-test
	$(MAKE) e2e

# Two things at a time that do not use two cores.
BOTH = $(MAKE) -j2 --output-sync=target

lint:
	@unformatted=$$(gofmt -l *.go e2e grace server wasmclient web); \
		[ -z "$$unformatted" ] || { echo "gofmt -w $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(JS) $(GO) vet $(JS_PACKAGES)
	$(GO) build -o bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck ./...
	$(JS) bin/staticcheck $(JS_PACKAGES)

# The races to be found are ours: SQLite, which is translated from C, takes four
# times as long when its memory accesses are watched as well. Most packages wait
# more than they compute.
UNWATCHED = modernc.org/sqlite/lib=-race=false -d=checkptr=0

unit:
	$(GO) test -race -p 4 -gcflags='$(UNWATCHED)' $$($(GO) list ./... | grep -v /e2e)

# The packages that browsers run, compiled for them, in Node.
wasm-test:
	$(JS) $(GO) test -exec="$$($(GO) env GOROOT)/lib/wasm/go_js_wasm_exec" $(JS_PACKAGES)

# The JavaScript and the Python of web/, with the real Pyodide, in Node.
js-test: node_modules/.package-lock.json
	node --test --test-concurrency=2 $$(find web -name '*.test.mjs')

# Real browsers, a real Pyodide, a really blocked main thread. The loader is in
# a worker; what may differ when it is on the page is tested there too.
ON_PAGE = ^Test(AckedIsStored|NetworkReset|TabClosed|Preload)$$/^(study)?$$
e2e: build
	$(GO) test -count=1 -timeout=25m -parallel 3 ./e2e/...
	$(BOTH) e2e-on-page loader-on-page

e2e-on-page:
	INITGRACE_HOST=page $(GO) test -count=1 -run '$(ON_PAGE)' ./e2e

loader-on-page: # the worker's turn was in unit
	INITGRACE_HOST=page $(GO) test -count=1 ./wasmclient/cmd/loader

# About an hour; BENCH=-quick: about 8 min. Linux only.
bench: build
	$(GO) build -o bin/bench/compare ./e2e/bench/compare
	bin/bench/compare -fresh -browser $(BENCH)

# A browser for e2e, a C compiler for -race, a Redis that can be killed, a proxy
# as it stands before real servers, and what researchers read exports with.
test-tools:
	@missing=; \
	which chromium chromium-browser google-chrome | grep -q . || missing="$$missing chromium"; \
	which gcc clang | grep -q . || missing="$$missing gcc libc6-dev"; \
	which redis-server valkey-server | grep -q . || missing="$$missing redis-server"; \
	PATH=$$PATH:/usr/sbin which nginx >/dev/null || missing="$$missing nginx"; \
	which Rscript >/dev/null || missing="$$missing r-base-core r-cran-readr r-cran-dplyr"; \
	/usr/bin/python3 -c 'import pandas' 2>/dev/null || missing="$$missing python3-pandas"; \
	[ -z "$$missing" ] || { $(SUDO) apt-get update && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; }

clean:
	rm -rf bin node_modules
	find web/dist -mindepth 1 ! -name README -delete
