"""A run over many pictures: what is done already is kept, what is left is done, tables are written.

Results lie in one folder: ``journal.jsonl``, to which every picture adds a line and from which a
run goes on; and, written whole from it at the end, ``metrics.csv``, ``curves.csv``,
``summary.json`` and ``page.html``. In memory there are the pictures that are worked on, and a
number for each figure.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ortcam.batch.dataset import Item, Paths, collect, evenly
from ortcam.batch.journal import Journal, Record
from ortcam.batch.workers import CancelCheck, in_order, usual
from ortcam.errors import OutputError, PictureError, RegionError
from ortcam.evaluation.compare_artifacts import Match, compare, match
from ortcam.evaluation.graph_checks import Checks, require_exporter
from ortcam.evaluation.measure_picture import measure
from ortcam.evaluation.options import Options, by_exporter, options
from ortcam.evaluation.output import tables
from ortcam.evaluation.output.page import write_page
from ortcam.evaluation.output.summary import Summary, summarise
from ortcam.evaluation.output.worst_pictures import Drawn
from ortcam.inference.providers import Providers
from ortcam.methods.registry import GRAD_CAM
from ortcam.pictures.preprocess import Size
from ortcam.questions.names import Classes
from ortcam.version import __version__

if TYPE_CHECKING:
    from ortcam.cam import Cam

__all__ = ["Evaluation", "Progress", "evaluate"]

JOURNAL = "journal.jsonl"

Progress = Callable[[int, int], None]
"""Is told how many units of work are done, and how many there are."""

Unit = tuple[str, Callable[[CancelCheck], Record]]
"""A unit of work: its name, and what does it."""


@dataclass(frozen=True)
class Evaluation:
    """What a run found.

    Attributes:
        folder: where its files lie.
        summary: means, medians and intervals, curves, the worst rows.
    """

    folder: Path
    summary: Summary


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
    least: float = 0.001,
    checks: int = 4,
    stages: int = 6,
    seed: int = 0,
    size: Size = None,
    inputs: Mapping[str, ArrayLike] | None = None,
    providers: Providers | None = None,
    worst: int = 3,
    restart: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Asks whether an artifact's maps are true, over many pictures; docs/evaluate.md says how.

    A class is asked about in a picture where it is: by the label image, or without one by the
    prediction. A run that was broken off goes on where it was.

    Args:
        artifact: its path, or opened.
        pictures: paths of pictures and folders.
        output: a folder for the results.
        truth: the folder of label images, ``NAME.png`` for each picture; see
            :data:`ortcam.pictures.label_image.Truth`. None takes the prediction for the truth.
        against: a second artifact, whose maps are compared with the first's; then nothing else is
            measured.
        methods: how maps are made, by the names of :data:`ortcam.methods.registry.METHODS`.
        metrics: by the names of :data:`ortcam.evaluation.metric_names.ASKED`; None for all that
            take no export step, ``"all"`` for those too.
        classes: by name or 0-based index; None for all.
        layers: by name; None for all of the artifact's.
        limit: how many of the pictures, evenly spaced; None for all.
        steps: into how many parts a picture is divided for deletion, insertion and ROAD.
        tolerance: of the pointing game, in pixels.
        least: the share of a picture that a class must have to count there.
        checks: in how many pictures the gradient and the randomisation are checked.
        stages: of the randomisation.
        seed: of ties, noise and shuffled weights.
        size: as for :meth:`ortcam.Cam.preprocess`.
        inputs: the network's further inputs, by name.
        providers: as for :func:`ortcam.load`, where a path is given.
        worst: how many pictures the page shows for each figure.
        restart: begin anew where there is a run already.
        jobs: how many pictures are worked on at once, by as many threads; None for one for each
            core that there is to use, up to four. The figures do not depend on it.
        progress: is told how far the work is.

    Raises:
        ArtifactError: the artifact lacks what a method needs.
        ClassError, LayerError: there is no such class or layer.
        DependencyError: a metric takes the export step, which is not installed.
        InputError: an option does not fit, or the folder holds a run of other options.
        ModelError: the network segments no pictures.
        OutputError: the results cannot be written.
    """
    cam = _opened(artifact, providers)
    other = None if against is None else _opened(against, providers)
    asked = options(
        cam,
        methods=methods,
        metrics=metrics,
        against=other is not None,
        classes=classes,
        layers=layers,
        steps=steps,
        tolerance=tolerance,
        least=least,
        checks=checks,
        stages=stages,
        seed=seed,
        size=size,
        inputs=inputs,
    )
    items = evenly(collect(pictures, truth), limit)
    work = _Work(cam, other, asked, items)
    folder = _folder(output)
    identity = _identity(work, truth)
    journal = Journal(folder / JOURNAL, identity, restart=restart)
    try:
        _do(work, journal, usual() if jobs is None else jobs, progress)
    except KeyboardInterrupt:
        _write_tables(folder, work, journal, identity, worst)
        raise
    summary = _write_tables(folder, work, journal, identity, worst)
    drawn = Drawn(cam, other, work.match, asked, items)
    write_page(folder, Path(cam.source).name, _facts(work, identity), summary, drawn)
    return Evaluation(folder, summary)


