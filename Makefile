# The four targets for users are `make run`, `make test`, `make lint` and `make docs`. Each installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
DOCS ?= public-docs

.PHONY: run test lint docs setup clean
run: setup
	$(BIN)/mtbench run --models synctrack,msg-ld

test: setup
	$(BIN)/python -m pytest

lint: .venv/.lint-installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Builds the documentation into public-docs/, or elsewhere: make docs DOCS=FOLDER. Any warning is an error.
docs: .venv/.docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(DOCS)

setup: .venv/.installed

.venv/.lint-installed: .venv/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group lint
	@touch $@

.venv/.docs-installed: .venv/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group docs
	@touch $@

# pip runs twice, because madmom's setup.py imports Cython and NumPy without declaring them:
# they must be installed before madmom is built, and the build must see them (no isolation).
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mtbench needs Python 3.11 or newer: make PYTHON=python3.12 " + "$(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.3'
	$(BIN)/python -m pip install --quiet -c constraints.txt 'cython>=3' 'numpy>=2' 'setuptools>=77.0.3,<81'
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation --editable '.[train]' --group test
	@touch $@

clean:
	rm -rf .venv build dist public-docs *.egg-info
