"""Train the network on CamVid and on rendered scenes.

A run is limited by steps or by time. It saves a checkpoint every few minutes, resumes from it when
started again, and finally writes the averaged weights as ``weights.npz`` for ``camvid.export``. For
the arguments, see ``python -m camvid.train --help``.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from camvid.classes import IGNORE
from camvid.data import Sample, augment, load_camvid, load_scenes, normalise
from camvid.losses import cross_entropy, lovasz_softmax
from camvid.network import DeepLabV3Plus


class Crops(IterableDataset[tuple[Tensor, Tensor]]):
    """An endless stream of augmented crops: a ``share`` from the scenes, the rest from CamVid."""

    def __init__(
        self,
        frames: list[Sample],
        scenes: list[Sample],
        share: float,
        size: tuple[int, int],
        seed: int,
    ) -> None:
        self.sources = [frames, scenes]
        self.share = share if scenes else 0.0
        self.size = size
        self.seed = seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The stream of one worker."""
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            sample, donor = (self.draw(rng) for _ in range(2))
            rgb, labels = augment(sample, donor, self.size, rng)
            yield torch.from_numpy(normalise(rgb)), torch.from_numpy(labels.astype(np.int64))

    def draw(self, rng: np.random.Generator) -> Sample:
        """A sample from either source."""
        source = self.sources[rng.random() < self.share]
        return source[rng.integers(len(source))]


def class_weights(samples: list[Sample]) -> Tensor:
    """The square root of median frequency over frequency, at most 6."""
    labels = [np.bincount(labels.ravel(), minlength=IGNORE + 1)[:IGNORE] for _, labels in samples]
    frequency = np.sum(labels, axis=0) / np.sum(labels)
    weights = np.sqrt(np.median(frequency) / frequency).clip(max=6)
    return torch.from_numpy(weights.astype(np.float32))


def parameter_groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay on kernels; none on biases and batch normalisation."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def read_weights(network: nn.Module, path: Path) -> None:
    """Load an .npz of the state dict."""
    with np.load(path) as arrays:
        network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})


def write_weights(network: nn.Module, path: Path) -> None:
    """Save the state dict as an .npz."""
    np.savez(path, **{name: value.cpu().numpy() for name, value in network.state_dict().items()})


class Run:
    """The network, its moving average, its optimiser, and their progress."""

    def __init__(self, device: torch.device, decay: float, dropout: float, average: float) -> None:
        self.network = DeepLabV3Plus(dropout=dropout).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ema = get_ema_multi_avg_fn(average)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.network, multi_avg_fn=ema, use_buffers=True)
        self.optimiser = torch.optim.AdamW(parameter_groups(self.network, decay))
        self.step = 0
        self.seconds = 0.0

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def rate(progress: float, peak: float) -> float:
    """A short warm-up, then a cosine to (nearly) zero; ``progress`` goes from 0 to 1."""
    return peak * min(progress / 0.02 + 0.05, 1) * (0.5 + 0.5 * math.cos(math.pi * progress) + 1e-3)


def descend(
    run: Run, batch: tuple[Tensor, Tensor], weights: Tensor, lovasz: float
) -> tuple[float, float]:
    """Take one step of the optimiser, and return the two losses."""
    device = weights.device
    pictures = batch[0].to(device, memory_format=torch.channels_last)
    labels = batch[1].to(device)
    with torch.autocast(device.type, torch.bfloat16):
        logits = run.network(pictures)
    logits = logits.float()
    entropy = cross_entropy(logits, labels, weights)
    loss, gap = entropy, torch.zeros(())
    if lovasz:
        # Sorting is expensive: use every third row and column, from a changing corner.
        y, x = run.step % 3, run.step // 3 % 3
        gap = lovasz_softmax(logits[:, :, y::3, x::3], labels[:, y::3, x::3])
        loss = (1 - lovasz) * entropy + lovasz * gap
    run.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
    run.optimiser.step()
    run.average.update_parameters(run.network)
    run.step += 1
    return entropy.item(), gap.item()


@click.command(context_settings={"show_default": True})
@click.argument("camvid", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option("--scenes", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--init", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Weights (.npz) to start from.  [default: random]")  # fmt: skip
@click.option("--split", "splits", multiple=True, default=("train", "val"))
@click.option("--share", default=0.3, help="The fraction of crops from scenes.")
@click.option("--minutes", type=float, help="The length of the run, instead of --steps.")
@click.option("--steps", default=6000)
@click.option("--batch", default=8)
@click.option("--crop", default=(384, 288), type=(int, int), help="Width and height.")
@click.option("--peak", default=1.5e-3, help="The highest learning rate.")
@click.option("--decay", default=0.03, help="Weight decay.")
@click.option("--dropout", default=0.1, help="Dropout of whole channels before the decoder.")
@click.option("--average", default=0.996, help="Decay of the moving average of the weights.")
@click.option("--lovasz", default=0.5, help="The fraction of the IoU loss, once it is used.")
@click.option("--lovasz-from", default=0.45, help="The progress from which the IoU loss is used.")
@click.option("--workers", default=1)
@click.option("--seed", default=0)
@click.option("--device", default="cuda" if torch.cuda.is_available() else "cpu")
def main(
    camvid: Path,
    output: Path,
    scenes: Path | None,
    init: Path | None,
    splits: tuple[str, ...],
    share: float,
    minutes: float | None,
    steps: int,
    batch: int,
    crop: tuple[int, int],
    peak: float,
    decay: float,
    dropout: float,
    average: float,
    lovasz: float,
    lovasz_from: float,
    workers: int,
    seed: int,
    device: str,
) -> None:
    """Train on the splits of the folder CAMVID; write checkpoint and weights to OUTPUT."""
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    run = Run(torch.device(device), decay, dropout, average)
    checkpoint = output / "checkpoint.pt"
    if checkpoint.exists():
        run.load(checkpoint)
    elif init:
        read_weights(run.network, init)
    frames = load_camvid(camvid, splits)
    rendered = load_scenes(scenes) if scenes else []
    weights = class_weights(frames).to(device)
    click.echo(f"{len(frames)} frames, {len(rendered)} scenes, weights {weights.tolist()}")
    crops = Crops(frames, rendered, share, crop, seed=seed + 1000 * run.step)
    batches = iter(DataLoader(crops, batch, num_workers=workers))
    run.network.train()
    started = time.monotonic() - run.seconds
    losses = []
    while True:
        progress = run.seconds / 60 / minutes if minutes else run.step / steps
        if progress >= 1:
            break
        for group in run.optimiser.param_groups:
            group["lr"] = rate(progress, peak)
        part = lovasz if progress >= lovasz_from else 0.0
        losses.append(descend(run, next(batches), weights, part))
        run.seconds = time.monotonic() - started
        if run.step % 25 == 0:
            entropy, gap = np.mean(losses, axis=0)
            losses.clear()
            click.echo(
                f"step {run.step}, {run.seconds / 60:.1f} min, progress {progress:.3f}: "
                f"cross-entropy {entropy:.4f}, Lovasz {gap:.4f}"
            )
        if run.step % 200 == 0:
            run.save(checkpoint)
            write_weights(run.average.module, output / "weights.npz")
    run.save(checkpoint)
    write_weights(run.average.module, output / "weights.npz")


if __name__ == "__main__":
    main()
