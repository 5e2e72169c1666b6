# Two commands on a fresh machine: `make demo` and `make test`.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast bench docs fixtures fuzz clean
FUZZ_SECONDS ?= 600

demo: $(VENV)/.installed
	scripts/install-qemu
	$(BIN)/vmstate demo

test: $(VENV)/.installed-dev
	scripts/install-qemu --for-tests
	scripts/check $(BIN)

test-fast: $(VENV)/.installed-dev
	scripts/install-qemu --for-tests
	scripts/check $(BIN) --fast

bench: $(VENV)/.installed-dev
	scripts/install-qemu --for-tests
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-dev
	$(BIN)/sphinx-build -n -W -b html docs build/docs

# The streams in tests/fixtures, taken again.
fixtures: $(VENV)/.installed-dev
	scripts/install-qemu --for-tests
	PYTHONPATH=tests $(BIN)/python -m scripts.fixtures
	PYTHONPATH=tests $(BIN)/python -m scripts.fixtures.memory

# Look for input that the reader does not survive; see docs/testing.md.
fuzz: $(VENV)/.installed-dev
	PYTHONPATH=tests nice $(BIN)/python -m scripts.fuzz --seconds $(FUZZ_SECONDS) --folder build/fuzz

$(VENV)/.installed: pyproject.toml requirements.lock
	scripts/make-venv $(VENV)
	$(BIN)/pip install --quiet --editable . --constraint requirements.lock
	# Where PYTHONDONTWRITEBYTECODE is set, every start would compile the package: 0.1 s.
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[dev]' --constraint requirements.lock
	touch $@

clean:
	rm -rf $(VENV) build .coverage* .mypy_cache .ruff_cache .pytest_cache
