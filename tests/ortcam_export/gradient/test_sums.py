"""Sums over all pixels: in float32 they are as near to float64 as PyTorch's."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from ortcam.inference.session import Session
from ortcam_export import export

Array = NDArray[Any]

SIZE = 256
LAYERS = ("enc1_relu", "enc2_relu", "mid_relu", "dec1_relu")


class Normalizing(networks.Builder):
    """Normalizes over each picture's pixels, so that gradients all but cancel in their mean."""

    def norm(self, x: str, c: int, name: str) -> str:
        scale = self.constant(f"{name}.scale", self.random.uniform(0.5, 1.5, c), np.float32)
        bias = self.constant(f"{name}.bias", self.random.normal(0, 0.2, c), np.float32)
        return self.node("InstanceNormalization", [x, scale, bias], name)


def waves() -> Array:
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    planes = [np.sin(19 * x + c) + np.cos(23 * y * x - c) for c in range(3)]
    return np.stack(planes)[None].astype(np.float32)


def weights(model: onnx.ModelProto, layers: tuple[str, ...], methods: list[str]) -> list[Array]:
    """The weights [K, N, C] of each layer, in float32 by onnxruntime."""
    options: dict[str, Any] = {"score": "logits", "verify": False, "size": (SIZE, SIZE)}
    exported = export(model, feature_layers=layers, methods=methods, **options)
    session = Session(exported.model, "cpu")
    feeds: dict[str, Array] = {"input": waves(), "class_weights": np.eye(4, dtype="f4")[:, None]}
    feeds["region"] = np.ones((1, 1, 1, 1), np.float32)
    if "layers" in session.inputs:
        feeds["layers"] = np.ones(len(layers), np.bool_)
    return list(session.run([f"{layer}.weights" for layer in layers], feeds).values())


def test_a_sum_of_equal_gradients_is_exact() -> None:
    """The gradient before a convolution of 1x1 cells is the same at every pixel."""
    model = networks.unet_logits()
    scorer = next(t for t in model.graph.initializer if t.name == "logits.weight")
    expected = onnx.numpy_helper.to_array(scorer)[:, None, :, 0, 0]
    (pooled,) = weights(model, ("dec1_relu",), ["hires-cam"])
    np.testing.assert_allclose(pooled, expected, rtol=2e-6)


@pytest.mark.torch
@pytest.mark.parametrize("methods", [[], ["hires-cam"]])
def test_gradients_that_cancel_are_as_exact_as_pytorchs(
    methods: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    import reference

    monkeypatch.setattr(networks, "Builder", Normalizing)
    model = networks.unet_logits()
    question = ({"input": waves()}, "logits", LAYERS, np.eye(4)[:, None], np.ones((1, 1, 1, 1)))
    exact = reference.pooled_gradients(model, *question)
    with monkeypatch.context() as single:
        tensor = torch.tensor
        single.setattr(reference, "_double", lambda t: t.float() if t.is_floating_point() else t)
        single.setattr(
            torch,
            "tensor",
            lambda values, dtype=None: (
                tensor(values).float() if dtype is torch.float64 else tensor(values, dtype=dtype)
            ),
        )
        wholes = reference.whole_gradients(model, *question)
    for layer, actual in zip(LAYERS, weights(model, LAYERS, methods), strict=True):
        whole, expected = torch.from_numpy(wholes[layer][0]), exact[layer][0]
        assert whole.dtype is torch.float32
        theirs = whole.flatten(3).mean(3).numpy()
        size = np.abs(expected).max()
        error, error_of_torch = (np.abs(w - expected).max() / size for w in (actual, theirs))
        assert error <= max(error_of_torch, 2e-6), layer
    assert np.abs(wholes["enc1_relu"][0]).mean() > 50 * np.abs(exact["enc1_relu"][0]).max()
