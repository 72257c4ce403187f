"""Shift the scorer's biases towards the mean IoU, on training pictures alone.

The arg max of well-calibrated scores maximises the accuracy, not the IoU, and a loss with class
weights leaves the scores of rare classes too high. One bias per class, found by coordinate ascent
on augmented training crops, compensates for both; the architecture stays the same.
"""

from itertools import product
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from camvid.classes import CLASSES, IGNORE
from camvid.data import Sample, augment, load_camvid, load_scenes, normalise
from camvid.network import DeepLabV3Plus, resize

STRIDE = 5  # neighbouring pixels add little


def collect(
    network: DeepLabV3Plus, samples: list[Sample], crops: int, size: tuple[int, int], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits ``[P, C]`` and labels ``[P]`` at a grid of pixels of augmented crops."""
    rng = np.random.default_rng(seed)
    logits, truth = [], []
    for _ in range(crops):
        sample, donor = (samples[rng.integers(len(samples))] for _ in range(2))
        rgb, labels = augment(sample, donor, size, rng)
        x = torch.from_numpy(normalise(rgb))[None]
        with torch.no_grad():
            scores = resize(network.scores(x), x)[0, :, ::STRIDE, ::STRIDE].flatten(1).T
        flat = labels[::STRIDE, ::STRIDE].reshape(-1)
        labelled = flat != IGNORE
        logits.append(scores.numpy()[labelled])
        truth.append(flat[labelled].astype(np.int64))
    return np.concatenate(logits), np.concatenate(truth)


def mean_iou(prediction: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """The mean IoU over all classes, for labels ``[P]``."""
    n = len(CLASSES)
    confusion = np.bincount(truth * n + prediction, minlength=n * n).reshape(n, n)
    hits = np.diag(confusion)
    return float(np.mean(hits / (confusion.sum(0) + confusion.sum(1) - hits).clip(1)))


def ascend(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> NDArray[np.float32]:
    """Biases ``[C]`` by coordinate ascent on the mean IoU, in steps that grow finer."""
    bias = np.zeros(len(CLASSES), np.float32)
    best = mean_iou(logits.argmax(1), truth)
    for step in (0.4, 0.4, 0.2, 0.2, 0.1, 0.1):
        for c, delta in product(range(len(CLASSES)), (-step, step)):
            candidate = bias.copy()
            candidate[c] += delta
            score = mean_iou((logits + candidate).argmax(1), truth)
            if score > best:
                best, bias = score, candidate
    centred: NDArray[np.float32] = bias - bias.mean()
    return centred


@click.command(context_settings={"show_default": True})
@click.argument("camvid", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scenes", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", "splits", multiple=True, default=("train", "val"))
@click.option("--crops", default=200)
@click.option("--size", default=(480, 360), type=(int, int), help="Width and height of a crop.")
@click.option("--seed", default=1)
def main(
    camvid: Path,
    weights: Path,
    output: Path,
    scenes: Path | None,
    splits: tuple[str, ...],
    crops: int,
    size: tuple[int, int],
    seed: int,
) -> None:
    """Read WEIGHTS (.npz), shift the biases on CAMVID's frames and on scenes, write OUTPUT."""
    with np.load(weights) as file:
        arrays = dict(file)
    network = DeepLabV3Plus()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    samples = load_camvid(camvid, splits) + (load_scenes(scenes) if scenes else [])
    logits, truth = collect(network.eval(), samples, crops, size, seed)
    bias = ascend(logits, truth)
    before, after = (mean_iou((logits + b).argmax(1), truth) for b in (0 * bias, bias))
    click.echo(f"mean IoU of the crops: {before:.4f}, calibrated {after:.4f}")
    for name, value in zip(CLASSES, bias, strict=True):
        click.echo(f"{name}: {value:+.2f}")
    arrays["scorer.bias"] = arrays["scorer.bias"] + bias
    np.savez(output, **arrays)


if __name__ == "__main__":
    main()
