"""What the command measures, piece by piece; each gives what the record keeps."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from benchmarks import contestants, variants
from benchmarks import processes as fresh
from benchmarks.agreement import COARSE, TOLERANCE, difference
from benchmarks.contestants import Row
from benchmarks.installed import KITS
from benchmarks.installed import installed as bytes_installed
from benchmarks.measure import Contestant, interleave
from benchmarks.networks import NETWORKS, Network, artifact, tensor
from benchmarks.record import row

__all__ = ["compared", "installed", "network", "processes"]

PROVIDERS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "cpu": [("CPUExecutionProvider", {})],
    "cuda": variants.EXACT,
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
    """All rows of one network, or only some, after the maps of all were compared.

    Raises:
        ValueError: somebody's maps are not the others'.
    """
    progress(f"{one.name}: building")
    plain = _plain(one, folder)
    unit = contestants.Plain(plain, tensor(one), PROVIDERS[device])
    rows = contestants.rows(one, plain, folder, PROVIDERS[device], unit)
    if device == "cuda" and not one.needs_torch:
        progress(f"{one.name}: the variants on CUDA")
        rows |= variants.rows(one, plain, folder, unit)
    if torch and one.module:
        progress(f"{one.name}: finding the fastest way by hand")
        rows |= _peers(one, unit, device, threads)
    differences = compared(rows)
    rows = {name: r for name, r in rows.items() if not only or name in only}
    there = {name: r.contestant for name, r in rows.items() if r.contestant}
    measured = interleave(there, rounds, progress=lambda line: progress(f"{one.name}: {line}"))
    found: dict[str, Any] = {name: row(pair) for name, pair in measured.items()}
    for name in found.keys() & differences.keys():
        found[name]["difference"] = differences[name]
    found |= {name: {"missing": r.missing} for name, r in rows.items() if not r.contestant}
    size = plain.stat().st_size
    files = {kind: folder / f"{one.name}.{kind}.cam.onnx" for kind in ("last", "four")}
    return {
        "title": one.title,
        "size": list(one.size),
        "layers": list(one.layers),
        "tolerance": TOLERANCE,
        "rows": found,
        "bytes": {"plain": size} | {kind: path.stat().st_size for kind, path in files.items()},
    }


def processes(
    folder: Path, device: str, threads: int, rounds: int, torch: bool, progress: Progress
) -> dict[str, Any]:
    """Memory and start-up, with the shipped network."""
    one = NETWORKS["shipped"]
    plain = _plain(one, folder)
    artifact(plain, one.layers[-1:], folder / f"{one.name}.last.cam.onnx")
    artifact(plain, one.layers, folder / f"{one.name}.four.cam.onnx")
    work = fresh.jobs(one, plain, folder, PROVIDERS[device], device, threads, torch=torch)
    return fresh.measure(work, min(rounds, PROCESSES), progress)


def installed(
    folder: Path, device: str, threads: int, rounds: int, torch: bool, progress: Progress
) -> dict[str, Any]:
    """Bytes of what each contestant needs, in this environment."""
    progress("counting bytes")
    return {kit: bytes_installed(packages) for kit, packages in KITS.items()}


def _plain(one: Network, folder: Path) -> Path:
    path = folder / f"{one.name}.onnx"
    one.build(one, path)
    return path


def _peers(one: Network, unit: contestants.Plain, device: str, threads: int) -> dict[str, Row]:
    from benchmarks import peers
    from benchmarks.torch_networks import module

    peers.set_up(device, threads)
    x, model = tensor(one), module(one).to(device)
    inference = peers.inference(model, x)
    found = {"torch-plain": Row(Contestant(lambda _: inference(), unit))}
    for layers, which in ((one.layers[-1:], "last"), (one.layers, "four")):
        for name, make in (
            ("gradcam", peers.grad_cam),
            ("captum", peers.captum),
            ("torch", peers.by_hand),
        ):
            run = make(model, x, layers, one.asked)
            found[f"{name}-{which}-2"] = Row(Contestant(_every_time(run), unit), run)
    return found


def _every_time(run: Callable[[], object]) -> Callable[[int], object]:
    return lambda _: run()


def compared(rows: dict[str, Row]) -> dict[str, float]:
    """How far the maps of each row are from the four-layer artifact's.

    A peer's that are too far are not timed: in place of its row stands one that says so.

    Raises:
        ValueError: ortcam's own are too far from each other.
    """
    reference = rows["four-2"].maps
    assert reference is not None
    truth = reference()
    found = {name: difference(r.maps(), truth) for name, r in rows.items() if r.maps}
    for name, value in found.items():
        if value <= (COARSE if rows[name].coarse else TOLERANCE):
            continue
        if not name.startswith(PEERS):
            raise ValueError(f"the maps of {name} ({value:.1e}) are not those of four-2")
        rows[name] = Row(missing=f"its maps differ by {value:.1e}")
    return found
