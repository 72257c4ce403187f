"""The two checks that need the network's graph, and so the export step.

Each check takes a few pictures of the run. The gradient check is one unit of work per picture; the
randomisation is one per step of the cascade, so that a single modified network is in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ortcam import exporter, metrics
from ortcam.batch.dataset import Item
from ortcam.batch.journal import Record, Row, rounded
from ortcam.errors import InputError, VerificationError
from ortcam.evaluation.options import Options
from ortcam.evaluation.sample import Sample, read_sample
from ortcam.grids.resample import upsample
from ortcam.pictures.network_inputs import feeds

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["GraphChecks", "require_graph"]


def require_graph(cam: Cam) -> None:
    """Check, before the work begins, that the two checks can run.

    Raises:
        DependencyError: a package that the export step builds on is missing.
        InputError: the artifact was not read from a file.
    """
    exporter.require_exporter("the metrics gradient and randomisation need")
    if not Path(cam.source).is_file():
        raise InputError(
            "the metrics gradient and randomisation read the artifact's file, but it was opened "
            "from memory; export it to a file first"
        )


class GraphChecks:
    """The checks of one artifact, whose graph is read once."""

    def __init__(self, cam: Cam, options: Options) -> None:
        """Read the artifact's file.

        Raises:
            ModelError: it is not a usable ONNX file.
        """
        self._cam, self._options = cam, options
        self._graph = exporter.graph_checks(Path(cam.source), cam.artifact)

    @property
    def stages(self) -> tuple[int, ...]:
        """The steps of the cascade: how many nodes, counted from the score, are shuffled."""
        nodes = len(self._graph.weighted)
        count = min(self._options.stages, nodes)
        return tuple(round((i + 1) * nodes / count) for i in range(count))

    def gradient(self, unit: str, item: Item) -> Record:
        """The relative error of the gradient in a picture, at each layer.

        Raises:
            PictureError: the picture cannot be read.
        """
        session, options = self._cam._graph.session, self._options
        network_inputs = feeds(
            self._cam.artifact, session.inputs, item.path, None, options.inputs, options.size
        )
        try:
            errors = self._graph.gradient_errors(session, network_inputs.arrays)
        except VerificationError as error:
            return Record(unit, notes=(f"{item.name}: {error}",))
        rows = [
            Row(item.name, "", layer, "", "gradient-error", "", rounded(errors[layer]))
            for layer in options.layers
        ]
        return Record(unit, tuple(rows))

    def randomisation(self, unit: str, last: int, items: Sequence[Item]) -> Record:
        """The similarity of the maps before and after the last nodes' weights are shuffled."""
        from ortcam.cam import load

        options = self._options
        methods = sorted({method.partition(":")[0] for method in options.methods})
        model, tensor = self._graph.shuffled(last, options.layers, methods, options.seed)
        shuffled = load(model, providers=self._cam.provider)
        stage = f"{last} of {len(self._graph.weighted)}, down to {tensor}"
        rows: list[Row] = []
        for item in items:
            sample = read_sample(self._cam, options, item)
            if sample.classes:
                other = Sample(shuffled, options, item.name, sample.rgb, None)
                rows += _similarity(sample, other, stage)
        return Record(unit, tuple(rows))


def _similarity(sample: Sample, other: Sample, stage: str) -> list[Row]:
    grid = sample.rgb.shape[:2]
    rows = []
    for first, second in zip(
        sample.explanations(sample.classes), other.explanations(sample.classes), strict=True
    ):
        for k, index in enumerate(sample.classes):
            for layer in first.layers:
                one, two = (upsample(maps.raw[layer][k], grid) for maps in (first, second))
                key = (sample.name, sample.cam.classes[index], layer, first.method)
                values = {
                    "randomised-spearman": metrics.spearman(one, two),
                    "randomised-top-iou": metrics.top_iou(one, two),
                }
                rows += [Row(*key, name, stage, rounded(v)) for name, v in values.items()]
    return rows
