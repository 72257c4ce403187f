"""Bytes on the disk that a package and all it requires take, by what their records list."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

__all__ = ["KITS", "installed"]

KITS = {
    "onnxruntime alone": ("onnxruntime",),
    "ortcam[cpu]": ("onnxruntime", "numpy", "pillow", "click"),
    "ortcam[cpu,export,plot]": ("onnxruntime", "pillow", "click", "onnx", "onnx-ir", "matplotlib"),
    "torch, by hand": ("torch", "numpy"),
    "pytorch-grad-cam": ("grad-cam",),
    "Captum": ("captum",),
}
"""What has to be installed; ortcam's own files, 0.4 MB, are left out where it is editable."""


def installed(packages: Iterable[str]) -> dict[str, int] | None:
    """How many distributions a package needs, itself among them, and their bytes.

    Returns:
        ``{"packages": ..., "bytes": ...}``; None where one of them is not installed.
    """
    waiting = [(canonicalize_name(name), frozenset[str]()) for name in packages]
    seen: dict[NormalizedName, frozenset[str]] = {}
    while waiting:
        name, extras = waiting.pop()
        if extras <= seen.get(name, frozenset()) and name in seen:
            continue
        seen[name] = seen.get(name, frozenset()) | extras
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            return None
        for text in distribution.requires or ():
            need = Requirement(text)
            if need.marker is None or any(
                need.marker.evaluate({"extra": extra}) for extra in extras or {""}
            ):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))
    total = 0
    for name in seen:
        for file in metadata.distribution(name).files or ():
            path = Path(file.locate())
            if path.is_file():
                total += path.stat().st_size
    return {"packages": len(seen), "bytes": total}
