"""The size of a package and its dependencies on the disk, from the records of installed files."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

__all__ = ["KITS", "install_size"]

KITS = {
    "onnxruntime alone": ("onnxruntime",),
    "ortcam[cpu]": ("onnxruntime", "numpy", "pillow", "click"),
    "ortcam[cpu,export,plot]": ("onnxruntime", "pillow", "click", "onnx", "onnx-ir", "matplotlib"),
    "torch, by hand": ("torch", "numpy"),
    "pytorch-grad-cam": ("grad-cam",),
    "Captum": ("captum",),
}
"""The packages of each tool; ortcam's own files, 0.4 MB, are not counted."""


def install_size(packages: Iterable[str]) -> dict[str, int] | None:
    """The number of distributions that packages need, including themselves, and their bytes.

    Returns:
        ``{"packages": ..., "bytes": ...}``; None if one of them is not installed.
    """
    queue = [(canonicalize_name(name), frozenset[str]()) for name in packages]
    extras_of: dict[NormalizedName, frozenset[str]] = {}
    while queue:
        name, extras = queue.pop()
        if extras <= extras_of.get(name, frozenset()) and name in extras_of:
            continue
        extras_of[name] = extras_of.get(name, frozenset()) | extras
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            return None
        for text in distribution.requires or ():
            need = Requirement(text)
            if need.marker is None or any(
                need.marker.evaluate({"extra": extra}) for extra in extras or {""}
            ):
                queue.append((canonicalize_name(need.name), frozenset(need.extras)))
    total = 0
    for name in extras_of:
        for file in metadata.distribution(name).files or ():
            path = Path(file.locate())
            if path.is_file():
                total += path.stat().st_size
    return {"packages": len(extras_of), "bytes": total}
