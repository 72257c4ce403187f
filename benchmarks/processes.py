"""Memory and start-up: each subject in a fresh process, in turns, several times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import Network, tensor
from benchmarks.paths import ROOT

__all__ = ["jobs", "measure"]

RUNS = 3
"""The runs of a process; the first is cold."""


def jobs(
    network: Network,
    plain: Path,
    folder: Path,
    providers: Sequence[tuple[str, dict[str, str]]],
    device: str,
    threads: int,
    *,
    torch: bool,
) -> dict[str, dict[str, Any]]:
    """The jobs of the processes, by row; their files are written to the folder."""
    array = folder / f"{network.name}.npy"
    np.save(array, tensor(network))
    last, two = list(network.layers[-1:]), list(network.two_classes)
    four = list(network.layers)
    common: dict[str, Any] = {
        "tensor": str(array),
        "providers": providers,
        "device": device,
        "threads": threads,
        "runs": RUNS,
        "classes": two,
    }

    def artifact(kind: str) -> str:
        return str(folder / f"{network.name}.{kind}.cam.onnx")

    jobs: dict[str, dict[str, Any]] = {
        "plain": {"work": "plain", "model": str(plain)},
        "last-2": {"work": "explain", "model": artifact("last"), "layers": last},
        "four-2": {"work": "explain", "model": artifact("four"), "layers": four},
    }
    if torch:
        module = _saved_module(network, folder)
        for work in ("gradcam", "captum", "torch"):
            jobs[f"{work}-last-2"] = {"work": work, "model": module, "layers": last}
        jobs["gradcam-four-2"] = {"work": "gradcam", "model": module, "layers": four}
        jobs["torch-plain"] = {"work": "torch_plain", "model": module, "layers": last}
    return {name: common | job for name, job in jobs.items()}


def _saved_module(network: Network, folder: Path) -> str:
    import torch

    from benchmarks.torch_export import module

    path = folder / f"{network.name}.pt"
    torch.save(module(network), path)
    return str(path)


def measure(
    jobs: Mapping[str, dict[str, Any]], rounds: int, progress: Callable[[str], object]
) -> dict[str, dict[str, list[float]]]:
    """The import time, the time to the first map, and the peak memory of each job, by round.

    A first round, which is not counted, brings the files into the disk cache.
    """
    results: dict[str, dict[str, list[float]]] = {
        name: {"import": [], "first": [], "memory": []} for name in jobs
    }
    for number in range(rounds + 1):
        progress(f"processes, round {number} of {rounds}")
        for name, job in jobs.items():
            values = _process(job)
            for key, value in values.items() if number else ():
                results[name][key].append(value)
    return results


def _process(job: dict[str, Any]) -> dict[str, float]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    script = [sys.executable, "-P", str(Path(__file__).with_name("cold_start.py"))]
    process = subprocess.run(  # noqa: S603 - a script of this benchmark
        [*script, json.dumps(job)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"{job['work']} failed in its process: {process.stderr[-2000:]}")
    values: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return values
