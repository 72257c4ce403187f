"""Every network of the tests, written in other ways: the same choice, the same maps.

docs/variants.md has the table, with networks of torchvision and others.
"""

from __future__ import annotations

import functools
import inspect

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
from lowering import UnwrittenError, lowered
from variants import NETWORKS, VARIANTS, Explained, difference, explained, options_of, pictures

#: The networks whose variants all run by default; those of others are slow.
SLICE = ("classifier", "transformer, map", "unet", "volumes")

#: What cannot be written so.
UNWRITTEN = {
    ("channels_last", "channels last"),
    ("queries, product", "opset 11"),
    ("queries, product", "opset 11, batch 1"),
}

CASES = [
    pytest.param(name, variant, marks=() if name in SLICE else pytest.mark.slow)
    for name in NETWORKS
    for variant in VARIANTS
    if (name, variant) not in UNWRITTEN
]


@functools.cache
def original(name: str) -> Explained:
    make, _ = NETWORKS[name]
    return explained(make(), pictures(make()), options_of(name))


def test_every_network_of_the_tests_has_its_variants() -> None:
    made = {
        name
        for name, make in inspect.getmembers(networks, inspect.isfunction)
        if not name.startswith("_")
        and inspect.signature(make).return_annotation == "onnx.ModelProto"
    }
    assert {name.partition(",")[0] for name in NETWORKS} == made


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_a_variant_is_explained_as_the_network(name: str, variant: str) -> None:
    make, _ = NETWORKS[name]
    assert not original(name).refusal
    changed = explained(VARIANTS[variant](make()), pictures(make()), options_of(name))
    assert difference(original(name), changed) == ""


@pytest.mark.parametrize(("name", "variant"), sorted(UNWRITTEN))
def test_what_cannot_be_written_so(name: str, variant: str) -> None:
    with pytest.raises(UnwrittenError):
        VARIANTS[variant](NETWORKS[name][0]())


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("name", ["deployed", "transformer, map", "volumes"])
def test_a_lowered_network_computes_the_same(name: str, opset: int) -> None:
    model = NETWORKS[name][0]()
    feeds = pictures(model)
    (ours,), (theirs,) = (
        onnxruntime.InferenceSession(
            network.SerializeToString(), providers=["CPUExecutionProvider"]
        ).run(None, feeds)
        for network in (lowered(model, opset), NETWORKS[name][0]())
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_difference_is_seen() -> None:
    """The comparison fails where the networks differ: in a class's weights, or in the kind."""
    make, _ = NETWORKS["unet"]
    other = make()
    last = next(t for t in other.graph.initializer if t.name == "logits.weight")
    array = onnx.numpy_helper.to_array(last).copy()
    array[0] *= 1.01
    last.CopyFrom(onnx.numpy_helper.from_array(array, last.name))
    changed = explained(other, pictures(other), options_of("unet"))
    assert difference(original("unet"), changed).startswith("the score differs by")
    assert difference(original("unet_logits"), original("unet_sigmoid")).startswith("the score is")
