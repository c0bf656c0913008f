# `make demo` and `make test` are all a new machine needs: Python 3.11+, no compiler.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
EXTRAS ?= test
JOBS ?= 2
BENCH ?=
comma := ,
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test unit lint bench docs clean

demo: $(VENV)/.installed
	$(BIN)/wss demo --keep demo

# JOBS processes with a thread each: the tests' nets are too small to share
test unit: export OMP_NUM_THREADS ?= 1

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS)

# the quick ones: no training of real networks, no real photos
unit: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not real"

lint: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet "ruff>=0.6" "mypy>=1.11"
	$(BIN)/ruff check wsscli tests benchmarks
	$(BIN)/ruff format --check wsscli tests benchmarks
	$(BIN)/mypy

# every step beside what a user would run otherwise: writes benchmarks/RESULTS.md and README's table of speed.
# `make bench BENCH="steps crf --data VOC2012"` runs some of them, on other photos
bench: $(VENV)/.bench
	PYTHONPATH=$(abspath $(VENV))/contrib $(BIN)/python benchmarks/run.py $(BENCH)

# pydensecrf is compiled at install. OpenCV's contributed modules claim the folder of opencv-python-headless: they lie apart
$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[bench$(if $(shell command -v g++),$(comma)pydensecrf)]"
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/contrib "opencv-contrib-python-headless>=4.9"
	touch $@

# what is made from the command line itself
docs: $(VENV)/.installed
	$(BIN)/python -m wsscli.cli.completions completions
	$(BIN)/python -m wsscli.cli.reference docs/cli.md
	$(BIN)/python -m wsscli.cli.tables docs/methods.md

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wss needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]"
	touch $@

clean:
	rm -rf $(VENV) demo build .pytest_cache .mypy_cache .ruff_cache .hypothesis
