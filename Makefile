# Two commands on a machine with nothing but Python and make:
#   make demo   ranks 63 models for a photograph
#   make test   passes the tests

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# Each generation of gradio, with what AUTOMATIC1111 and Forge ship beside it. The rest (torch and
# so on) comes from the environment above, through a .pth file: same interpreter, installed once.
GRADIO_3      := gradio==3.41.2 fastapi==0.94.0 'pydantic<2' 'starlette<0.27' httpx==0.24.1 \
                 'numpy<2' 'huggingface_hub<0.26'
GRADIO_4      := gradio==4.40.0 fastapi==0.104.1 pydantic==2.8.2 'huggingface_hub<0.26'
GRADIO_NEWEST := gradio

.PHONY: demo test lint drawing gradio-venvs clean

demo: $(VENV)/.installed
	$(BIN)/gmi demo

# The tests of the tab skip where there is no Chromium; .ci/run makes them fail instead. A process
# for each core, of one thread: threads of several processes would only wait for each other, busily.
test: $(VENV)/.installed-dev lint gradio-venvs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadscope

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# docs/architecture.md, from what the modules import.
drawing:
	$(PYTHON) docs/drawing.py

# gradio 3.41 needs numpy 1, which Python 3.13 has no wheels of: there its tests skip.
OLD_ENOUGH := $(shell $(PYTHON) -c "import sys; print(sys.version_info < (3, 13))")

gradio-venvs: $(if $(filter True,$(OLD_ENOUGH)),.venv-gradio-3/.installed) .venv-gradio-4/.installed .venv-gradio-newest/.installed

.venv-gradio-3/.installed: WANTED = $(GRADIO_3)
.venv-gradio-4/.installed: WANTED = $(GRADIO_4)
.venv-gradio-newest/.installed: WANTED = $(GRADIO_NEWEST)

.venv-gradio-%/.installed: Makefile $(VENV)/.installed-dev
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(WANTED)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > "$$( \
		$(@D)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/zz-main.pth"
	touch $@

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[standalone,text,demo]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[standalone,text,demo,dev]"
	touch $@

clean:
	rm -rf $(VENV) .venv-gradio-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
