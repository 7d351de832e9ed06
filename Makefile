# What people type here. Each target makes the virtual environment it needs on first use, and again when a pyproject.toml changed.
#   make demo      50 processes on one database file, without locks and then with them
#   make test      the tests
#   make check     format, lint, types, and the tests with the coverage that core and wire owe
#   make test-all  the tests on every Python from 3.11 to 3.14 that this machine has
#   make search    every state of the lock manager that a few processes reach, the nearest million: some 15 minutes
#   make crash     32 processes that take locks, and a daemon that is killed 1,000 times: some 10 minutes
#   make bench     lockd, what it is measured against, and its peers, side by side: some 20 minutes; make bench QUICK=yes: 2
#   make screens   what lockctl shows, in docs/lockctl.md, anew from a real daemon
#   make venv      everything installed and nothing run: for an editor
#   make install   the daemon, and the units that run it; docs/operations.md tells what is to be done around it
#   make uninstall remove what that put there
#   make clean     remove everything that these made
# Another interpreter: make test PYTHON=python3.12 VENV=.venvs/3.12

PYTHON ?= python3
VENV ?= .venv

BIN = $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip --disable-pip-version-check install --quiet

# Where "make install" puts things. DESTDIR, for those who make packages, goes in front of the units; a virtual environment
# works in no other place than the one it was made in.
PREFIX ?= /opt/lockd
LIBDIR ?= /usr/local/lib
UNITS = $(patsubst systemd/%,%,$(wildcard systemd/system/* systemd/user/*))
SETTINGS = $(patsubst systemd/%,%,$(wildcard systemd/sysusers.d/* systemd/tmpfiles.d/*))

.PHONY: venv demo test check test-all search crash bench screens install install-program install-units uninstall clean
.NOTPARALLEL:

venv: $(VENV)/.installed-test,dev

demo: $(VENV)/.installed-demo
	$(BIN)/lockd demo

# Several files of tests at a time, because many of them wait for processes. Where a test ends its worker, which one that hangs
# does in the end, the run ends and names it: pytest-xdist 3.8 would start another worker and wait for ever.
JOBS ?= auto
PYTEST = $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile --max-worker-restart=0

test: $(VENV)/.installed-test
	$(PYTEST)

# Core and wire are covered by their own tests alone: what only an end-to-end test reaches, no test explains.
check: $(VENV)/.installed-test,dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/coverage run --data-file=.coverage-core --source=lockd.core -m pytest tests/core
	$(BIN)/coverage report --data-file=.coverage-core --fail-under=100
	$(BIN)/coverage run --data-file=.coverage-wire --source=lockd_wire -m pytest tests/wire
	$(BIN)/coverage report --data-file=.coverage-wire --fail-under=100
	$(BIN)/coverage run --data-file=.coverage-journal --source=lockd.journal -m pytest tests/journal
	$(BIN)/coverage report --data-file=.coverage-journal --fail-under=100
	$(PYTEST) --ignore=tests/core --ignore=tests/wire --ignore=tests/journal

test-all:
	.ci/every-python

# Another number of states: make search STATES=50000
search: $(VENV)/.installed-test
	cd tests && $(abspath $(BIN))/python -m support.search $(STATES)

# Another number of kills, another seed: make crash KILLS=100 SEED=7
KILLS ?= 1000
PROCESSES ?= 32
SEED ?= 0
crash: $(VENV)/.installed-test
	cd tests && $(abspath $(BIN))/python -m support.crash_campaign $(KILLS) $(PROCESSES) $(SEED)

# A part of it: make bench WORK=a,c PEERS=redis,filelock ROUNDS=5 SECONDS=2. What later runs are compared with, and what
# docs/performance.md shows: make bench RECORD=yes. benchmarks/README.md has all of it.
bench: $(VENV)/.installed-bench
	cd benchmarks && $(abspath $(BIN))/python -m bench \
	    --work='$(WORK)' --peers='$(PEERS)' --rounds='$(ROUNDS)' --seconds='$(SECONDS)' \
	    --quick='$(QUICK)' --record='$(RECORD)' --reuse='$(REUSE)'

screens: $(VENV)/.installed-test
	cd tests && $(abspath $(BIN))/python -m support.screens

install: install-program install-units

install-program:
	$(PYTHON) -m venv $(PREFIX)
	$(PREFIX)/bin/python -m pip --disable-pip-version-check install --quiet ./client .
	install -D -m 0644 -t $(PREFIX)/share/doc/lockd docs/*.md

# The units say where the program is.
install-units:
	@for unit in $(UNITS); do \
	    install -d $(DESTDIR)$(LIBDIR)/systemd/$${unit%/*} && \
	    sed 's|/opt/lockd/|$(PREFIX)/|g' systemd/$$unit >$(DESTDIR)$(LIBDIR)/systemd/$$unit && \
	    chmod 0644 $(DESTDIR)$(LIBDIR)/systemd/$$unit || exit; \
	done
	@for file in $(SETTINGS); do install -D -m 0644 systemd/$$file $(DESTDIR)$(LIBDIR)/$$file || exit; done

uninstall:
	rm -f $(UNITS:%=$(DESTDIR)$(LIBDIR)/systemd/%) $(SETTINGS:%=$(DESTDIR)$(LIBDIR)/%)
	rm -rf $(PREFIX)

clean:
	rm -rf .venv .venvs .coverage-* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist client/dist
	find benchmarks client lockd tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lockd needs Python 3.11 or newer; $(PYTHON) is Python %d.%d. Name another one: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-%: $(VENV)/.made pyproject.toml client/pyproject.toml
	@echo "Installing lockd and what it needs into $(VENV) ..."
	@$(PIP_INSTALL) -e ./client -e '.[$*]'
	@touch $@
