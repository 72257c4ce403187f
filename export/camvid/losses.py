"""Cross-entropy balanced over the classes, and a surrogate loss of the IoU."""

import torch
from torch import Tensor
from torch.nn import functional

from camvid.classes import IGNORE


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Logits ``[N, C, H, W]`` against labels ``[N, H, W]``, one weight per class."""
    return functional.cross_entropy(logits, labels, weights, ignore_index=IGNORE)


def lovasz_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """The Lovasz extension of one minus the IoU, averaged over the batch's classes.

    Berman, Triki, Blaschko, "The Lovasz-Softmax loss: a tractable surrogate for the optimization
    of the intersection-over-union measure in neural networks", CVPR 2018.
    """
    classes = logits.shape[1]
    probabilities = logits.softmax(1).movedim(1, -1).reshape(-1, classes)
    flat = labels.reshape(-1)
    labelled = flat != IGNORE
    probabilities, flat = probabilities[labelled], flat[labelled]
    losses = []
    for c in range(classes):
        truth = (flat == c).float()
        if not truth.any():
            continue
        errors, order = (truth - probabilities[:, c]).abs().sort(descending=True)
        losses.append(errors @ jaccard_steps(truth[order]))
    return torch.stack(losses).mean()


def jaccard_steps(truth: Tensor) -> Tensor:
    """The increase of the Jaccard loss with each error, worst first: ``[P]`` to ``[P]``."""
    total = truth.sum()
    intersection = total - truth.cumsum(0)
    union = total + (1 - truth).cumsum(0)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
