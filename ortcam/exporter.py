"""The door to ``ortcam_export``, whose dependencies are the extra ``export``."""

from __future__ import annotations

from importlib.util import find_spec

from ortcam.errors import DependencyError

NEEDED = {"onnx": "onnx", "onnx_ir": "onnx-ir"}
"""The packages that ``ortcam_export`` needs, by module."""


def require_exporter() -> None:
    """Checks the exporter's dependencies before ``ortcam_export`` is imported.

    Raises:
        DependencyError: a package is not installed.
    """
    missing = [name for module, name in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise DependencyError(
            f"exporting a network needs {' and '.join(missing)}; pip install 'ortcam[export]'"
        )
