# make book and make test do everything on a fresh machine with Python 3.11 or newer.
# PYTHON=python3.12 make book chooses the interpreter. Each stage is a line of this file;
# tools/stage.sh says what it does, how long it took and, if it fails, how to mend it.

VENV := .venv/bin
RUN := $(VENV)/python -m
STAGE := @sh tools/stage.sh
# One thread per process: the tests run several processes, and two on one core are far slower.
PYTEST := OMP_NUM_THREADS=1 $(RUN) pytest -q -p tools.progress
WORKERS := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PORT ?= 8000

# Kernels start from this environment, not from one the user has installed elsewhere.
export JUPYTER_PREFER_ENV_PATH := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1
# Stages with the same one belong to one run, in the table of times at its end.
BEGAN ?= $(shell date +%s)
export BEGAN := $(BEGAN)

.PHONY: help setup book serve test test-full test-lowest lint library unit notebooks chapters browser gpu labs bench wheel format clean
.NOTPARALLEL:

help: ## list what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' Makefile

# How long they took on two idle cores (README); said before the first stage.
ABOUT_test := make test takes about 20 minutes on two cores after set-up; a table of times ends it.
ABOUT_book := make book takes about 4 minutes on two cores after set-up, if every chapter has to run.

about-%:
	@echo "$(ABOUT_$*)"

setup: .venv/peftlab-installed ## make the virtual environment .venv (the others call it when needed)

.venv/peftlab-installed: requirements.txt pyproject.toml tools/setup.sh tools/install.py
	$(STAGE) "Set-up: Python packages into .venv" \
	  "The line that starts with 'peftlab:' above says what to do." \
	  sh tools/setup.sh

book: about-book chapters ## build the book: every chapter executed, _build/html/index.html
	$(STAGE) "Book: the pages into _build/html" \
	  "The messages above name the file and line to mend; make clean book starts from nothing." \
	  $(RUN) book.build

serve: book ## build the book and show it at http://localhost:8000 (PORT=... for another port)
	@echo "The book is at http://localhost:$(PORT)/ until you press Ctrl-C."
	@$(RUN) http.server --bind 127.0.0.1 --directory _build/html $(PORT)

test: about-test lint library unit notebooks book browser ## run every test, the notebooks and the built book included
	@printf '\nEvery test passed.\n'
	@sh tools/stage.sh

test-full: setup ## run what is slow by nature: answers on 100 seeds, pip installing the wheel, whole labs
	$(STAGE) "Slow tests: answers and known mistakes on 100 seeds; pip installs the wheel, which runs the labs" \
	  "Run one again with .venv/bin/python -m pytest -m full PATH::NAME." \
	  env $(PYTEST) $(WORKERS) --dist loadgroup -m full tests
	$(STAGE) "Labs: unsolved, on the bundled model" "make labs shows the failing cell." \
	  env $(PYTEST) $(WORKERS) --nbval labs

test-lowest: .venv-lowest/installed ## run the library's tests with the oldest packages that it accepts
	$(STAGE) "Tests: the library, with the oldest packages that pyproject.toml accepts" \
	  "Mend the library, or raise the bound in pyproject.toml to a version that works." \
	  env OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -q -W default tests/peftlab

# numpy 1.26 has wheels for Python 3.11 and 3.12. Old packages warn of much, which is no failure.
.venv-lowest/installed: pyproject.toml tools/lowest.py
	$(STAGE) "Set-up: the oldest packages into .venv-lowest (6 GB: old PyTorch brings CUDA)" \
	  "It takes Python 3.11 or 3.12: PYTHON=python3.12 make test-lowest names one." \
	  sh -c '$${PYTHON:-python3.11} -m venv --clear .venv-lowest && cd .venv-lowest \
	    && bin/python ../tools/lowest.py labs > pins.txt \
	    && bin/python -m pip install --quiet -r pins.txt pytest hypothesis -e .. && touch installed'

lint: setup ## check style, and that the labs are what their sources generate
	$(STAGE) "Style: ruff" "make format mends most of it; the rest is named above." \
	  sh -c '$(VENV)/ruff check --quiet && $(VENV)/ruff format --check --quiet'
	$(STAGE) "Labs: the notebooks are what solutions/*.md generate" \
	  "Edit the .md under solutions/, then run .venv/bin/peftlab labs build." \
	  $(VENV)/peftlab labs check

library: setup ## run the tests of the library, and see that they reach nearly all of its lines
	$(STAGE) "Tests: the library, and that they reach nearly all of its lines" \
	  "Run one again with .venv/bin/python -m pytest PATH::NAME; .venv/bin/coverage report names lines." \
	  env $(PYTEST) $(WORKERS) --cov --cov-report= tests/peftlab

unit: setup ## run the tests of the exercises, the command line, the book and the tools
	$(STAGE) "Tests: the exercises, the command line, the book, the tools" \
	  "Run one again with .venv/bin/python -m pytest PATH::NAME." \
	  env $(PYTEST) $(WORKERS) --ignore=tests/browser --ignore=tests/peftlab

notebooks: setup ## run the solutions (outputs compared) and the student labs (on a small model)
	$(STAGE) "Notebooks: solutions, stored outputs compared; student labs, unsolved, on a small model" \
	  "make labs shows the failing cell; .venv/bin/peftlab labs build stores a new right output." \
	  env $(PYTEST) $(WORKERS) -p tests.notebooks.quick_labs \
	    --nbval --nbval-sanitize-with tests/notebooks/sanitize.cfg solutions labs

chapters: setup ## run the chapters that changed as notebooks; the book takes their outputs
	$(STAGE) "Chapters: those that changed are run, for the tests and the book" \
	  "The cell named above fails; mend it in book/." \
	  $(RUN) book.execution $(WORKERS) -q -p tools.progress

browser: setup ## look at every page of the built book in headless Chromium
	$(STAGE) "Browser: every page, both themes" \
	  "make serve shows the same pages; the failed assertion names the page." \
	  env $(PYTEST) $(WORKERS) --dist worksteal tests/browser

gpu: setup ## run every lab and solution on a CUDA GPU, in 4 bit and not, into results/
	$(STAGE) "GPU: labs and solutions, with 4-bit bases and without" \
	  "Run one again with $(VENV)/python tools/gpu_notebooks.py labs/NAME.ipynb --out report.json." \
	  $(RUN) tools.gpu_notebooks

# tools/jupyter switches nbgrader's menus off: they are for those who teach.
labs: setup ## open the lab notebooks in JupyterLab
	@JUPYTER_CONFIG_PATH="$(CURDIR)/tools/jupyter" $(VENV)/jupyter lab --ServerApp.root_dir=labs

bench: setup ## measure peftlab against peft, and write results/
	$(STAGE) "Benchmark: one LoRA training step, peft and peftlab side by side" \
	  "Run it on an idle machine." \
	  $(RUN) benchmarks.lora_step

wheel: setup ## build the wheel of both packages into dist/
	$(STAGE) "Wheel: peftlab and peftcourse, into dist/" \
	  "pip's message above says why." \
	  $(RUN) pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

format: setup ## let ruff mend the style
	@$(VENV)/ruff check --fix --quiet; $(VENV)/ruff format

clean: ## remove what was built, caches included (.venv stays)
	rm -rf _build build dist .pytest_cache .ruff_cache .hypothesis
