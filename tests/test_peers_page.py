"""What docs/peers.md says of ortcam, tried."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

import ortcam
from ortcam.cli import main
from ortcam.drawing.presets import PRESETS
from ortcam.grids.resample import METHODS as FILTERS
from ortcam.methods.registry import METHODS, PIXELS, method_named
from ortcam_export import export

PAGE = Path(__file__).parents[1] / "docs" / "peers.md"
COLUMNS = 10


def row(name: str) -> str:
    """The cell of ortcam in a row of the table."""
    (line,) = (x for x in PAGE.read_text().splitlines() if x.startswith(f"| {name} |"))
    return line.split(" | ")[1]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers")
    exported = export(networks.unet(), verify=False, size=(48, 32))
    onnx.save(onnx.load_from_string(exported.model), folder / "a.onnx")
    (folder / "pictures").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 48, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{i}.png")
    return folder / "a.onnx"


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE.read_text())
    assert len(links) > 25
    for link in links:
        assert (PAGE.parent / link).resolve().is_file(), link


def test_every_row_has_a_cell_for_each_tool() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert {line.count(" | ") for line in rows} == {COLUMNS}


def test_the_methods_are_as_many() -> None:
    kinds = Counter(
        "picture" if m.needs == PIXELS else "perturbation" if n in _PERTURBED else "features"
        for n, m in METHODS.items()
    )
    assert kinds == {"features": 8, "perturbation": 2, "picture": 3}
    assert "8 from gradients or features" in row("CAM methods")
    assert "2 from perturbation" in row("CAM methods")


_PERTURBED = ("score-cam", "ablation-cam")


def test_the_filters_are_there() -> None:
    assert all(name in FILTERS for name in ("bicubic", "bilinear", "nearest", "none"))


def test_the_options_of_every_preset_exist() -> None:
    for preset in PRESETS.values():
        for method, options in preset.methods.items():
            assert method_named(method, preset.methods).name == f"{method}:{options}"


def test_files_are_many_and_folders_are_evaluates(artifact: Path, tmp_path: Path) -> None:
    pictures = artifact.parent / "pictures"
    files = map(str, sorted(pictures.iterdir()))
    result = CliRunner().invoke(
        main, ["explain", str(artifact), *files, "-c", "1", "-o", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").iterdir())) == 2
    result = CliRunner().invoke(
        main, ["explain", str(artifact), str(pictures), "-o", str(tmp_path / "o")]
    )
    assert result.exit_code == 2
    assert "is a directory" in result.output
    options = ["--metric", "energy", "--limit", "1", "-o", str(tmp_path / "e")]
    result = CliRunner().invoke(main, ["evaluate", str(artifact), str(pictures), *options])
    assert result.exit_code == 0, result.output


def test_pictures_come_in_batches_and_arrays_one_at_a_time(artifact: Path) -> None:
    cam = ortcam.load(artifact)
    assert len(cam.explain_batch(sorted((artifact.parent / "pictures").iterdir()), 1)) == 2
    with pytest.raises(ortcam.errors.OrtcamError):
        cam.explain(tensor=np.zeros((2, 3, 32, 48), np.float32), classes=1)
