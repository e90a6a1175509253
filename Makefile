# Two commands are all a newcomer needs: `make demo` and `make test`. Each makes .venv first where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := $(VENV)/.demo
ROOMS := corpus dedup filters mixing pipelines proxy_models training
LINKED := $(VENV)/linked/gristmill

DEFAULT := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
# files in the order of their names: the files of a few long tests do not come last, one after the other
SUITE := -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not slow"
DETERMINISM := tests/proxy_models/test_fleet.py tests/proxy_models/test_stacked_optimizer.py tests/training

.PHONY: demo test slow determinism instruction-sets explore check format gpu bench docs clean linked

demo: $(DEMO)
	$(BIN)/gristmill demo --workspace demo

# the workers are as many as the cores: threads of libraries would only wait for each other
test slow determinism instruction-sets explore: export OMP_NUM_THREADS ?= 1

# COVER=--cov measures what the tests run, and fails below the floor that pyproject.toml sets
test: $(READY)
	$(BIN)/python $(SUITE) $(COVER)

# kills, clusters, two folders, whole roads: what takes minutes
slow: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m slow

# what must not depend on the processor's vectors: the same tests under the narrowest and under eight floats
determinism: $(READY)
	$(DEFAULT) $(BIN)/python $(SUITE) $(DETERMINISM)
	$(AVX2) $(BIN)/python $(SUITE) $(DETERMINISM)

# the whole suite under the narrowest vectors and under those of AVX2
instruction-sets: $(READY)
	$(DEFAULT) $(BIN)/python $(SUITE)
	$(AVX2) $(BIN)/python $(SUITE)

# the property tests with examples that no run has seen
explore: $(READY)
	$(BIN)/python $(SUITE) --hypothesis-profile explore

# pyright does not follow the mapping of folders in pyproject.toml: a tree of links shows it the package as installed
linked: $(READY)
	mkdir -p $(LINKED)
	for room in $(ROOMS); do ln -sfn $(CURDIR)/$$room $(LINKED)/$$room; done
	for file in gristmill/*; do ln -sf $(CURDIR)/$$file $(LINKED)/; done

check: $(READY) linked
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell -L ist --skip docs/reference,docs/_build README.md CONTRIBUTING.md CHANGELOG.md DECISIONS.md docs
	$(BIN)/python docs/spelling.py
	$(BIN)/python docs/claims.py --check
	$(BIN)/python docs/pictures.py --check
	$(BIN)/pyright
	$(BIN)/pyright --project .ci/strict.json

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# the site, into docs/_build/html; a warning is an error
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# what wants a GPU, in prepared runs of minutes (RUN=A, B or C: one of them); QUICK=1 runs every line on the CPU
gpu: $(READY)
	$(BIN)/python -m benchmarks.gpu $(if $(RUN),--run $(RUN)) $(if $(QUICK),--quick)

bench: $(READY)
	$(BIN)/python -m benchmarks

# what the demo needs, and nothing else; torch first: with it in place nothing that depends on it looks for another build
$(DEMO): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train]'
	touch $@

$(READY): $(DEMO)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,examples]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info
