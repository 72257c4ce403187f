"""The examples of docs/own_scores.md run, and their maps are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "own_scores.md").read_text(encoding="utf-8")


def _run_example(heading: str) -> dict[str, Any]:
    """Run the Python block below a heading, and return its variables."""
    section = PAGE.split(f"\n## {heading}\n")[1]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None
    variables: dict[str, Any] = {}
    exec(block[1], variables)
    return variables


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the networks and pictures of the page, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    for name in ("reference.png", "query.png", "street.png"):
        Image.fromarray(random.integers(0, 256, (64, 96, 3), np.uint8)).save(name)
    retrieval = networks.classifier(softmax=False)
    retrieval.graph.node[-1].output[0] = retrieval.graph.output[0].name = "embedding"
    onnx.save(retrieval, "retrieval.onnx")
    onnx.save(networks.unet_logits(), "segmenter.onnx")
    onnx.save(networks.unet(), "network.onnx")
    return tmp_path


def _tensors(path: str, feeds: dict[str, NDArray[Any]], *names: str) -> list[NDArray[Any]]:
    """Tensors of a network, in ONNX Runtime."""
    model = onnx.load(path)
    own = {output.name for output in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in names
        if name not in own
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(list(names), feeds)  # type: ignore[no-any-return]


def test_similarity_to_a_reference(folder: Path) -> None:
    """The weights are the chain rule, written by hand in float64."""
    example = _run_example("Similarity to a reference picture")
    cam, explanation = example["cam"], example["explanation"]
    feeds = {"input": cam.preprocess("query.png")}
    features, hidden, embedding = _tensors(
        "retrieval.onnx", feeds, "b_relu", "fc_relu", "embedding"
    )
    weights = {
        w.name: numpy_helper.to_array(w).astype(np.float64)
        for w in onnx.load("retrieval.onnx").graph.initializer
    }
    e, r = embedding[0].astype(np.float64), example["reference"][0].astype(np.float64)
    length = np.linalg.norm(e)
    cosine = e @ r / length / np.linalg.norm(r)
    of_embedding = (r / np.linalg.norm(r) - cosine * e / length) / length
    of_hidden = (weights["last.weight"] @ of_embedding) * (hidden[0] > 0)
    alphas = weights["fc.weight"] @ of_hidden / features[0, 0].size  # the mean over places
    np.testing.assert_allclose(explanation.score, cosine, rtol=1e-5)
    np.testing.assert_allclose(explanation.weights["b_relu"][0], alphas, rtol=1e-4, atol=1e-9)
    expected = np.maximum(np.einsum("c,chw->hw", alphas, features[0]), 0)
    assert expected.max() > 0
    np.testing.assert_allclose(explanation.raw["b_relu"][0], expected, rtol=1e-3, atol=1e-8)
    assert explanation.classes == ("similarity",)
    assert cam.artifact.score.kind == "linear"
    assert cam.artifact.verification.error < 1e-2


def test_a_reference_is_to_be_given(folder: Path) -> None:
    from ortcam.errors import InputError

    cam = _run_example("Similarity to a reference picture")["cam"]
    with pytest.raises(InputError, match="the network has further inputs: reference"):
        cam.explain("query.png", "similarity")


def test_uncertainty(folder: Path) -> None:
    """The score is the entropy of each place, and its gradient is verified."""
    example = _run_example("Where the uncertainty comes from")
    cam, explanation = example["cam"], example["explanation"]
    (logits,) = _tensors("segmenter.onnx", {"input": cam.preprocess("street.png")}, "logits")
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    entropy = -(p * np.log(p)).sum(1)
    np.testing.assert_allclose(explanation.score, entropy, rtol=1e-4, atol=1e-6)
    assert (cam.artifact.score.kind, cam.classes) == ("linear", ("entropy",))
    assert cam.artifact.verification.error < 1e-2
    assert explanation.raw[cam.layers[0]].any()


def test_maximum_over_pixels(folder: Path) -> None:
    """The weights are those of a question about the pixel of the maximum."""
    import ortcam
    from ortcam import about
    from ortcam_export import export

    example = _run_example("The maximum over pixels")
    explanation = example["explanation"]
    plain = ortcam.load(export("network.onnx").model)
    x = plain.preprocess("street.png")
    (probabilities,) = _tensors("network.onnx", {"input": x}, "probabilities")
    layer = plain.layers[0]
    for row, index in enumerate((1, 3)):
        y, x0 = np.unravel_index(probabilities[0, index].argmax(), probabilities.shape[2:])
        pixel = plain.explain("street.png", about(index).at(int(x0), int(y)))
        np.testing.assert_allclose(
            explanation.score[index], probabilities[0, index].max(), rtol=1e-5
        )
        np.testing.assert_allclose(
            explanation.weights[layer][row], pixel.weights[layer][0], rtol=1e-3, atol=1e-9
        )
    assert explanation.classes == ("car", "sky")
