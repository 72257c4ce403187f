"""The two checks that take the network's graph, by way of the export step.

Each is done on a few pictures of the run. The gradient's is a unit of work a picture; the
randomisation's one a step of the cascade, so that one network is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ortcam import metrics
from ortcam.batch.dataset import Item
from ortcam.batch.journal import Record, Row
from ortcam.errors import DependencyError, InputError, VerificationError
from ortcam.evaluation.measure_picture import Looked, look, rounded
from ortcam.evaluation.options import Options
from ortcam.grids.resample import upsample
from ortcam.pictures.network_inputs import feeds

if TYPE_CHECKING:
    from ortcam.cam import Cam
    from ortcam_export.graph_checks import Checked

__all__ = ["Checks", "require_exporter"]


def require_exporter(cam: Cam) -> None:
    """Finds out before the work whether the two checks can be done.

    Raises:
        DependencyError: what the export step builds on is not installed.
        InputError: the artifact was not read from a file.
    """
    missing = [name for name in ("onnx", "onnx_ir") if find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"the metrics gradient and randomisation need {' and '.join(missing)}; install what is "
            "missing with: pip install 'ortcam[export]'"
        )
    if not Path(cam.source).is_file():
        raise InputError(
            "the metrics gradient and randomisation read the artifact's file, and it was opened "
            "from memory; export it to a file first"
        )


class Checks:
    """An artifact's graph, read once."""

    def __init__(self, cam: Cam, asked: Options) -> None:
        """Reads the artifact's file again.

        Raises:
            ModelError: it is no usable ONNX file.
        """
        from ortcam_export.graph_checks import Checked

        self._cam, self._asked = cam, asked
        self._checked: Checked = Checked(Path(cam.source), cam.artifact)

    @property
    def stages(self) -> tuple[int, ...]:
        """After how many nodes with weights, from the score downwards, maps are compared."""
        nodes = len(self._checked.weighted)
        count = min(self._asked.stages, nodes)
        return tuple(round((i + 1) * nodes / count) for i in range(count))

    def gradient(self, unit: str, item: Item) -> Record:
        """The gradient's error on a picture, at each layer.

        Raises:
            PictureError: the picture cannot be read.
        """
        cam, asked = self._cam, self._asked
        fed = feeds(
            cam.artifact,
            cam._graph.session.inputs,
            item.path,
            None,
            asked.inputs,
            asked.size,
        )
        try:
            found = self._checked.gradient_errors(cam._graph.session, fed.arrays)
        except VerificationError as error:
            return Record(unit, notes=(f"{item.name}: {error}",))
        rows = [
            Row(item.name, "", layer, "", "gradient-error", "", rounded(found[layer]))
            for layer in asked.layers
        ]
        return Record(unit, tuple(rows))

    def randomised(self, unit: str, last: int, items: Sequence[Item]) -> Record:
        """How alike the maps are to those of a network whose last weights are shuffled."""
        from ortcam.cam import load

        asked = self._asked
        names = sorted({method.partition(":")[0] for method in asked.methods})
        model, tensor = self._checked.shuffled(last, asked.layers, names, asked.seed)
        other = load(model, providers=self._cam.provider)
        how_far = f"{last} of {len(self._checked.weighted)}, down to {tensor}"
        rows: list[Row] = []
        for item in items:
            looked = look(self._cam, asked, item)
            if looked.classes:
                there = Looked(other, asked, item.name, looked.rgb, None)
                rows += _likeness(looked, there, how_far)
        return Record(unit, tuple(rows))


def _likeness(looked: Looked, other: Looked, how_far: str) -> list[Row]:
    grid = looked.rgb.shape[:2]
    rows = []
    for mine, its in zip(
        looked.explained(looked.classes), other.explained(looked.classes), strict=True
    ):
        for k, index in enumerate(looked.classes):
            for layer in mine.layers:
                one, two = (upsample(maps.raw[layer][k], grid) for maps in (mine, its))
                about = (looked.name, looked.cam.classes[index], layer, mine.method)
                found = {
                    "randomised-spearman": metrics.spearman(one, two),
                    "randomised-top-iou": metrics.top_iou(one, two),
                }
                rows += [Row(*about, name, how_far, rounded(v)) for name, v in found.items()]
    return rows
