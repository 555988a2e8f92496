# Needs make and a Python of 3.11 or later; everything else lives in .venv/, made on first use.
PORT ?= 8000
PROVIDER_PORT ?= 8001
VENV := .venv
BIN  := $(VENV)/bin
PEER := .bench-peer
DOCS := .docs-venv
PIP  := -m pip install --quiet --disable-pip-version-check

.PHONY: help run traffic survive test check docs bench merge-proof impact-oracle clean
.DELETE_ON_ERROR:

help:
	@echo "make run     serve the shop on http://127.0.0.1:$(PORT) (PORT=9000 for another port)"
	@echo "make traffic play customers against the running shop (ARGS=\"--seconds 30 --customers 20\")"
	@echo "make survive kill the shop amid 1,000 orders, start it again, and count (ARGS=\"--orders 100\")"
	@echo "make test    check, then the tests"
	@echo "make check   lint, format, types, direction of imports, snippets of the documents"
	@echo "make docs    the site of the documents: dist/docs/index.html"
	@echo "make bench   measure, and compare with others"
	@echo "make merge-proof    write 50 features on 50 branches, merge them, and test the result"
	@echo "make impact-oracle  break the shop in several ways, and see that no failing test is missed"
	@echo "make clean   remove what these targets made"

# The shop, and beside it the payment provider that it charges cards at.
run: $(VENV)/.ready
	@exec $(BIN)/python -m apps.payment_provider --port $(PROVIDER_PORT) -- \
		$(BIN)/ringfence run apps/shop --host 127.0.0.1 --port $(PORT)

traffic: $(VENV)/.ready
	@$(BIN)/python -m apps.traffic --url http://127.0.0.1:$(PORT) $(ARGS)

survive: $(VENV)/.ready
	@$(BIN)/python -m apps.survive $(ARGS)

test: check
	@echo "tests"
	@$(BIN)/python -m pytest -q -n auto --dist worksteal

check: $(VENV)/.ready-dev
	@$(BIN)/python -m scripts.checks

docs: $(DOCS)/.ready
	@$(DOCS)/bin/python -m sphinx --quiet --fail-on-warning --keep-going \
		-b html -c docs -d $(DOCS)/doctrees . dist/docs
	@echo "dist/docs/index.html"

bench: $(VENV)/.ready $(PEER)/.ready
	@$(BIN)/python -m bench.run $(ARGS)

merge-proof: $(VENV)/.ready-dev
	@$(BIN)/python -m tests.merge.proof $(ARGS)

impact-oracle: $(VENV)/.ready-dev
	@$(BIN)/python -m scripts.impact_oracle $(ARGS)

clean:
	rm -rf $(VENV) $(PEER) $(DOCS) docs/reference .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf bench/results dist apps/shop/data apps/shop/.ringfence examples/data examples/.ringfence
	find src apps examples tests bench scripts typing_tests -name __pycache__ -prune -exec rm -rf {} +

# The first command that is a Python of 3.11 or later; PYTHON=... names another one.
$(BIN)/python:
	@for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$candidate; \
			break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or later is needed and was not found. Install one, or: make PYTHON=/path/to/python3"; \
		exit 1; \
	fi; \
	echo "$(VENV): $$($$found --version)"; \
	[ -w . ] || { \
		echo "$$PWD: this user may not write here, and $(VENV) is made here"; \
		exit 1; \
	}; \
	$$found -m venv --clear $(VENV) || { \
		rm -rf $(VENV); \
		echo "$$found cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; \
		exit 1; \
	}

$(VENV)/.ready: pyproject.toml | $(BIN)/python
	@echo "$(VENV): Ringfence and what it needs"
	@$(BIN)/python $(PIP) --editable . || $(unfetched)
	@touch $@

$(VENV)/.ready-dev: pyproject.toml | $(BIN)/python
	@echo "$(VENV): Ringfence, what it needs, and the tools for working on it"
	@$(BIN)/python $(PIP) --editable '.[dev]' || $(unfetched)
	@touch $(VENV)/.ready $@

define unfetched
{ \
	echo "$(VENV): pip could not install what is needed; what it said is above. The package index \
must be reached once; then type the same again." >&2; \
	exit 1; \
}
endef

# The others are compared on the very versions of the server that Ringfence runs on.
$(PEER)/.ready: bench/peers.txt $(VENV)/.ready
	@echo "$(PEER): what is compared with"
	@$(BIN)/python -m venv --clear $(PEER)
	@$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable \
		| grep -E '^(uvicorn|httptools|uvloop|msgspec|wsproto)==' >$(PEER)/constraints.txt
	@$(PEER)/bin/python $(PIP) -c $(PEER)/constraints.txt -r bench/peers.txt
	@touch $@

$(DOCS)/.ready: pyproject.toml | $(BIN)/python
	@echo "$(DOCS): what makes the site"
	@$(BIN)/python -m venv --clear $(DOCS)
	@$(DOCS)/bin/python $(PIP) --editable '.[docs]'
	@touch $@
