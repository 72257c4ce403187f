"""Augmentation keeps pictures and labels aligned and in range."""

from pathlib import Path

import numpy as np
from PIL import Image

from camvid.classes import IGNORE, MEAN, STD
from camvid.data import RARE, Sample, augment, load_camvid, load_scenes, normalise, paste, warp


def sample(seed: int = 0) -> Sample:
    """A picture whose red channel encodes its label."""
    labels = np.random.default_rng(seed).integers(0, 11, (9, 12)).repeat(8, 0).repeat(8, 1)
    rgb = np.stack([labels * 20, labels * 0, labels * 0], -1)
    return rgb.astype(np.uint8), labels.astype(np.uint8)


def test_warp_moves_picture_and_labels_alike() -> None:
    rng = np.random.default_rng(1)
    agree = []
    for _ in range(8):
        rgb, labels = warp(sample(), (64, 48), rng)
        labelled = labels != IGNORE
        agree.append((np.abs(rgb[..., 0] - 20.0 * labels) < 12)[labelled].mean())
    assert np.mean(agree) > 0.7  # the rest is at the edges of the blocks


def test_augment_honours_the_size() -> None:
    rgb, labels = augment(sample(), sample(1), (50, 30), np.random.default_rng(2))
    assert rgb.shape == (30, 50, 3)
    assert rgb.dtype == np.uint8
    assert labels.shape == (30, 50)
    assert labels.max() <= IGNORE


def test_only_rare_classes_are_pasted() -> None:
    base = np.zeros((72, 96, 3), np.uint8), np.zeros((72, 96), np.uint8)
    rgb, labels = paste(base, sample(), np.random.default_rng(0))
    assert set(np.unique(labels)) <= {0, *RARE}
    np.testing.assert_array_equal(rgb[..., 0], labels * 20)


def test_normalise() -> None:
    x = normalise(np.full((2, 5, 3), 255, np.uint8))
    assert x.shape == (3, 2, 5)
    np.testing.assert_allclose(x[:, 0, 0], (1 - np.array(MEAN)) / np.array(STD), rtol=1e-6)


def test_folders_are_read_pairwise(tmp_path: Path) -> None:
    rgb, labels = sample()
    for folder in ("val", "valannot", "scenes"):
        (tmp_path / folder).mkdir()
    Image.fromarray(rgb).save(tmp_path / "val" / "a.png")
    Image.fromarray(labels).save(tmp_path / "valannot" / "a.png")
    Image.fromarray(rgb).save(tmp_path / "scenes" / "a.jpg")
    Image.fromarray(labels).save(tmp_path / "scenes" / "a.png")
    ((frame, truth),) = load_camvid(tmp_path, ["val"])
    np.testing.assert_array_equal(frame, rgb)
    np.testing.assert_array_equal(truth, labels)
    ((_, truth),) = load_scenes(tmp_path / "scenes")
    np.testing.assert_array_equal(truth, labels)
