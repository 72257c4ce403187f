"""The demo: the noxfile's commands on the shipped network, and the position of their maps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from demo import commands
from PIL import Image

import ortcam
from camvid.scenes import render
from ortcam.cli import main


@pytest.fixture(scope="module")
def out(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the demo writes to ``out/``."""
    folder = tmp_path_factory.mktemp("demo")
    for _, *command in commands(root):
        arguments = [
            str(folder / a.removeprefix("out/")) if a.startswith("out/") else
            str(root / a) if a.startswith("models/") else a
            for a in command
        ]  # fmt: skip
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, f"{command}: {result.output}"
    return folder


def test_it_writes_three_figures_and_a_report(out: Path) -> None:
    # As docs/report.md states.
    assert 1_250_000 < (out / "report.html").stat().st_size < 1_400_000
    shapes = {}
    for path in out.glob("*.png"):
        with Image.open(path) as figure:
            shapes[path.name] = figure.width / figure.height
    assert sorted(shapes) == ["explain.png", "layers.png", "segmentation.png"]
    assert shapes["explain.png"] > 1.2  # two panels by two, and a colour bar
    assert shapes["layers.png"] < 1  # two panels by three


def test_the_maps_lie_on_their_objects(root: Path, out: Path, street: Path) -> None:
    """Against the labels of the rendered scene, which do not depend on the network."""
    card = (root / "models" / "README.md").read_text(encoding="utf-8")
    seed = re.search(r"`render\((\d+), \(960, 720\)\)`", card)
    assert seed is not None
    pixels, labels = render(int(seed[1]), (960, 720))
    with Image.open(street) as picture:
        # On other processors, one pixel in 400,000 rounds to the next of its 256 levels.
        difference = np.abs(pixels.astype(int) - np.asarray(picture.convert("RGB")))
        assert difference.max() <= 1
        assert np.count_nonzero(difference) < 100
    cam = ortcam.load(out / "street.cam.onnx")
    maps = cam.explain(street, ["Road", "Car"], ["dec_relu4"]).maps[0]
    for name, plane, minimum in zip(("Road", "Car"), maps, (0.9, 0.6), strict=True):
        object = labels == cam.classes.index(name)
        assert plane[object].sum() > minimum * plane.sum(), name
        assert object[np.unravel_index(plane.argmax(), plane.shape)], name
