"""The scales of a detector's list, and the layers that lead to some of them."""

from __future__ import annotations

import pytest
from networks import Builder
from onnx import ModelProto, TensorProto

from ortcam_export import export


def two_scales(*, shared: bool) -> ModelProto:
    """Class scores [N, K, A] of two scales, joined; ``shared`` ones come from one last layer."""
    g = Builder(0)
    shallow = g.block("input", 3, 6, "shallow")
    deep = shallow if shared else g.block(shallow, 6, 6, "deep", strides=[2, 2])
    scales = []
    for name, x in (("fine", shallow), ("coarse", deep)):
        scores = g.conv(x, 6, 3, f"{name}_scores", k=1, pads=[0] * 4)
        scales.append(g.node("Reshape", [scores, g.constant(f"{name}_shape", [0, 3, -1])], name))
    joined = g.node("Concat", scales, "joined", axis=2)
    g.node("Sigmoid", [joined], "scores")
    return g.model({"scores": (TensorProto.FLOAT, [1, 3, None])}, {"input": (1, [1, 3, 16, 24])})


@pytest.mark.parametrize(
    ("shared", "layer", "is_noted"),
    [(False, None, True), (False, "shallow_relu", False), (True, None, False)],
)
def test_a_layer_of_one_scale_is_noted(shared: bool, layer: str | None, is_noted: bool) -> None:
    names = None if layer is None else [layer]
    exported = export(two_scales(shared=shared), feature_layers=names, verify=False)
    assert exported.artifact.score.axes == ("batch", "class", "list")
    notes = [note for note in exported.notes if "leads to 1 of the 2 parts" in note]
    assert bool(notes) == is_noted
