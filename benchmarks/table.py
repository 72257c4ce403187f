"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bounds import figure, verdicts
from benchmarks.measure import Interval
from benchmarks.record import interval
from ortcam.files.atomic import write_whole

__all__ = ["LABELS", "machines_of", "markdown", "said", "write"]

DEVICES = {"cpu": "CPU", "cuda": "CUDA"}
NOT_MEASURED = "not measured"

LABELS = {
    "plain": "plain inference, onnxruntime, against itself",
    "plain-softmax": "plain inference, with the softmax of ortcam's artifacts",
    "last-1": "ortcam, 1 class, last layer",
    "last-2": "ortcam, 2 classes, last layer",
    "last-all": "ortcam, all classes, last layer",
    "last-2-new": "ortcam, 2 classes, last layer, new region and classes every time",
    "last-all-new": "ortcam, all classes, last layer, new region and classes every time",
    "last-2-called": "ortcam, 2 classes, last layer, `cam.explain` as called",
    "four-2": "ortcam, 2 classes, four layers",
    "four-2-last": "ortcam, 2 classes, last layer, from an artifact of four",
    "four-segment": "`segment`, from an artifact of four layers",
    "opened-1": "one more question on an opened picture, last layer",
    "opened-2-early": "the same, 2 classes, at the first of the four layers",
    "batch-2": "ortcam, 2 classes, last layer, 8 pictures (over plain inference of the 8)",
    "batch-2-single": "the same 8 pictures, over the same 8 one by one",
    "last-2-maps": "ortcam, 2 classes, last layer, maps computed in the graph",
    "last-2-tf32": "ortcam, 2 classes, last layer, in TF32 (over plain inference in TF32)",
    "last-2-fp16": "ortcam, 2 classes, last layer, in float16 (over plain inference in float16)",
    "last-2-graph": "ortcam, 2 classes, last layer, as a CUDA graph (over plain inference as one)",
    "last-2-fast": "float16, maps and CUDA graph together (over plain float16 as a CUDA graph)",
    "torch-plain": "plain inference, PyTorch",
    "torch-last-2": "PyTorch by hand, 2 classes, last layer",
    "torch-four-2": "PyTorch by hand, 2 classes, four layers",
    "captum-last-2": "Captum, 2 classes, last layer",
    "captum-four-2": "Captum, 2 classes, four layers",
    "gradcam-last-2": "pytorch-grad-cam, 2 classes, last layer",
    "gradcam-four-2": "pytorch-grad-cam, 2 classes, four layers",
}


def markdown(data: dict[str, Any]) -> str:
    """All tables, a device a column."""
    parts = [machines_of(data), "### Bounds", _bounds(data)]
    for name in _names(data, "networks"):
        one = next(d["networks"][name] for d in data.values() if name in d.get("networks", {}))
        width, height = one["size"]
        layers = ", ".join(f"`{layer}`" for layer in one["layers"])
        parts += [
            f"### {one['title']}, {width}x{height}",
            f"Layers: {layers}. Times over plain inference of this network in the same run, "
            "with the 95 % interval of the median.",
            _rows(data, name),
            _sizes(one),
        ]
    if _names(data, "processes"):
        parts += ["### Memory and start-up", _processes(data)]
    if _names(data, "installed"):
        parts += ["### Installed", _installed(data)]
    return "\n\n".join(parts) + "\n"


def write(data: dict[str, Any], out: Path) -> list[Path]:
    """Writes ``benchmark.md``, and ``benchmark.png`` where there is matplotlib.

    Returns:
        The files that there are, the JSON among them.
    """
    paths = [out / "benchmark.json", out / "benchmark.md"]
    write_whole(paths[1], markdown(data).encode())
    try:
        from benchmarks.chart import draw
    except ImportError:
        return paths
    picture = out / "benchmark.png"
    return [*paths, picture] if draw(data, picture) else paths


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _names(data: dict[str, Any], part: str) -> list[str]:
    """The keys of a part, on whatever device, in their order."""
    return list(dict.fromkeys(name for device in data.values() for name in device.get(part, {})))


