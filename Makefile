# SPDX-License-Identifier: Apache-2.0
# The front door. The build itself is meson's (meson.build), the steps are scripts under tools/.
SHELL := /bin/bash
.DEFAULT_GOAL := all

# What `make up` takes; each can stand on the command line: make up PORT=7171 DATA=other
PORT    ?= 7070
DATA    ?= var
LISTEN  ?=
CONSOLE ?= 1
PREFIX  ?= /usr/local
export PORT DATA LISTEN CONSOLE PREFIX DESTDIR TRACES SIZE ONLY

# Meson and the scripts find their own parallelism; several goals at once would share one folder.
.NOTPARALLEL:
.PHONY: all console up down test test-long bench evidence install clean help

all: ## build the release binary, build/tessera
	@tools/deps build
	@tools/build release

console: ## build the web console into build/console (needs Node and npm)
	@tools/deps console
	@tools/build console

up: all ## build, start a server and four agents, run an example. PORT= DATA= LISTEN= CONSOLE=0
	@tools/up

down: ## give running work its notice, requeue it, stop agents and server; data stays. DATA=
	@tools/down

test: ## build with sanitizers and run every test
	@tools/deps test
	@tools/test

test-long: ## the same with more seeds, more kills and longer fuzzing
	@tools/deps test
	@tools/test --long

bench: ## run all benchmarks; `make -s bench-NAME` prints one JSON object
	@tools/deps build
	@tools/build bench
	@tools/bench

bench-%:
	@tools/deps build >&2
	@tools/build bench >&2
	@tools/bench $*

evidence: ## run what docs/evidence.md shows and write it anew. TRACES=DIR SIZE=small ONLY='6 B'
	@tools/deps build
	@tools/build release
	@bench/evidence

install: all ## put binary, man pages, completion and systemd units in place. PREFIX= DESTDIR=
	@tools/install

clean: ## remove what was built; never touches data
	@rm -rf build build-* console/dist console/node_modules
	@echo "removed build/, build-*/ and the console's packages; data is untouched"

help: ## this text
	@echo "Tessera: an open omnicloud for GPUs"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PORT=7070  DATA=var  LISTEN=ADDRESS (also listen there, with TLS; off ends it)  CONSOLE=0 (no Node)"
