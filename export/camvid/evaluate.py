"""Measure an ONNX network in ONNX Runtime, on CamVid's test frames and on unseen rendered scenes.

It prints a Markdown table of the IoU of each class, and needs neither PyTorch nor onnx. For the
arguments, see ``python -m camvid.evaluate --help``.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from camvid.classes import CLASSES, IGNORE
from camvid.data import Sample, load_camvid, normalise
from camvid.scenes import render

UNSEEN = 100_000
"""The first seed of the evaluation scenes; training uses lower ones."""


@dataclass
class Score:
    """A confusion matrix ``int64 [truth, prediction]`` over the classes, and its metrics."""

    confusion: NDArray[np.int64]
    pictures: int

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class; NaN for a class that does not occur."""
        hits = np.diag(self.confusion).astype(np.float64)
        union = self.confusion.sum(0) + self.confusion.sum(1) - hits
        iou: NDArray[np.float64] = np.full_like(hits, np.nan)
        np.divide(hits, union, out=iou, where=union > 0)
        return iou

    @property
    def mean_iou(self) -> float:
        """The mean IoU over the classes that occur."""
        return float(np.nanmean(self.iou))

    @property
    def accuracy(self) -> float:
        """The fraction of the labelled pixels that are predicted correctly."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    def as_dict(self) -> dict[str, object]:
        """All metrics, as JSON data."""
        return {
            "pictures": self.pictures,
            "mean_iou": self.mean_iou,
            "accuracy": self.accuracy,
            "iou": dict(zip(CLASSES, self.iou.tolist(), strict=True)),
        }


def predict(session: onnxruntime.InferenceSession, rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Each pixel's class, ``[H, W]``, for a picture ``uint8 [H, W, 3]``."""
    (scores,) = session.run(["softmax-out"], {"input": normalise(rgb)[None]})
    classes: NDArray[np.int64] = scores[0].argmax(0)
    return classes


def measure(session: onnxruntime.InferenceSession, samples: Iterable[Sample]) -> Score:
    """The confusion matrix over the labelled pixels of all samples."""
    n = len(CLASSES)
    score = Score(np.zeros((n, n), np.int64), 0)
    for rgb, labels in samples:
        labelled = labels != IGNORE
        pairs = labels[labelled].astype(np.int64) * n + predict(session, rgb)[labelled]
        score.confusion += np.bincount(pairs, minlength=n * n).reshape(n, n)
        score.pictures += 1
    return score


def markdown(scores: dict[str, Score]) -> str:
    """A Markdown table: a row per class, a column per data set."""
    rows = [["", *(f"{name} ({score.pictures})" for name, score in scores.items())]]
    rows.append(["---"] * (len(scores) + 1))
    rows.append(["**mean IoU**", *(f"**{score.mean_iou:.3f}**" for score in scores.values())])
    rows.append(["pixel accuracy", *(f"{score.accuracy:.3f}" for score in scores.values())])
    for index, name in enumerate(CLASSES):
        rows.append([name, *(f"{score.iou[index]:.3f}" for score in scores.values())])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def open_session(network: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open the network on the CPU, even if there is a GPU, so that the figures are reproducible."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(str(network), options, providers=providers)


@click.command(context_settings={"show_default": True})
@click.argument("network", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--camvid", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="CamVid's folder; without it, only rendered scenes are measured.")  # fmt: skip
@click.option("--split", default="test")
@click.option("--scenes", default=50, help="The number of scenes to render and measure.")
@click.option("--first", default=UNSEEN, help="The first scene's seed.")
@click.option("--threads", default=0, help="Threads of ONNX Runtime; 0 for one per core.")
@click.option("--json", "target", type=click.Path(dir_okay=False, path_type=Path))
def main(
    network: Path,
    camvid: Path | None,
    split: str,
    scenes: int,
    first: int,
    threads: int,
    target: Path | None,
) -> None:
    """Measure NETWORK, print a Markdown table, and with --json write the metrics as JSON."""
    session = open_session(network, threads)
    scores: dict[str, Score] = {}
    if camvid:
        scores[f"CamVid {split}"] = measure(session, load_camvid(camvid, [split]))
    if scenes:
        seeds = range(first, first + scenes)
        scores["rendered scenes"] = measure(session, (render(seed) for seed in seeds))
    click.echo(markdown(scores))
    if target:
        figures = {name: score.as_dict() for name, score in scores.items()}
        target.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