def machines_of(data: dict[str, Any]) -> str:
    """What each device's results were measured on, a line each."""
    lines = []
    for device, title in DEVICES.items():
        if device not in data:
            lines.append(f"- {title}: {NOT_MEASURED}.")
            continue
        m = data[device]["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
        gpu = f", {m['gpu']}" if m["gpu"] and device == "cuda" else ""
        lines.append(
            f"- {title}: {m['processor']}{gpu}, {m['threads']} of {m['cores']} cores, "
            f"{m['system']}, Python {m['python']}; {versions}."
        )
    return "\n".join(lines)


def _bounds(data: dict[str, Any]) -> str:
    lines = []
    each = {device: list(verdicts(data.get(device, {}))) for device in DEVICES}
    for cpu, cuda in zip(each["cpu"], each["cuda"], strict=True):
        met = {True: "yes", False: "**no**", None: ""}[cpu.met]
        found = [said(verdict.found) for verdict in (cpu, cuda)]
        lines.append([cpu.what, cpu.where, cpu.bound, found[0], met, found[1]])
    return _table(["work", "where", "bound", "CPU", "met", "CUDA"], lines)


def _rows(data: dict[str, Any], network: str) -> str:
    lines = []
    for row, label in LABELS.items():
        cells = []
        for device in DEVICES:
            entry = data.get(device, {}).get("networks", {}).get(network, {}).get("rows", {})
            entry = entry.get(row, {})
            if "missing" in entry:
                cells += [f"not available: {entry['missing']}", ""]
            elif "ratio" in entry:
                milliseconds = entry["seconds"]["median"] * 1e3
                cells += [said(interval(entry["ratio"])), f"{milliseconds:.1f}"]
            else:
                cells += [NOT_MEASURED, ""]
        if set(cells) != {NOT_MEASURED, ""} or row in ("last-2", "four-2"):
            lines.append([label, *cells])
    return _table(["work", "CPU", "ms", "CUDA", "ms"], lines)


def _sizes(one: dict[str, Any]) -> str:
    sizes = one["bytes"]
    over = {kind: sizes[kind] / sizes["plain"] for kind in ("last", "four")}
    return (
        f"The artifact's size over the model's {sizes['plain'] / 1e6:.1f} MB: "
        f"{over['last']:.2f} with the last layer, {over['four']:.2f} with four."
    )


def _processes(data: dict[str, Any]) -> str:
    lines = []
    for row in _names(data, "processes"):
        label = LABELS[row].removesuffix(", against itself")
        cells = []
        for device in DEVICES:
            results = data.get(device, {})
            if row not in results.get("processes", {}):
                cells += [NOT_MEASURED, ""]
                continue
            for kind in ("memory", "start"):
                cells.append(said(figure(results, f"{kind}/{row}")))
        lines.append([label, *cells])
    return _table(["work", "CPU: memory", "start", "CUDA: memory", "start"], lines)


def _installed(data: dict[str, Any]) -> str:
    lines = []
    for kit in _names(data, "installed"):
        found = next((d["installed"][kit] for d in data.values() if d.get("installed")), None)
        size = ["not installed here", ""]
        if found:
            size = [str(found["packages"]), f"{found['bytes'] / 1e6:,.0f}"]
        lines.append([kit, *size])
    return _table(["what", "packages", "MB"], lines)


def said(found: Interval | None) -> str:
    """A median with its interval, as a table has it."""
    if found is None:
        return NOT_MEASURED
    digits = 3 if found.median < 0.2 else 2
    text = f"{found.median:.{digits}f}"
    if found.low == found.high:
        return text
    return f"{text} ({found.low:.{digits}f} to {found.high:.{digits}f})"
