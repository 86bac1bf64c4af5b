# Two commands do everything: `make demo` and `make test`. See README.md for the others.
PYTHON = .venv/bin/python

.PHONY: demo test lint format bench bench-quick clean

demo:
	@.ci/setup demo
	@$(PYTHON) -m carpsidecar demo $(ARGS)

test: lint
	@$(PYTHON) -m pytest $(ARGS)

lint:
	@.ci/setup test
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

format:
	@.ci/setup test
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

bench:
	@.ci/setup test
	@$(PYTHON) -m bench $(ARGS)

bench-quick:
	@.ci/setup test
	@$(PYTHON) -m bench --quick $(ARGS)

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
