# The README's two commands, from a fresh clone, with Python 3.11 or later and make alone:
#   make demo    the example on the shipped network; its figures are left in out/
#   make test    the tests
# Both install nox into .venv and run its session of that name; noxfile.py has the others.

PYTHON ?= $(shell command -v python3.11 || command -v python3)

.PHONY: demo test clean

demo: .venv/bin/nox
	.venv/bin/nox --session demo

test: .venv/bin/nox
	.venv/bin/nox --session tests

clean:
	rm -rf .venv .nox out

.venv/bin/nox:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --group dev
