"""The machine of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

__all__ = ["THREADS", "machine", "take_two_cores"]

THREADS = 2
PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "onnx",
    "onnx-ir",
    "torch",
    "torchvision",
    "timm",
    "grad-cam",
    "captum",
    "segmentation_models_pytorch",
)


def take_two_cores() -> int:
    """Restrict this process and its children to two cores, if the system supports it.

    PyTorch and NumPy then start as many threads. onnxruntime counts all cores of the machine, so
    its number of threads is set explicitly.

    Returns:
        The number of cores.
    """
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine(threads: int) -> dict[str, object]:
    """The processor, the number of threads, and the versions of the packages."""
    import ortcam

    versions = {"ortcam": ortcam.__version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "gpu": _gpu(),
        "versions": versions,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip() or None
