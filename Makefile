# Makes the environment, then calls the verbs. `make` alone lists what there is.
# CPU instead of CUDA, or another index: see "PyTorch" in README.md.
PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_BACKEND ?=
MODEL ?= $(notdir $(patsubst %/,%,$(dir $(firstword $(wildcard models/*/model.yaml)))))
BASE ?= main

BIN := .venv/bin
READY := .venv/ready
# The index that pip is set to, which uv does not read; certificates are the machine's, as with pip.
INSTALL = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$($(BIN)/pip config get global.index-url 2>/dev/null || true)}" \
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python
# Into a folder of its own: no package of the environment moves.
APART = $(subst --python $(BIN)/python,--target $(1) --python $(BIN)/python,$(INSTALL)) --require-hashes --requirement $(2)
LOCKS := uv development training serving mlflow mlflow-server kubeflow clients mlserver
STAGES := repo data_schemas models serving deploy
PROOF := (^|/)tests/|(^|/)test_|conftest

# Where it is set every process compiles all modules again: a third of the tests' CPU time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env rehearse test test-all check ci format bench lock mlflow mlflow-server mlserver kubeflow clients kyverno tensorflow clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

env: $(READY)  ## make the environment in .venv

# Made again when a lock or the torch line changes; a broken install leaves no `ready`, so the next call goes on.
$(READY): requirements/development.txt requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(INSTALL) $(TORCH) $(if $(TORCH_BACKEND),--torch-backend=$(TORCH_BACKEND))
	$(INSTALL) --require-hashes -r requirements/development.txt
	touch $(READY)

rehearse: $(READY)  ## the pipeline, build and rehearsal of MODEL=<model> (default: the first of models/)
	$(BIN)/python -m models run $(MODEL)
	$(BIN)/python -m serving build $(MODEL)
	$(BIN)/python -m deploy rehearse $(MODEL)

test: $(READY)  ## every test that needs no container, full rehearsal or chain of workflows
	$(BIN)/python -m pytest -n auto --dist loadgroup -m "not slow"

test-all: $(READY)  ## all tests
	$(BIN)/python -m pytest -n auto --dist loadgroup

check: $(READY)  ## lint, format, types, direction of imports, secrets; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(STAGES) tests
	$(BIN)/lint-imports
	git grep --untracked -lz '' | xargs -0 $(BIN)/kingfisher scan --no-validate --no-update-check --redact --quiet
	@echo "lines of Python: source $$(git ls-files '*.py' | grep -vE '$(PROOF)' | xargs cat | wc -l) (aim: 18000)," \
		"tests $$(git ls-files '*.py' | grep -E '$(PROOF)' | xargs cat | wc -l) (aim: 19000)"

ci: $(READY)  ## what ci.yml runs for this branch and its uncommitted changes against BASE, with the same verdict
	$(BIN)/python -m repo ci --since $(BASE)

format: $(READY)  ## fix what `check` can fix by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## the figures of the README, or of one PART alone, such as retraining
	$(foreach part,$(or $(PART),pipeline serving judge image affected verify retraining),$(BIN)/python tests/bench/$(part).py &&) true

# torch stays out of the locks: its CPU build lives elsewhere for most people, so it has its own line above.
lock: $(READY)  ## compile requirements/*.txt from pyproject.toml; UPGRADE=--upgrade takes the newest versions
	$(foreach group,$(LOCKS),$(BIN)/uv pip compile --quiet --group $(group) --python-version 3.11 \
		--generate-hashes --no-header --override requirements/without-torch.in \
		$(if $(filter-out uv development kubeflow clients mlserver,$(group)),--constraint requirements/development.txt) \
		--output-file requirements/$(group).txt $(UPGRADE) &&) true

mlflow: $(READY)  ## install MLflow's client, for `models run` and `deploy track` where MLFLOW_TRACKING_URI is set
	$(call APART,.venv/mlflow,requirements/mlflow.txt)

kubeflow: $(READY)  ## install the client of Kubeflow Pipelines, for `models compile`
	$(call APART,.venv/kubeflow,requirements/kubeflow.txt)

mlflow-server: $(READY)  ## install MLflow's server (229 MB) for its test
	$(call APART,tests/build/mlflow,requirements/mlflow-server.txt)

clients: $(READY)  ## install Triton's and KServe's clients (352 MB) for the test of the Open Inference Protocol
	$(call APART,tests/build/clients,requirements/clients.txt)

mlserver: $(READY)  ## install MLServer (280 MB) for its test
	$(call APART,tests/build/mlserver,requirements/mlserver.txt)

# In the module's own folder, whose go.mod counts; Go holds what it downloads to its checksum database.
kyverno:  ## compile Kyverno's command line for the tests of deploy/argocd/policies, by Go, in ten minutes or so
	mkdir -p tests/build/bin
	module=$$(cd / && go mod download -json github.com/kyverno/kyverno@v1.19.1 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p') && \
		CGO_ENABLED=0 go -C "$$module" build -o $(CURDIR)/tests/build/bin/kyverno ./cmd/cli/kubectl-kyverno

tensorflow: $(READY)  ## install TensorFlow (1.3 GB) for the tests of Keras on it
	$(call APART,tests/build/tensorflow,tests/frameworks/specimen_keras/tensorflow.txt)

clean:  ## remove what verbs made; the environment stays
	rm -rf models/*/build deploy/build data_schemas/*/build .bentoml
