"""Memory and start-up: each contestant as a fresh process, in turns, several times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import ROOT, Network, tensor

__all__ = ["jobs", "measure"]

RUNS = 3
"""Runs of a process, of which the first is the cold one."""


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
    """What the processes are told, by the names of the rows; their files are left in the folder."""
    array = folder / f"{network.name}.npy"
    np.save(array, tensor(network))
    last, two = list(network.layers[-1:]), list(network.asked)
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

    found: dict[str, dict[str, Any]] = {
        "plain": {"work": "plain", "model": str(plain)},
        "last-2": {"work": "explain", "model": artifact("last"), "layers": last},
        "four-2": {"work": "explain", "model": artifact("four"), "layers": four},
    }
    if torch:
        module = _saved(network, folder)
        for work in ("gradcam", "captum", "torch"):
            found[f"{work}-last-2"] = {"work": work, "model": module, "layers": last}
        found["gradcam-four-2"] = {"work": "gradcam", "model": module, "layers": four}
        found["torch-plain"] = {"work": "torch_plain", "model": module, "layers": last}
    return {name: common | job for name, job in found.items()}


def _saved(network: Network, folder: Path) -> str:
    import torch

    from benchmarks.torch_networks import module

    path = folder / f"{network.name}.pt"
    torch.save(module(network), path)
    return str(path)


def measure(
    work: Mapping[str, dict[str, Any]], rounds: int, progress: Callable[[str], object]
) -> dict[str, dict[str, list[float]]]:
    """Seconds to the import's end and to the first map, and bytes at most, of each, by round.

    A process of each that is not counted comes first: it brings the files into memory.
    """
    found: dict[str, dict[str, list[float]]] = {
        name: {"import": [], "first": [], "memory": []} for name in work
    }
    for turn in range(rounds + 1):
        progress(f"processes, round {turn} of {rounds}")
        for name, job in work.items():
            values = _process(job)
            for key, value in values.items() if turn else ():
                found[name][key].append(value)
    return found


def _process(job: dict[str, Any]) -> dict[str, float]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-P", str(Path(__file__).with_name("fresh.py")), json.dumps(job)]
    done = subprocess.run(  # noqa: S603 - this benchmark's own file
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{job['work']} failed in a process of its own: {done.stderr[-2000:]}")
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values
