"""The measurements of the command; each returns its entry of the record."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from benchmarks import cuda_variants, subjects
from benchmarks.agreement import COARSE, TOLERANCE, difference
from benchmarks.install_size import KITS, install_size
from benchmarks.measure import Subject, interleave
from benchmarks.networks import NETWORKS, Network, artifact, tensor
from benchmarks.processes import jobs, measure
from benchmarks.record import row
from benchmarks.subjects import Row

__all__ = ["compare_maps", "installed", "network", "processes"]

PROVIDERS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "cpu": [("CPUExecutionProvider", {})],
    "cuda": cuda_variants.EXACT,
}
PEERS = ("torch-", "captum-", "gradcam-")
PROCESSES = 15
"""Rounds of fresh processes."""

Progress = Callable[[str], object]


def network(
    one: Network,
    folder: Path,
    device: str,
    threads: int,
    rounds: int,
    torch: bool,
    progress: Progress,
    only: Collection[str] = (),
) -> dict[str, Any]:
    """Measure all rows of one network, or only some, after comparing the maps of all.

    Raises:
        ValueError: ortcam's maps differ between rows.
    """
    progress(f"{one.name}: building")
    plain = _plain(one, folder)
    unit = subjects.PlainInference(plain, tensor(one), PROVIDERS[device])
    rows = subjects.rows(one, plain, folder, PROVIDERS[device], unit)
    if device == "cuda" and not one.needs_torch:
        progress(f"{one.name}: the variants on CUDA")
        rows |= cuda_variants.rows(one, plain, folder, unit)
    if torch and one.module:
        progress(f"{one.name}: choosing the fastest handwritten variant")
        rows |= _peers(one, unit, device, threads)
    differences = compare_maps(rows)
    rows = {name: r for name, r in rows.items() if not only or name in only}
    available = {name: r.subject for name, r in rows.items() if r.subject}
    times = interleave(available, rounds, progress=lambda line: progress(f"{one.name}: {line}"))
    entries: dict[str, Any] = {name: row(pairs) for name, pairs in times.items()}
    for name in entries.keys() & differences.keys():
        entries[name]["difference"] = differences[name]
    entries |= {name: {"missing": r.missing} for name, r in rows.items() if not r.subject}
    size = plain.stat().st_size
    files = {kind: folder / f"{one.name}.{kind}.cam.onnx" for kind in ("last", "four")}
    return {
        "title": one.title,
        "size": list(one.size),
        "layers": list(one.layers),
        "tolerance": TOLERANCE,
        "rows": entries,
        "bytes": {"plain": size} | {kind: path.stat().st_size for kind, path in files.items()},
    }


def processes(
    folder: Path, device: str, threads: int, rounds: int, torch: bool, progress: Progress
) -> dict[str, Any]:
    """Measure memory and start-up with the shipped network."""
    one = NETWORKS["shipped"]
    plain = _plain(one, folder)
    artifact(plain, one.layers[-1:], folder / f"{one.name}.last.cam.onnx")
    artifact(plain, one.layers, folder / f"{one.name}.four.cam.onnx")
    work = jobs(one, plain, folder, PROVIDERS[device], device, threads, torch=torch)
    return measure(work, min(rounds, PROCESSES), progress)


def installed(
    folder: Path, device: str, threads: int, rounds: int, torch: bool, progress: Progress
) -> dict[str, Any]:
    """The size of each tool's packages in this environment."""
    progress("measuring the size of installed packages")
    return {kit: install_size(packages) for kit, packages in KITS.items()}


def _plain(one: Network, folder: Path) -> Path:
    path = folder / f"{one.name}.onnx"
    if one.build is not None:
        one.build(path)
    else:
        from benchmarks.torch_export import write

        write(one, path)
    return path


def _peers(
    one: Network, unit: subjects.PlainInference, device: str, threads: int
) -> dict[str, Row]:
    from benchmarks import peers
    from benchmarks.torch_export import module

    peers.set_up(device, threads)
    x, model = tensor(one), module(one).to(device)
    inference = peers.inference(model, x)
    rows = {"torch-plain": Row(Subject(lambda _: inference(), unit))}
    for layers, kind in ((one.layers[-1:], "last"), (one.layers, "four")):
        for name, make in (
            ("gradcam", peers.grad_cam),
            ("captum", peers.captum),
            ("torch", peers.by_hand),
        ):
            run = make(model, x, layers, one.two_classes)
            rows[f"{name}-{kind}-2"] = Row(Subject(_every_time(run), unit), run)
    return rows


def _every_time(run: Callable[[], object]) -> Callable[[int], object]:
    return lambda _: run()


def compare_maps(rows: dict[str, Row]) -> dict[str, float]:
    """The difference of each row's maps from those of the four-layer artifact.

    A peer whose maps differ too much is not timed; its row states the difference instead.

    Raises:
        ValueError: ortcam's maps differ too much between rows.
    """
    reference = rows["four-2"].maps
    assert reference is not None
    truth = reference()
    differences = {name: difference(r.maps(), truth) for name, r in rows.items() if r.maps}
    for name, value in differences.items():
        if value <= (COARSE if rows[name].coarse else TOLERANCE):
            continue
        if not name.startswith(PEERS):
            raise ValueError(f"the maps of {name} differ from those of four-2 by {value:.1e}")
        rows[name] = Row(missing=f"its maps differ by {value:.1e}")
    return differences
