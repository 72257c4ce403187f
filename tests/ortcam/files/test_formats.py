"""Figures in files: the format, the text in them, and reproducible bytes."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from results import Build, segmented

import ortcam
from ortcam.errors import OutputError
from ortcam.files.formats import PICTURES, SUFFIXES, WRITERS, write

pytest.importorskip("matplotlib")

Explain = Callable[[NDArray[np.uint8]], ortcam.Explanation]
SVG = "{http://www.w3.org/2000/svg}"
NAME = "Grad-CAM: Road"


@pytest.fixture(scope="module")
def explained(small: Build) -> Explain:
    cam = small(seed=4).load()
    return lambda rgb: cam.explain(rgb, ["Road", "Tree"], "late")


def streams(pdf: bytes) -> bytes:
    """The streams of a PDF, inflated."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    inflated = []
    for data in streams:
        try:
            inflated.append(zlib.decompress(data))
        except zlib.error:
            inflated.append(data)
    return b"\n".join(inflated)


@pytest.mark.parametrize("suffix", [".JPEG", ".svg", ".pdf"])
def test_a_figure_is_written_alike_every_time(
    suffix: str, explained: Explain, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    written = []
    for n in range(2):
        path = tmp_path / f"{n}{suffix}"
        segmented(explained(rgb)).save(path)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    start = {".svg": b"<?xml", ".pdf": b"%PDF"}.get(suffix, b"\xff\xd8\xff")
    assert written[0].startswith(start)
    assert not re.search(rb"\b20\d\d-\d\d-\d\d|CreationDate|D:20\d\d", written[0])


def test_the_text_of_an_svg_is_text(
    explained: Explain, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    explained(rgb).save(tmp_path / "e.svg")
    root = ET.parse(tmp_path / "e.svg").getroot()
    texts = {"".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")}
    assert {NAME, "Picture", "Sky", "pixels predicted as the class"} <= texts
    assert len(list(root.iter(f"{SVG}image"))) >= 4


def test_the_text_of_a_pdf_is_text_in_a_font_that_it_holds(
    explained: Explain, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    explained(rgb).save(tmp_path / "e.pdf")
    data = (tmp_path / "e.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Type3" not in data
    shown = re.sub(rb"\)[^()]*\(|\x00", b"", streams(data))  # the kerning between letters
    assert NAME.encode() in shown


def test_a_page_s_pictures_are_fine_enough_to_print(small: Build, tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    explanation = small(seed=4).load().explain(photo, "Road", "late", size=(31, 22))
    explanation.save(tmp_path / "e.pdf")
    data = (tmp_path / "e.pdf").read_bytes()
    widths = [int(w) for w in re.findall(rb"/Width (\d+)", data)]
    across = explanation.figure().axes[0].get_position().width
    inches = across * explanation.figure().get_size_inches()[0]
    assert max(widths) / inches >= 290


def test_names_stay_text(explained: Explain, rgb: NDArray[np.uint8], tmp_path: Path) -> None:
    names = ("<script>1 & 2]]></script>", "\x00\x0b\ud800\n$x$")
    explanation = dataclasses.replace(explained(rgb), classes=names)
    for suffix in ("svg", "pdf"):
        explanation.save(tmp_path / f"e.{suffix}")
    root = ET.parse(tmp_path / "e.svg").getroot()
    assert not list(root.iter(f"{SVG}script"))
    texts = {"".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")}
    assert {f"Grad-CAM: {names[0]}", "Grad-CAM: \ufffd \ufffd $x$"} <= texts


def test_a_jpeg_is_the_picture(explained: Explain, rgb: NDArray[np.uint8], tmp_path: Path) -> None:
    segmentation = segmented(explained(rgb))
    segmentation.save(tmp_path / "s.jpg")
    with Image.open(tmp_path / "s.jpg") as image:
        assert image.format == "JPEG"
        expected = segmentation.overlay(legend=True)
        assert image.size == expected.size
        off = np.abs(np.asarray(image).astype(float) - np.asarray(expected))
    assert off.mean() < 3


def test_what_cannot_be_written_leaves_what_was_there(
    explained: Explain, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    for suffix in ("svg", "pdf", "jpg"):
        with pytest.raises(OutputError, match="none does not exist"):
            explained(rgb).save(tmp_path / "none" / f"e.{suffix}")
    assert not list(tmp_path.iterdir())


def test_every_format_has_a_writer() -> None:
    assert {*SUFFIXES, ".html"} == set(WRITERS)
    for writer in WRITERS.values():
        assert callable(resolve_name(writer))


def test_a_line_adds_a_format(
    explained: Explain,
    rgb: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(WRITERS, ".arrays", "ortcam.files.formats:write_arrays")
    explanation = explained(rgb)
    write(tmp_path / "e.arrays", explanation, suffixes=(*PICTURES, ".arrays"))
    with np.load(tmp_path / "e.arrays", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["maps"], explanation.maps)
