"""The shipped network, exported and explained as by a user, against float64 autograd."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import stored_reference as reference
from numpy.typing import NDArray
from PIL import Image

import ortcam
from ortcam_export import export

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def cam(shipped_network: Path) -> ortcam.Cam:
    exported = export(shipped_network, feature_layers=reference.LAYERS, verify=False)
    return ortcam.load(exported.model)


def check(cam: ortcam.Cam, picture: NDArray[np.uint8], expected: dict[str, reference.Maps]) -> None:
    explanation = cam.explain(picture, list(reference.CLASSES))
    for layer in reference.LAYERS:
        truth = expected[layer]
        error = np.abs(explanation.raw[layer] - truth["raw"]).max((-1, -2))
        assert (error / truth["scale"]).max() < TOLERANCE, layer
        weights = np.abs(explanation.weights[layer] - truth["weights"]).max(-1)
        assert (weights / np.abs(truth["weights"]).max(-1)).max() < TOLERANCE, layer


def test_the_stored_reference_belongs_to_the_shipped_network() -> None:
    advice = "write it again: python tests/support/stored_reference.py"
    assert reference.network_of_reference() == reference.sha256(), advice


@pytest.mark.parametrize("seed", reference.SCENES)
def test_rendered_scenes_agree_with_the_stored_reference(cam: ortcam.Cam, seed: int) -> None:
    check(cam, reference.scene(seed), reference.stored(seed))


@pytest.mark.torch
def test_the_stored_reference_is_what_autograd_gives() -> None:
    pytest.importorskip("torch")
    seed = reference.SCENES[0]
    for layer, parts in reference.maps(reference.scene(seed)).items():
        for part, values in reference.stored(seed)[layer].items():
            np.testing.assert_allclose(
                values, parts[part], rtol=1e-4, atol=1e-6 * parts[part].max()
            )


@pytest.mark.torch
@pytest.mark.camvid
@pytest.mark.parametrize("place", range(5))
def test_camvid_frames_agree_with_autograd(cam: ortcam.Cam, camvid: Path, place: int) -> None:
    pytest.importorskip("torch")
    frames = sorted((camvid / "test").glob("*.jpg"))
    picture = np.asarray(Image.open(frames[place * len(frames) // 5]))
    check(cam, picture, reference.maps(picture))
