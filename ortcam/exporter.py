"""The export step, for the commands that need it; what it builds on is an extra of ortcam's."""

from __future__ import annotations

from importlib.util import find_spec

from ortcam.errors import DependencyError

NEEDED = {"onnx": "onnx", "onnx_ir": "onnx-ir"}
"""Module and distribution of each."""


def require_exporter() -> None:
    """Says what to install before ``ortcam_export`` is imported.

    Raises:
        DependencyError: a package that it builds on is not there.
    """
    missing = [name for module, name in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise DependencyError(
            f"exporting a network needs {' and '.join(missing)}; "
            "install what is missing with: pip install 'ortcam[export]'"
        )
