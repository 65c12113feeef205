# All targets set up everything they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run leaderboard docs test

run: .venv/installed
	$(BIN)/harness run --methods ssiuu,gd --attacks all
	$(BIN)/harness leaderboard build

# The committed leaderboard: every method under every attack. Some 50 minutes on two cores; stop and go on at will.
leaderboard: .venv/installed
	$(BIN)/harness run --methods all --attacks all
	$(BIN)/harness leaderboard build

# The documentation, in site/; warnings are errors.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n auto

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
