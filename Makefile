# Each target makes the environment it needs on its first run (Python 3.11 or later, git and make are enough)
# and finds it ready on the next. PYTHON picks the interpreter, ARGS goes to pytest, to the demo or to the benchmarks.
PYTHON ?= python3
ARGS ?=

VENV := .venv
PEERS := .venv-peers
TF216 := .venv-tf216

# Two tests at a time; tests/conftest.py keeps each to one thread.
PYTEST := -m pytest -n 2 --dist worksteal --durations 20

.PHONY: demo test test-data test-release test-peers test-tf216 lint bench clean

demo: $(VENV)/.demo          ## train, score and serve the bundled speaker verification system
	$(VENV)/bin/python examples/speaker_verification.py --export saved_models/ecapa_tdnn $(ARGS)

test: $(VENV)/.test          ## everything that needs nothing outside the repository
	$(VENV)/bin/python $(PYTEST) $(ARGS)

test-data: $(VENV)/.test     ## the long tests, and those on the data that KERAS_RESNETS_DATA points to
	$(VENV)/bin/python $(PYTEST) -m "(slow or data) and not peers and not release" $(ARGS)

test-release: $(VENV)/.test  ## the longest tests, before a release
	$(VENV)/bin/python $(PYTEST) -m release $(ARGS)

test-peers: $(PEERS)/.ready  ## the peers themselves beside ours, before a release
	$(PEERS)/bin/python $(PYTEST) -m peers $(ARGS)

test-tf216: $(TF216)/.ready  ## the oldest TensorFlow that is supported, with tensorflow-io
	$(TF216)/bin/python $(PYTEST) tests/layers tests/models tests/test_export*.py $(ARGS)

lint: $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

bench: $(PEERS)/.ready       ## ours and the peer in one run
	$(PEERS)/bin/python benchmarks/import_time.py
	$(PEERS)/bin/python benchmarks/speaker.py $(ARGS)
	$(PEERS)/bin/python benchmarks/group_conv.py $(ARGS)
	$(PEERS)/bin/python benchmarks/norms.py $(ARGS)
	$(PEERS)/bin/python benchmarks/resnets.py $(ARGS)
	$(PEERS)/bin/python benchmarks/contrastive.py $(ARGS)
	$(PEERS)/bin/python benchmarks/distillation.py $(ARGS)
	$(PEERS)/bin/python benchmarks/search.py --seeds 3

clean:
	rm -rf .venv .venv-peers .venv-tf216 build dist *.egg-info

# Environments. A stamp is written last, so that an interrupted installation is taken up again.
$(VENV)/.made $(PEERS)/.made $(TF216)/.made:
	$(PYTHON) -m venv $(@D)
	touch $@

$(VENV)/.demo: setup.py pyproject.toml | $(VENV)/.made
	$(VENV)/bin/python -m pip install --quiet --editable ".[audio,plot]"
	touch $@

$(VENV)/.test: setup.py pyproject.toml | $(VENV)/.made
	$(VENV)/bin/python -m pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/.lint: requirements/lint.txt | $(VENV)/.made
	$(VENV)/bin/python -m pip install --quiet --requirement $<
	touch $@

$(TF216)/.ready: requirements/tf216.txt setup.py pyproject.toml | $(TF216)/.made
	$(TF216)/bin/python -m pip install --quiet --requirement $< --editable .
	touch $@

# torchaudio's native extension is a CUDA build that does not load beside CPU PyTorch; its Python parts are all that is needed.
$(PEERS)/.ready: requirements/peers.txt setup.py pyproject.toml | $(PEERS)/.made
	$(PEERS)/bin/python -m pip install --quiet --requirement $< --editable ".[test]"
	rm -f $(PEERS)/lib/python*/site-packages/torchaudio/lib/*.so
	touch $@
