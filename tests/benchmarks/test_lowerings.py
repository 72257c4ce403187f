"""The alternative lowerings of a gradient compute the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from onnx import numpy_helper

from benchmarks.lowerings.__main__ import PAGE, measure, new_page
from benchmarks.lowerings.alternatives import CHOICES


@pytest.mark.parametrize("name", ["strided-depthwise", "relu", "conv-dilated"])
def test_all_alternatives_compute_the_same(name: str) -> None:
    choice = CHOICES[name]()
    result = measure(choice, "cpu", rounds=1)
    assert list(result["ways"]) == list(choice.alternatives)


def test_an_alternative_that_differs_is_not_timed() -> None:
    choice = CHOICES["strided-depthwise"]()
    way = next(iter(choice.alternatives))
    kernel = choice.alternatives[way].graph.initializer[0]
    kernel.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(kernel), kernel.name))
    with pytest.raises(ValueError, match="the alternatives of strided-depthwise differ"):
        measure(dataclasses.replace(choice), "cpu", rounds=1)


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == new_page()


def test_every_choice_has_the_feeds_of_its_alternatives() -> None:
    for make in CHOICES.values():
        choice = make()
        for model in choice.alternatives.values():
            for value in model.graph.input:
                feed = choice.feeds[value.name]
                assert np.isfinite(feed).all()
                assert len(value.type.tensor_type.shape.dim) == feed.ndim
