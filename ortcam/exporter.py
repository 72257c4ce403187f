"""The only door to ``ortcam_export``, the export step, which is imported on first use.

The export step needs onnx and onnx-ir, an extra of ortcam's. Nothing else in ``ortcam`` imports it,
for its types either: they are re-exported here for type checking.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ortcam.errors import DependencyError

if TYPE_CHECKING:
    from ortcam.artifact import Artifact
    from ortcam_export import Candidate as Candidate
    from ortcam_export import Exported as Exported
    from ortcam_export import Survey as Survey
    from ortcam_export.graph_checks import Checked as Checked

DISTRIBUTIONS = {"onnx": "onnx", "onnx_ir": "onnx-ir"}
"""The distribution of each module that the export step needs."""


def require_exporter(subject: str = "exporting a network needs") -> None:
    """Check that ``ortcam_export`` can be imported.

    Args:
        subject: the beginning of the message, up to its verb.

    Raises:
        DependencyError: a package that it needs is not installed.
    """
    missing = [name for module, name in DISTRIBUTIONS.items() if find_spec(module) is None]
    if missing:
        raise DependencyError(
            f"{subject} {' and '.join(missing)}; "
            "install what is missing with: pip install 'ortcam[export]'"
        )


def export(network: Path, output: Path | None = None, **options: Any) -> Exported:
    """Export a network; see :func:`ortcam_export.export`."""
    require_exporter()
    import ortcam_export

    return ortcam_export.export(network, output, **options)


def layers(network: Path, **options: Any) -> list[Candidate]:
    """List candidate feature layers and scores; see :func:`ortcam_export.layers`."""
    require_exporter()
    import ortcam_export

    return ortcam_export.layers(network, **options)


def survey(network: Path, picture: Path, question: str | None, **options: Any) -> Survey:
    """Measure the map of every feature layer; see :func:`ortcam_export.survey`."""
    require_exporter()
    import ortcam_export

    return ortcam_export.survey(network, picture, question, **options)


def in_order(features: Sequence[Candidate], order: str) -> list[Candidate]:
    """Feature layers, sorted; see :func:`ortcam_export.layers.ranking.in_order`."""
    require_exporter()
    from ortcam_export.layers import ranking

    return ranking.in_order(features, order)


def graph_checks(file: Path, artifact: Artifact) -> Checked:
    """The graph of an artifact's file, for checks of its gradient and of shuffled weights."""
    require_exporter()
    from ortcam_export.graph_checks import Checked

    return Checked(file, artifact)