class _Work:
    """What there is to do."""

    def __init__(self, cam: Cam, other: Cam | None, asked: Options, items: list[Item]) -> None:
        self.cam, self.other, self.asked, self.items = cam, other, asked, items
        self.match: Match | None = None if other is None else match(cam, other, asked)
        self.needs = by_exporter(asked)
        self.alone = set(asked.metrics) == set(self.needs)  # nothing to do for each picture
        if self.needs:
            require_exporter(cam)

    @cached_property
    def checks(self) -> Checks:
        """Read when a unit of work needs it: one that goes on may need it no more."""
        return Checks(self.cam, self.asked)

    def pictures(self) -> Iterator[Unit]:
        """Each picture, with its name."""
        if not self.alone:
            for item in self.items:
                yield item.name, partial(self._picture, item)

    def further(self) -> Iterator[Unit]:
        """The two checks, which take a few of the pictures."""
        few = evenly(self.items, self.asked.checks)
        if "gradient" in self.needs:
            for item in few:
                unit = f"the gradient on {item.name}"
                yield unit, partial(self._gradient, unit, item)
        if "randomisation" in self.needs:
            for stage in range(self.asked.stages):
                unit = f"randomisation, step {stage + 1} of {self.asked.stages}"
                yield unit, partial(self._randomised, unit, stage, few)

    def _picture(self, item: Item, going: CancelCheck) -> Record:
        if self.other is None or self.match is None:
            return measure(self.cam, self.asked, item, going)
        return compare(self.cam, self.other, self.match, self.asked, item, going)

    def _gradient(self, unit: str, item: Item, _: CancelCheck) -> Record:
        return self.checks.gradient(unit, item)

    def _randomised(self, unit: str, stage: int, few: list[Item], _: CancelCheck) -> Record:
        stages = self.checks.stages
        if stage >= len(stages):
            return Record(unit)
        return self.checks.randomised(unit, stages[stage], few)


def _do(work: _Work, journal: Journal, jobs: int, progress: Progress | None) -> None:
    """What is not in the journal yet; a picture for which it cannot be done is noted there."""
    told = progress or (lambda done, total: None)
    # Each check holds a network of its own in memory, so they are done one after the other.
    parts = [(list(work.pictures()), jobs), (list(work.further()), 1)]
    count = sum(len(units) for units, _ in parts)
    done = sum(name in journal.done for units, _ in parts for name, _ in units)
    told(done, count)
    for units, at_once in parts:
        left = (partial(_noted, *unit) for unit in units if unit[0] not in journal.done)
        for record in in_order(left, at_once):
            journal.append(record)
            done += 1
            told(done, count)


def _noted(name: str, do: Callable[[CancelCheck], Record], going: CancelCheck) -> Record:
    try:
        return do(going)
    except (PictureError, RegionError) as error:
        return Record(name, error=str(error))


def _write_tables(
    folder: Path, work: _Work, journal: Journal, identity: dict[str, Any], worst: int
) -> Summary:
    """All files that are made of the journal."""
    names = {name for name, _ in chain(work.pictures(), work.further())}

    def records() -> Iterator[Record]:
        # A run with a lower limit than the one before takes its own pictures alone.
        return (record for record in journal.records() if record.unit in names)

    summary = summarise(records(), worst)
    tables.write_metrics(folder, records())
    tables.write_curves(folder, records())
    head = {
        **identity,
        "versions": _versions(work.cam),
        "classes": [work.cam.classes[i] for i in work.asked.classes],
        "objects": _objects(identity),
        "pictures": len(work.items),
        "matched": [] if work.match is None else list(work.match.notes),
    }
    tables.write_summary(folder, {**head, **summary.as_dict()})
    return summary


def _identity(work: _Work, truth: str | os.PathLike[str] | None) -> dict[str, Any]:
    """What the figures depend on but for the pictures, which go by their names."""
    return {
        "ortcam": __version__,
        "artifact": _named(work.cam),
        "against": None if work.other is None else _named(work.other),
        "truth": None if truth is None else str(truth),
        "options": work.asked.asked(),
    }


def _facts(work: _Work, identity: dict[str, Any]) -> list[tuple[str, str]]:
    """What the page says of the run."""
    asked = work.asked
    sources = [work.cam] if work.other is None else [work.cam, work.other]
    told = [
        (words, f"{cam.source}, SHA-256 {_named(cam)['sha256']}")
        for words, cam in zip(("artifact", "against"), sources, strict=False)
    ]
    told += [
        ("layers", ", ".join(asked.layers)),
        ("methods", ", ".join(asked.methods)),
        ("objects", _objects(identity)),
        ("seed", str(asked.seed)),
        *(("matched", note) for note in (work.match.notes if work.match is not None else ())),
    ]
    versions = ", ".join(f"{name} {value}" for name, value in _versions(work.cam).items())
    return [*told, ("versions", f"ortcam {__version__}, {versions}")]


def _objects(identity: dict[str, Any]) -> str:
    return "as predicted" if identity["truth"] is None else "as labelled"


def _named(cam: Cam) -> dict[str, str]:
    """An artifact's identity: the SHA-256 of its file, or of its metadata where it has none."""
    path = Path(cam.source)
    if path.is_file():
        with path.open("rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
    else:
        own = hashlib.sha256(cam.artifact.to_json().encode()).hexdigest()
    return {"sha256": own, "network_sha256": cam.artifact.source_sha256}


def _versions(cam: Cam) -> dict[str, str]:
    import onnxruntime

    return {
        "onnxruntime": onnxruntime.__version__,
        "provider": cam.provider,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _opened(artifact: Cam | str | os.PathLike[str], providers: Providers | None) -> Cam:
    from ortcam.cam import Cam, load

    return artifact if isinstance(artifact, Cam) else load(artifact, providers)


def _folder(output: str | os.PathLike[str]) -> Path:
    """The folder for the results, made where it is not there.

    Raises:
        OutputError: it cannot be.
    """
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made, or is no folder: {error.strerror or error}"
        ) from error
    return folder
