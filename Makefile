# From a fresh clone, with Python 3.11 or later and make alone:
#   make demo    the example on the shipped network; its figures are left in out/
#   make test    the tests      (TORCH=1: with PyTorch, SLOW=1: the slow ones too)
#   make test-training   both gradient engines against each other, in an environment of its own
#   make test-oldest     artifacts on the oldest onnxruntime that is supported
#   make benchmark   what Grad-CAM costs beside other ways to it, with PyTorch; an hour or two
#   make benchmark-short   the few ratios that CI watches; a minute or two
#   make gpu     the tests' GPU part and the benchmark on one NVIDIA GPU
#   make zoo     the table of whole networks against PyTorch; an hour
#   make lint    style, types, and whether the generated pages are current
#   make docs    writes the generated pages and the figures in docs/ again; one takes a Chromium
# Everything is installed into .venv (.venv-training, .venv-oldest, .venv-gpu), once; `make clean` removes these and out/.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
NETWORK = models/deeplabv3plus_resnet18_camvid.onnx
PICTURE = models/street.png

# So that the recipes below are what one would type with .venv activated.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# The packages of a dependency group; Python 3.11's own pip does not know these groups yet.
GROUP = python -c "import sys, tomllib; \
	print(*tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups'][sys.argv[1]], sep='\n')"
INSTALL = python -m pip install --quiet --disable-pip-version-check

VENV = .venv/created
ORTCAM = .venv/ortcam
TEST = .venv/test
LINT = .venv/lint
TORCH_INSTALLED = .venv/torch
ifdef TORCH
REFERENCE = $(TORCH_INSTALLED)
endif

BENCHMARK = .venv/benchmark
ZOO = .venv/zoo

# onnxruntime-gpu overwrites the files of onnxruntime.
GPU = .venv-gpu/installed

# The training build of onnxruntime overwrites the others' files, and has no wheel past Python 3.12.
TRAINING = .venv-training/installed
TRAINING_PYTHON ?= $(PYTHON)

# The oldest onnxruntime that the extra cpu allows.
OLDEST = .venv-oldest/installed

.PHONY: demo test test-training test-oldest zoo benchmark benchmark-short gpu lint docs clean

demo: $(ORTCAM)
	@mkdir -p out
	ortcam layers $(NETWORK)
	ortcam export $(NETWORK) -o out/street.cam.onnx -l res5b_relu -l catAspp -l dec_relu1 -l dec_relu4
	ortcam info out/street.cam.onnx
	ortcam segment out/street.cam.onnx $(PICTURE) -o out/segmentation.png
	ortcam explain out/street.cam.onnx $(PICTURE) -c Road -c Car -l dec_relu4 --colormap jet -o out/explain.png
	ortcam explain out/street.cam.onnx $(PICTURE) -c Road -c Car -l res5b_relu -l catAspp -l dec_relu1 --colormap jet -o out/layers.png
	ortcam report out/street.cam.onnx $(PICTURE) -c Road -c Car -c Sky -o out/report.html

test: $(TEST) $(if $(TORCH),$(ZOO))
	python -m pytest --numprocesses 2 --dist loadfile $(if $(SLOW),,-m "not slow")

# Without a training build its tests would be skipped, and nobody would notice: hence the first line.
test-training: $(TRAINING)
	.venv-training/bin/python -c 'from onnxruntime.capi._pybind_state import GradientGraphBuilder'
	.venv-training/bin/python -m pytest tests/ortcam_export/append/test_ort_training.py

test-oldest: $(OLDEST)
	.venv-oldest/bin/python -c 'import onnxruntime; assert onnxruntime.__version__.startswith("1.24.")'
	.venv-oldest/bin/python -m pytest tests/test_shipped.py tests/test_walkthrough.py tests/ortcam/test_cam.py tests/ortcam/test_pipeline.py

# What was compared already is kept in out/zoo.
zoo: $(ZOO)
	python -m benchmarks.zoo $(ZOO_OPTIONS)

# What was measured already is kept; out/benchmark.json out of the way begins anew.
benchmark: $(BENCHMARK)
	python -m benchmarks $(BENCHMARK_OPTIONS)

benchmark-short: $(ORTCAM)
	python -m benchmarks --short

# Leaves out/gpu-tests.xml, and out/benchmark.md with its column CUDA filled. Where CUDA does not
# start, the tests would be skipped and nobody would notice: hence the first line.
gpu: $(GPU)
	.venv-gpu/bin/python -c 'from ortcam.inference.session import Session; Session("$(NETWORK)", "cuda")'
	.venv-gpu/bin/python -m pytest -m gpu --junitxml=out/gpu-tests.xml
	.venv-gpu/bin/python -m benchmarks --device cuda $(BENCHMARK_OPTIONS)
	.venv-gpu/bin/python -m benchmarks.lowerings --device cuda

lint: $(LINT)
	ruff check
	ruff format --check
	mypy
	python docs/cli.py --check
	python docs/operators.py --check
	python docs/node_tests.py --check
	python -m benchmarks.page --check
	python -m benchmarks.lowerings --check

docs: $(ORTCAM)
	python docs/cli.py
	python docs/operators.py
	python docs/node_tests.py
	python docs/figures.py
	python docs/screenshots.py

clean:
	rm -rf .venv .venv-training .venv-oldest .venv-gpu out

# A stamp stands for an installation, and is made again when what it was made from changes.
$(VENV):
	$(PYTHON) -m venv .venv
	@touch $@

# First of all, so that no other package chooses PyTorch's version.
$(TORCH_INSTALLED): $(VENV)
	$(INSTALL) torch==2.13.0
	@touch $@

$(ORTCAM): pyproject.toml | $(VENV) $(REFERENCE)
	$(INSTALL) --editable '.[cpu,export,plot]'
	@touch $@

$(TEST): $(ORTCAM) $(REFERENCE)
	$(GROUP) test | $(INSTALL) --requirement /dev/stdin
	$(if $(TORCH),$(GROUP) methods | $(INSTALL) --requirement /dev/stdin)
	@touch $@

$(BENCHMARK): $(ORTCAM) $(TORCH_INSTALLED)
	$(GROUP) benchmark | $(INSTALL) --requirement /dev/stdin
	@touch $@

$(ZOO): $(ORTCAM) $(TORCH_INSTALLED)
	$(GROUP) networks | $(INSTALL) --requirement /dev/stdin
	@touch $@

$(GPU): pyproject.toml
	$(PYTHON) -m venv .venv-gpu
	PATH=$(CURDIR)/.venv-gpu/bin:$$PATH; $(INSTALL) --editable '.[gpu,export,plot]' && \
		$(GROUP) test | $(INSTALL) --requirement /dev/stdin $(if $(TORCH),&& \
		$(GROUP) benchmark | $(INSTALL) --requirement /dev/stdin)
	@touch $@

$(TRAINING): pyproject.toml
	$(TRAINING_PYTHON) -m venv .venv-training
	PATH=$(CURDIR)/.venv-training/bin:$$PATH; $(INSTALL) --editable '.[export,training]'; \
		$(GROUP) test | $(INSTALL) --requirement /dev/stdin
	@touch $@

$(OLDEST): pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	PATH=$(CURDIR)/.venv-oldest/bin:$$PATH; $(INSTALL) --editable '.[cpu,export,plot]' 'onnxruntime==1.24.*'; \
		$(GROUP) test | $(INSTALL) --requirement /dev/stdin
	@touch $@

$(LINT): $(TEST)
	$(GROUP) lint | $(INSTALL) --requirement /dev/stdin
	@touch $@
