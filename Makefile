# `make` alone lists the targets. Everything runs in .venv, except QGIS itself, which is the system's.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= /usr/bin/python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT_PACKAGES := qgis python3-qgis qgis-providers python3-venv
# Such as bookworm-backports: where QGIS is taken from.
APT_SUITE ?=
export QT_QPA_PLATFORM ?= offscreen
export XDG_RUNTIME_DIR ?= /tmp/urbanfm-runtime-$(shell id -u)

.PHONY: help setup demo test test-qgis test-qgis-backports scan lint format contract translations docs zip clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 21

setup: $(STAMP) ## QGIS from Debian, and a virtual environment with everything else
	@mkdir -p -m 700 $(XDG_RUNTIME_DIR)

$(STAMP): pyproject.toml constraints.txt | $(VENV)/.qgis
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -c constraints.txt torch
	$(PY) -m pip install -q -c constraints.txt -e '.[text,plots,bench,dev,docs]'
	$(PY) -c "import site, pathlib; pathlib.Path(site.getsitepackages()[0], 'system-qgis.pth').write_text('/usr/lib/python3/dist-packages\n')"
	touch $@

$(VENV)/.qgis:
	@if ! { command -v qgis_process.bin && $(PYTHON) -c 'import qgis.core, venv, ensurepip'; } >/dev/null 2>&1; then \
	  command -v apt-get >/dev/null || { echo 'Install QGIS 3.22 or newer and python3-venv, then run this again.'; exit 1; }; \
	  $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(if $(APT_SUITE),-t $(APT_SUITE)) $(APT_PACKAGES) >/dev/null; fi
	mkdir -p $(VENV) && touch $@

demo: setup ## generate a sample city, embed its regions through qgis_process, draw the map
	@$(PY) tests/demo.py --out demo

test: setup lint ## all tests: the library, the plugin, and both end to end
	# Wheels of rasterio and QGIS bring two copies of GDAL, which one process cannot hold: hence two runs.
	$(PY) -m pytest tests/core tests/contract -p no:pytest_qgis
	$(PY) -m pytest tests/plugin

test-qgis: setup ## only the tests that need QGIS
	$(PY) -m pytest tests/contract -p no:pytest_qgis && $(PY) -m pytest tests/plugin

test-qgis-backports: ## the same on QGIS 3.40, in a Debian made for it in build/ (as root, with debootstrap)
	tests/qgis_backports.sh

scan: zip ## bandit and detect-secrets over the built zip, as QGIS's plugin hub runs them
	$(PY) tests/scan.py dist/urbanfm.zip

lint: setup ## style, types and the import order
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

format: setup ## write the style
	$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

contract: setup ## write resources/contract.json from urbanfm_core/stages
	$(PY) -c "from urbanfm_core.contract import contract_text; open('resources/contract.json', 'w').write(contract_text())"

docs: setup ## the documentation, static pages in build/docs
	$(PY) resources/docs/docs_build.py --out build/docs

translations: setup ## bring resources/i18n/*.ts up to date with the texts of the sources
	$(PY) -m qgis_plugin.translations

zip: setup ## the plugin as a zip for QGIS, in dist/
	$(PY) qgis_plugin/build.py --zip dist/urbanfm.zip

clean: ## remove the environment and everything that was built
	rm -rf --one-file-system $(VENV) dist build demo
