"""Pad in every mode: amounts of either sign, axes, amounts known only when the network runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from finite_differences import check_operator

MODES = ["constant", "reflect", "edge", "wrap"]

AMOUNTS = {
    "space": [0, 0, 1, 2, 0, 0, 2, 1],
    "one side": [0, 0, 0, 2, 0, 0, 0, 0],
    "channels too": [0, 1, 1, 0, 0, 1, 0, 2],
    "nothing": [0] * 8,
}


def check_pad(
    x: Any,
    amounts: Any,
    *,
    axes: Any = None,
    value: Any = None,
    fixed: Any = ("pads", "value", "axes"),
    **more: Any,
) -> None:
    inputs = {
        "x": x,
        "pads": np.array(amounts, np.int64),
        "value": None if value is None else np.array(value, np.float32),
        "axes": None if axes is None else np.array(axes, np.int64),
    }
    check_operator("Pad", inputs, wrt=["x"], fixed=fixed, linear=True, **more)


@pytest.mark.parametrize("amounts", AMOUNTS.values(), ids=AMOUNTS)
@pytest.mark.parametrize("mode", MODES)
def test_modes(normal: Any, mode: Any, amounts: Any) -> None:
    check_pad(normal(2, 2, 4, 5), amounts, mode=mode)


@pytest.mark.parametrize("amounts", [[0, 0, -1, 2, 0, 0, 1, -2], [0, 0, -1, -1, 0, 0, -2, 0]])
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_negative_amounts_crop(normal: Any, mode: Any, amounts: Any) -> None:
    check_pad(normal(2, 2, 4, 5), amounts, mode=mode)


@pytest.mark.parametrize("axes", [[2, 3], [3, 1], [-1, 0], [3]])
@pytest.mark.parametrize("mode", MODES)
def test_axes(normal: Any, mode: Any, axes: Any) -> None:
    check_pad(normal(3, 3, 4, 5), [1, 0, 1, 2][: 2 * len(axes)], axes=axes, mode=mode)


def test_a_constant_of_another_value(normal: Any) -> None:
    check_pad(normal(2, 3, 4), [0, 0, 2, 0, 1, 1], value=2.5)


def test_the_value_gets_the_cotangent_of_the_padding(normal: Any) -> None:
    inputs = {"x": normal(2, 3), "pads": np.array([1, -1, 0, 2]), "value": np.float32(1.5)}
    inputs["value"] = np.asarray(inputs["value"])
    check_operator("Pad", inputs, fixed=["pads"], linear=True)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_amounts_known_only_when_run(normal: Any, mode: Any) -> None:
    amounts = [0, 0, 1, 2, 0, 0, 2, 1]
    check_pad(normal(2, 2, 4, 5), amounts, mode=mode, fixed=(), dynamic=["x"])


@pytest.mark.parametrize("mode", MODES)
def test_sequences_and_vectors(normal: Any, mode: Any) -> None:
    check_pad(normal(5), [2, 3], mode=mode)
    check_pad(normal(2, 3, 4), [0, 0, 3, 0, 0, 1], mode=mode)


def test_pad_of_opset_2(normal: Any) -> None:
    check_operator(
        "Pad", {"x": normal(2, 2, 4, 5)}, opset=10, linear=True, pads=[0, 0, 1, 2, 0, 0, 2, 1],
        mode="reflect",
    )  # fmt: skip
