"""A run over many pictures, which resumes where it was interrupted.

All results are in one folder: ``journal.jsonl``, to which every picture adds a line and from which
a run resumes; and, written from it at the end, ``metrics.csv``, ``curves.csv``, ``summary.json``
and ``page.html``. Memory holds the pictures in progress and one number per figure and picture.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ortcam.batch.dataset import Item, Paths, collect, evenly_spaced
from ortcam.batch.journal import Journal, Record
from ortcam.batch.workers import CancelCheck, default_jobs, in_order
from ortcam.deprecated import renamed
from ortcam.errors import InputError, OutputError, PictureError, RegionError
from ortcam.evaluation.compare_artifacts import Correspondence, compare, correspondence
from ortcam.evaluation.graph_checks import GraphChecks, require_graph
from ortcam.evaluation.measure_picture import measure
from ortcam.evaluation.options import Options, checked_options, is_segmented
from ortcam.evaluation.output import tables
from ortcam.evaluation.output.page import write_page
from ortcam.evaluation.output.summary import Summary, summarise
from ortcam.evaluation.output.worst_pictures import RowPainter
from ortcam.inference.providers import Providers
from ortcam.messages import Option
from ortcam.methods.registry import GRAD_CAM
from ortcam.pictures.further_inputs import FurtherInputs
from ortcam.pictures.preprocess import Size
from ortcam.questions.names import Classes
from ortcam.version import __version__

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["Evaluation", "Progress", "evaluate"]

JOURNAL = "journal.jsonl"
MIN_AREA = 0.001

Progress = Callable[[int, int], None]
"""Called with the number of completed units of work, and the number of all."""

Unit = tuple[str, Callable[[CancelCheck], Record]]
"""A unit of work: its name, and the function that does it."""


@dataclass(frozen=True)
class Evaluation:
    """The result of a run.

    Attributes:
        folder: the folder with its files.
        summary: means, medians and intervals, mean curves, and the worst rows.
        notes: what was left out, and why.
    """

    folder: Path
    summary: Summary
    notes: tuple[str, ...] = ()


def evaluate(
    artifact: Cam | str | os.PathLike[str],
    pictures: Paths,
    output: str | os.PathLike[str],
    *,
    truth: str | os.PathLike[str] | None = None,
    against: Cam | str | os.PathLike[str] | None = None,
    methods: Iterable[str] | str = GRAD_CAM,
    metrics: Iterable[str] | str | None = None,
    classes: Classes | None = None,
    layers: Iterable[str] | str | None = None,
    limit: int | None = None,
    steps: int = 10,
    tolerance: float = 15.0,
    min_area: float | None = None,
    checks: int = 4,
    stages: int = 6,
    seed: int = 0,
    size: Size = None,
    inputs: FurtherInputs | None = None,
    providers: Providers | None = None,
    worst: int = 3,
    restart: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
    least: float | None = None,
) -> Evaluation:
    """Measure over many pictures whether an artifact's maps are faithful; see docs/evaluate.md.

    A class is evaluated in the pictures that contain it, according to the label image or, without
    label images, to the prediction. Of a classifier it is a class that the network sees; the
    metrics that need the class of each pixel are left out, with a note. An interrupted run
    resumes where it stopped.

    Args:
        artifact: an artifact, or its path.
        pictures: paths of pictures and folders.
        output: the folder for the results.
        truth: the folder of label images, ``NAME.png`` for each picture; see
            :data:`ortcam.pictures.label_image.Truth`. None uses the prediction as ground truth.
        against: a second artifact, whose maps are compared with those of the first; no other metric
            is computed then.
        methods: names from :data:`ortcam.methods.registry.METHODS`.
        metrics: names from :data:`ortcam.evaluation.metric_names.METRICS`; ``"all"`` for all of
            them, None for those that do not need the export step.
        classes: names or 0-based indices; None for all.
        layers: names; None for all layers of the artifact.
        limit: the number of pictures to evaluate, evenly spaced; None for all.
        steps: the number of parts into which deletion, insertion and ROAD divide a picture.
        tolerance: the tolerance of the pointing game, in pixels.
        min_area: skip classes that cover less than this fraction of a picture; None for 0.001.
        checks: the number of pictures for the gradient check and the randomisation.
        stages: the number of steps of the randomisation.
        seed: the random seed for tie-breaking, noise and weight shuffling.
        size: as for :meth:`ortcam.Cam.preprocess`.
        inputs: the network's further inputs, by name.
        providers: as for :func:`ortcam.load`, for artifacts given by path.
        worst: the number of pictures that the page shows for each figure.
        restart: start over if the folder already holds a run.
        jobs: the number of pictures evaluated at once, each in a thread; None for one per available
            core, at most four. The results do not depend on it.
        progress: called as the run progresses.
        least: the old name of ``min_area``.

    Raises:
        ArtifactError: the artifact lacks what a method needs.
        ClassError, LayerError: there is no such class or layer.
        DependencyError: a metric needs the export step, which is not installed.
        InputError: an option is out of range, or the folder holds a different run.
        ModelError: the network takes no pictures, but volumes.
        OutputError: the results cannot be written.

    Example:
        >>> import onnx, ortcam, ortcam_export, tempfile
        >>> from PIL import Image
        >>> network = onnx.parser.parse_model('''<ir_version: 8, opset_import: ["": 18]>
        ... n (float[1,3,8,8] x) => (float[1,3,8,8] y) { f = Relu(x)  y = Softmax<axis=1>(f) }''')
        >>> artifact = ortcam_export.export(network, feature_layers="f", verify=False).model
        >>> folder, noise = tempfile.mkdtemp(), np.random.default_rng(0).bytes(192)
        >>> Image.frombytes("RGB", (8, 8), noise).save(f"{folder}/noise.png")
        >>> run = evaluate(ortcam.load(artifact), folder, f"{folder}/out", metrics="energy")
        >>> [(line.cls, line.pictures) for line in run.summary.lines]
        [('', 1), ('class 0', 1), ('class 1', 1), ('class 2', 1)]
    """
    cam = _artifact(artifact, providers)
    other = None if against is None else _artifact(against, providers)
    min_area = renamed("least", least, "min_area", min_area)
    options = checked_options(
        cam,
        methods=methods,
        metrics=metrics,
        against=other is not None,
        classes=classes,
        layers=layers,
        steps=steps,
        tolerance=tolerance,
        min_area=MIN_AREA if min_area is None else min_area,
        checks=checks,
        stages=stages,
        seed=seed,
        size=size,
        inputs=inputs,
    )
    if truth is not None and not is_segmented(cam):
        raise InputError(
            f"the score {cam.artifact.score.name!r} gives no class to each pixel, so label images "
            "cannot be compared with it; leave ",
            Option("truth"),
            " out",
        )
    items = evenly_spaced(collect(pictures, truth), limit)
    work = _Workload(cam, other, options, items)
    folder = _output_folder(output)
    identity = _identity(work, truth)
    journal = Journal(folder / JOURNAL, identity, restart=restart)
    try:
        _run_units(work, journal, default_jobs() if jobs is None else jobs, progress)
    except KeyboardInterrupt:
        _write_tables(folder, work, journal, identity, worst)
        raise
    summary = _write_tables(folder, work, journal, identity, worst)
    painter = RowPainter(cam, other, work.shared, options, items)
    write_page(folder, Path(cam.source).name, _facts(work, identity), summary, painter)
    return Evaluation(folder, summary, (options.left_out,) if options.left_out else ())


class _Workload:
    """The units of work of a run."""

    def __init__(self, cam: Cam, other: Cam | None, options: Options, items: list[Item]) -> None:
        self.cam, self.other, self.options, self.items = cam, other, options, items
        self.shared: Correspondence | None = None
        if other is not None:
            self.shared = correspondence(cam, other, options)
        if options.by_exporter:
            require_graph(cam)

    @cached_property
    def checks(self) -> GraphChecks:
        """Read when first used: a run that resumes may not need the graph any more."""
        return GraphChecks(self.cam, self.options)

    def pictures(self) -> Iterator[Unit]:
        """One unit per picture; none if every metric is a check of the graph."""
        if set(self.options.metrics) != set(self.options.by_exporter):
            for item in self.items:
                yield item.name, partial(self._picture, item)

    def graph_checks(self) -> Iterator[Unit]:
        """The units of the two checks, which take a few of the pictures."""
        few = evenly_spaced(self.items, self.options.checks)
        if "gradient" in self.options.by_exporter:
            for item in few:
                unit = f"gradient check of {item.name}"
                yield unit, partial(self._gradient, unit, item)
        if "randomisation" in self.options.by_exporter:
            for stage in range(self.options.stages):
                unit = f"randomisation, step {stage + 1} of {self.options.stages}"
                yield unit, partial(self._randomisation, unit, stage, few)

    def _picture(self, item: Item, check: CancelCheck) -> Record:
        if self.other is None or self.shared is None:
            return measure(self.cam, self.options, item, check)
        return compare(self.cam, self.other, self.shared, self.options, item, check)

    def _gradient(self, unit: str, item: Item, _: CancelCheck) -> Record:
        return self.checks.gradient(unit, item)

    def _randomisation(self, unit: str, stage: int, few: list[Item], _: CancelCheck) -> Record:
        stages = self.checks.stages
        if stage >= len(stages):
            return Record(unit)
        return self.checks.randomisation(unit, stages[stage], few)


def _run_units(work: _Workload, journal: Journal, jobs: int, progress: Progress | None) -> None:
    """Run the units that the journal lacks, and record each."""
    report = progress or (lambda done, total: None)
    # Each check holds another network in memory, so they run one after the other.
    parts = [(list(work.pictures()), jobs), (list(work.graph_checks()), 1)]
    count = sum(len(units) for units, _ in parts)
    done = sum(name in journal.done for units, _ in parts for name, _ in units)
    report(done, count)
    for units, part_jobs in parts:
        tasks = (partial(_attempt, *unit) for unit in units if unit[0] not in journal.done)
        for record in in_order(tasks, part_jobs):
            journal.append(record)
            done += 1
            report(done, count)


def _attempt(name: str, work: Callable[[CancelCheck], Record], check: CancelCheck) -> Record:
    """The record of a unit; one that fails for its picture alone records the error."""
    try:
        return work(check)
    except (PictureError, RegionError) as error:
        return Record(name, error=str(error))


def _write_tables(
    folder: Path, work: _Workload, journal: Journal, identity: dict[str, Any], worst: int
) -> Summary:
    """Write the files that the journal alone determines."""
    names = {name for name, _ in chain(work.pictures(), work.graph_checks())}

    def records() -> Iterator[Record]:
        # The journal of an earlier run with a higher limit holds further pictures.
        return (record for record in journal.records() if record.unit in names)

    summary = summarise(records(), worst)
    tables.write_metrics(folder, records())
    tables.write_curves(folder, records())
    header = {
        **identity,
        "versions": _versions(work.cam),
        "classes": [work.cam.classes[i] for i in work.options.classes],
        "objects": _objects(identity),
        "pictures": len(work.items),
        "matched": [] if work.shared is None else list(work.shared.notes),
    }
    tables.write_summary(folder, {**header, **summary.as_dict()})
    return summary


def _identity(work: _Workload, truth: str | os.PathLike[str] | None) -> dict[str, Any]:
    """All that determines the results, except for the pictures, which their names identify."""
    return {
        "ortcam": __version__,
        "artifact": _checksums(work.cam),
        "against": None if work.other is None else _checksums(work.other),
        "truth": None if truth is None else str(truth),
        "options": work.options.as_dict(),
    }


def _facts(work: _Workload, identity: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts of the run that the page lists."""
    options = work.options
    artifacts = [work.cam] if work.other is None else [work.cam, work.other]
    facts = [
        (term, f"{cam.source}, SHA-256 {_checksums(cam)['sha256']}")
        for term, cam in zip(("artifact", "compared with"), artifacts, strict=False)
    ]
    facts += [
        ("layers", ", ".join(options.layers)),
        ("methods", ", ".join(options.methods)),
        ("objects", _objects(identity)),
        ("seed", str(options.seed)),
        *(("note", note) for note in (work.shared.notes if work.shared is not None else ())),
        *((("note", options.left_out),) if options.left_out else ()),
    ]
    versions = ", ".join(f"{name} {value}" for name, value in _versions(work.cam).items())
    return [*facts, ("versions", f"ortcam {__version__}, {versions}")]


def _objects(identity: dict[str, Any]) -> str:
    return "as predicted" if identity["truth"] is None else "as labelled"


def _checksums(cam: Cam) -> dict[str, str]:
    """The SHA-256 of an artifact's file, or of its metadata if it was opened from memory."""
    path = Path(cam.source)
    if path.is_file():
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    else:
        sha256 = hashlib.sha256(cam.artifact.to_json().encode()).hexdigest()
    return {"sha256": sha256, "network_sha256": cam.artifact.source_sha256}


def _versions(cam: Cam) -> dict[str, str]:
    import onnxruntime

    return {
        "onnxruntime": onnxruntime.__version__,
        "provider": cam.provider,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _artifact(artifact: Cam | str | os.PathLike[str], providers: Providers | None) -> Cam:
    from ortcam.cam import Cam, load

    return artifact if isinstance(artifact, Cam) else load(artifact, providers)


def _output_folder(output: str | os.PathLike[str]) -> Path:
    """Create the folder for the results.

    Raises:
        OutputError: the folder cannot be created.
    """
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"folder {folder} cannot be created: {error.strerror or error}"
        ) from error
    return folder
