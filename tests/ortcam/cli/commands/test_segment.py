"""``ortcam segment``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import ortcam

Run = Callable[..., Result]


def test_one_picture_into_a_figure(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    result = run("segment", artifact, picture, "-o", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == f"{picture} -> {out}"
    with Image.open(out) as figure:
        assert figure.format == "PNG"
        pixels = np.asarray(figure.convert("RGB"))
    segmentation = ortcam.load(artifact).segment(picture)
    np.testing.assert_array_equal(pixels[:21, :31], np.asarray(segmentation.overlay(0.4)))
    beside = {tuple(color) for color in pixels[:, 31:].reshape(-1, 3).tolist()}
    assert set(segmentation.colors) <= beside


def test_arrays_match_those_of_python(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    result = run("segment", artifact, picture, "-o", out)
    assert result.exit_code == 0, result.output
    expected = ortcam.load(artifact).segment(picture)
    with np.load(out, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["labels"], expected.labels)
        np.testing.assert_array_equal(arrays["score"], expected.score)
    assert expected.labels.shape == (21, 31)


def test_a_page_and_a_jpeg(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    for name, start in (("out.pdf", b"%PDF"), ("out.svg", b"<?xml"), ("out.jpg", b"\xff\xd8")):
        result = run("segment", artifact, picture, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert (tmp_path / name).read_bytes().startswith(start)


def test_a_page_needs_matplotlib(
    run: Run, artifact: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ortcam.cli.options.output.find_spec", lambda _: None)
    result = run("segment", artifact, picture, "-o", tmp_path / "out.svg")
    assert result.exit_code == 1
    assert "a .svg or .pdf file needs matplotlib: pip install 'ortcam[plot]', or" in result.stderr
    assert run("segment", artifact, picture, "-o", tmp_path / "out.jpg").exit_code == 0


def test_size(run: Run, artifact: Path, picture: Path, tmp_path: Path) -> None:
    for size, shape in (("native", (22, 32)), ("40x30", (30, 40))):
        out = tmp_path / f"{size}.npz"
        result = run("segment", artifact, picture, "-o", out, "--size", size)
        assert result.exit_code == 0, result.output
        with np.load(out, allow_pickle=False) as arrays:
            assert arrays["score"].shape == (3, *shape), size


def test_a_folder_for_several_pictures(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / picture.name
    other.parent.mkdir()
    Image.new("L", (9, 7), 50).save(other)
    out = tmp_path / "results"
    result = run("segment", artifact, picture, other, "-o", out, "--format", "npz")
    assert result.exit_code == 0, result.output
    with np.load(out / "scene.segment.npz", allow_pickle=False) as arrays:
        assert arrays["labels"].shape == (21, 31)
    with np.load(out / "scene-2.segment.npz", allow_pickle=False) as arrays:
        assert arrays["labels"].shape == (7, 9)


def test_a_damaged_picture_does_not_stop_the_others(
    run: Run, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(picture.read_bytes()[:300])
    out = tmp_path / "results"
    result = run("segment", artifact, damaged, picture, "-o", out)
    assert result.exit_code == 1
    assert f"Error: {damaged}" in result.stderr
    assert "Error: 1 of 2 pictures were left out." in result.stderr
    assert [path.name for path in out.iterdir()] == ["scene.segment.png"]


def test_quiet_prints_nothing(run: Run, network: Path, picture: Path, tmp_path: Path) -> None:
    result = run("segment", network, picture, "-o", tmp_path / "out.png", "-q")
    assert result.exit_code == 0, result.output
    assert result.output == ""
    assert (tmp_path / "out.png").exists()


def test_a_plain_network_is_exported_in_memory(
    run: Run, network: Path, artifact: Path, picture: Path, tmp_path: Path
) -> None:
    before = sorted(network.parent.iterdir())
    labels = []
    for model in (network, artifact):
        out = tmp_path / f"{model.name}.npz"
        result = run("segment", model, picture, "-o", out)
        assert result.exit_code == 0, result.output
        message = "is a plain network: exporting it in memory" in result.stderr
        assert message == (model == network)
        with np.load(out, allow_pickle=False) as arrays:
            labels.append(arrays["labels"])
    np.testing.assert_array_equal(*labels)
    assert sorted(network.parent.iterdir()) == before


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "cpu"])
def test_provider(run: Run, artifact: Path, picture: Path, tmp_path: Path, provider: str) -> None:
    out = tmp_path / "out.npz"
    result = run("segment", artifact, picture, "-o", out, "--provider", provider)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"{artifact} runs on CPUExecutionProvider.\n"
