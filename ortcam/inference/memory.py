"""The number of questions and pictures that fit a memory budget, estimated from tensor sizes.

A budget counts what a run takes beside one plain inference. Every element is a float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

__all__ = ["MEMORY", "passes_that_fit", "pooled_questions_that_fit", "questions_that_fit"]

MEMORY = 2 * 2**30
"""The default budget in bytes."""

_BYTES = 4

_LIVE = 2
"""Cotangents of a tensor's size that are alive at once: a step of the backward pass reads one and
writes one."""

_UNTRIED = 4
"""Questions in a run before the tensors' sizes are known: they take little beside inference."""

_EARLY = 16
"""Elements of an early layer for each element of the picture. A layer of 64 channels at the size of
a picture of 3 has 21, and most networks' have fewer."""

_WINDOWS = 9
"""Contractions of a cotangent on the way to a pooled layer: those of a 3 x 3 scorer."""

_FORWARD = 100
"""Elements that a forward pass keeps for each of the picture's; DeepLab v3+ on a ResNet-18 keeps
54."""

_BACKWARD = 50
"""Elements that a question's gradient takes beside these; in the same network, 17."""

_MOST = 2**31
"""More questions than anybody asks."""


def questions_that_fit(
    memory: float,
    sizes: Sequence[tuple[int, ...] | None],
    *,
    picture: tuple[int, ...],
    classes: int,
    to_picture: bool = False,
) -> int:
    """The number of questions whose cotangents fit into memory.

    Args:
        memory: the budget in bytes.
        sizes: the shapes of the score and of the layers, in this order; None where unknown.
        picture: the shape of the input that takes the picture.
        classes: the number of the score's classes.
        to_picture: True if the gradient goes down to the picture, past the early layers.
    """
    elements = sum(prod(shape) for shape in sizes if shape is not None)
    if to_picture:
        elements += _EARLY * prod(picture)
    if sizes[0] is None:  # a score is as large as the picture that enters, or smaller
        elements += classes * prod(picture)
    most = _UNTRIED if None in sizes else _MOST
    return _bounded(memory / (_BYTES * _LIVE * elements), most)


def pooled_questions_that_fit(memory: float, *, pictures: int, classes: int) -> int:
    """The number of questions that fit if no tensor on the gradient's way keeps space.

    Args:
        memory: the budget in bytes.
        pictures: the number of pictures in the run.
        classes: the number of the score's classes.
    """
    pairs = _WINDOWS * pictures * classes**2
    return _bounded(memory / (_BYTES * _LIVE * pairs), _MOST)


def passes_that_fit(memory: float, elements: int, *, gradient: bool = False) -> float:
    """The number of passes of the network that fit, as a fraction.

    Args:
        memory: the budget in bytes.
        elements: those of the picture, or pictures, in each pass.
        gradient: True if each pass asks a question's gradient too.
    """
    return memory / (_BYTES * elements * (_FORWARD + (_BACKWARD if gradient else 0)))


def _bounded(count: float, most: int) -> int:
    return int(min(max(1.0, count), most))
