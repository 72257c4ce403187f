"""The project's sessions, each in an environment of its own below ``.nox/``.

``make demo`` and ``make test`` install nox into ``.venv`` and run the sessions ``demo`` and
``tests``; the others are run by ``.venv/bin/nox -s NAME``, with arguments for pytest or the
benchmark behind ``--``. ``.venv/bin/nox --list`` lists them.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "tests"]

#: The release of PyTorch that results are compared with. Installed first, so that no other package
#: chooses another.
TORCH = "torch==2.13.0"

#: One worker for each of two cores; the tests of a file share its fixtures in one worker.
PARALLEL = ("--numprocesses", "2", "--dist", "loadfile")

#: What README.md shows under "Two commands".
DEMO = """
ortcam layers models/deeplabv3plus_resnet18_camvid.onnx
ortcam export models/deeplabv3plus_resnet18_camvid.onnx -o out/street.cam.onnx \
    -l res5b_relu -l catAspp -l dec_relu1 -l dec_relu4
ortcam info out/street.cam.onnx
ortcam segment out/street.cam.onnx models/street.png -o out/segmentation.png
ortcam explain out/street.cam.onnx models/street.png -c Road -c Car -l dec_relu4 \
    --colormap jet -o out/explain.png
ortcam explain out/street.cam.onnx models/street.png -c Road -c Car \
    -l res5b_relu -l catAspp -l dec_relu1 --colormap jet -o out/layers.png
ortcam report out/street.cam.onnx models/street.png -c Road -c Car -c Sky -o out/report.html
"""


def _install(session: nox.Session, *packages: str, groups: tuple[str, ...] = ()) -> None:
    """Installs the project with some extras, then dependency groups."""
    # Python 3.11's and 3.12's own pip does not know --group yet.
    session.install("--upgrade", "pip>=25.1")
    session.install(*packages)
    for group in groups:
        session.install("--group", group)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the README's example on the shipped network; its figures are left in out/."""
    _install(session, "--editable", ".[cpu,export,plot]")
    Path("out").mkdir(exist_ok=True)
    for command in DEMO.strip().splitlines():
        session.run(*shlex.split(command))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests that need neither PyTorch nor much time."""
    _install(session, "--editable", ".[cpu,export,plot]", groups=("test",))
    session.run("pytest", *PARALLEL, "-m", "not slow", *session.posargs)


@nox.session
def torch(session: nox.Session) -> None:
    """Run the comparisons with PyTorch, whole networks among them, and the slow tests."""
    session.install("--upgrade", "pip>=25.1")
    session.install(TORCH)
    _install(session, "--editable", ".[cpu,export,plot]", groups=("test", "methods", "networks"))
    # A package that did not install would skip its comparisons without a word.
    session.run("python", "-c", f"import torch; assert torch.__version__.startswith({TORCH[7:]!r})")
    # torchvision was built for another PyTorch; the comparisons declare the operators it lacks.
    torchvision = "from benchmarks.zoo.networks import torchvision; torchvision()"
    session.run("python", "-c", f"{torchvision}; import segmentation_models_pytorch, captum")
    session.run("python", "-c", f"{torchvision}; import pytorch_grad_cam")
    session.run("pytest", *PARALLEL, "-m", "torch or slow", *session.posargs)


@nox.session
def training(session: nox.Session) -> None:
    """Compare the two gradient engines, with a training build of onnxruntime."""
    if sys.version_info >= (3, 13):
        session.error(
            "onnxruntime-training has no wheel beyond Python 3.12; run nox with an older one"
        )
    # The training build overwrites other builds' files, so it has an environment of its own.
    _install(session, "--editable", ".[export,training]", groups=("test",))
    # Without a training build the comparisons would be skipped without a word.
    session.run("python", "-c", "from onnxruntime.capi._pybind_state import GradientGraphBuilder")
    session.run("pytest", "tests/ortcam_export/append/test_ort_training.py", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """Run artifacts on the oldest supported onnxruntime."""
    _install(session, "--editable", ".[cpu,export,plot]", "onnxruntime==1.24.*", groups=("test",))
    session.run("python", "-c", "import onnxruntime as o; assert o.__version__.startswith('1.24.')")
    session.run(
        "pytest",
        *("tests/test_shipped.py", "tests/test_walkthrough.py"),
        *("tests/ortcam/test_cam.py", "tests/ortcam/test_pipeline.py"),
        *session.posargs,
    )


@nox.session
def gpu(session: nox.Session) -> None:
    """Run the tests and the benchmark on one NVIDIA GPU."""
    _install(session, "--editable", ".[gpu,export,plot]", groups=("test",))
    # Where CUDA does not start, the tests would be skipped without a word.
    network = "models/deeplabv3plus_resnet18_camvid.onnx"
    start = f"from ortcam.inference.session import Session; Session({network!r}, 'cuda')"
    session.run("python", "-c", start)
    session.run("pytest", "-m", "gpu", "--junitxml=out/gpu-tests.xml")
    session.run("python", "-m", "benchmarks", "--device", "cuda", *session.posargs)
    session.run("python", "-m", "benchmarks.lowerings", "--device", "cuda")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, the layers of both packages, and that generated pages are current."""
    _install(session, "--editable", ".[cpu,export,plot]", groups=("test", "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports", env={"PYTHONPATH": "export"})
    for page in ("cli", "operators", "node_tests", "variants"):
        session.run("python", f"docs/scripts/{page}.py", "--check")
    session.run("python", "-m", "benchmarks.page", "--check")
    session.run("python", "-m", "benchmarks.lowerings", "--check")


@nox.session
def docs(session: nox.Session) -> None:
    """Write the generated pages and the figures in docs/ again; one takes a Chromium."""
    _install(session, "--editable", ".[cpu,export,plot]", groups=("test",))
    for page in ("cli", "operators", "node_tests", "variants", "figures", "screenshots"):
        session.run("python", f"docs/scripts/{page}.py")


@nox.session
def benchmark(session: nox.Session) -> None:
    """Measure what Grad-CAM costs beside other ways to it; --short: the ratios that CI watches."""
    if "--short" in session.posargs:
        _install(session, "--editable", ".[cpu,export,plot]")
    else:
        session.install("--upgrade", "pip>=25.1")
        session.install(TORCH)
        _install(session, "--editable", ".[cpu,export,plot]", groups=("benchmark",))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def zoo(session: nox.Session) -> None:
    """Compare whole networks with PyTorch, for docs/networks_table.md; an hour."""
    session.install("--upgrade", "pip>=25.1")
    session.install(TORCH)
    _install(session, "--editable", ".[cpu,export,plot]", groups=("networks",))
    session.run("python", "-m", "benchmarks.zoo", *session.posargs)
