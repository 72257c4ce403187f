"""The ways in which a gradient can be written compute the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from onnx import numpy_helper

from benchmarks.lowerings.__main__ import PAGE, measured, written
from benchmarks.lowerings.ways import CHOICES


@pytest.mark.parametrize("name", ["strided-depthwise", "relu", "conv-dilated"])
def test_all_ways_are_the_same_function(name: str) -> None:
    choice = CHOICES[name]()
    found = measured(choice, "cpu", rounds=1)
    assert list(found["ways"]) == list(choice.ways)


def test_a_way_that_differs_is_not_timed() -> None:
    choice = CHOICES["strided-depthwise"]()
    way = next(iter(choice.ways))
    kernel = choice.ways[way].graph.initializer[0]
    kernel.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(kernel), kernel.name))
    with pytest.raises(ValueError, match="the ways of strided-depthwise differ"):
        measured(dataclasses.replace(choice), "cpu", rounds=1)


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == written()


def test_every_choice_is_fed_what_its_ways_take() -> None:
    for make in CHOICES.values():
        choice = make()
        for model in choice.ways.values():
            for value in model.graph.input:
                fed = choice.feeds[value.name]
                assert np.isfinite(fed).all()
                assert len(value.type.tensor_type.shape.dim) == fed.ndim
