"""The page: a single file, names as text, the worst pictures with their maps."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from disc_network import artifact
from PIL import Image

import ortcam

EVIL = "<script>alert(1)</script>"


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: Path) -> _Elements:
    parsed = _Elements()
    parsed.feed(page.read_text(encoding="utf-8"))
    return parsed


def images(page: _Elements) -> list[Image.Image]:
    sources = [attributes["src"] or "" for tag, attributes in page.found if tag == "img"]
    return [Image.open(io.BytesIO(base64.b64decode(s.partition(",")[2]))) for s in sources]


def test_it_shows_the_worst_pictures_and_nothing_from_outside(
    spotted: ortcam.Cam, folder: Path
) -> None:
    ortcam.evaluate(
        spotted,
        folder / "pictures",
        folder / "out",
        truth=folder / "labels",
        methods=["grad-cam", "hires-cam"],
        metrics=["energy", "deletion", "road"],
        steps=3,
        worst=2,
    )
    page = read(folder / "out" / "page.html")
    tags = [tag for tag, _ in page.found]
    # energy, deletion and ROAD by score and IoU: five figures of two pictures, each with its map.
    assert tags.count("img") == 5 * 2 * 2
    assert {image.size for image in images(page)} == {(32, 24)}
    assert tags.count("svg") == 2 + 6  # the key's and the charts
    for _, attributes in page.found:
        for key, value in attributes.items():
            if key in ("src", "href"):
                assert (value or "").startswith("data:")
    assert "0.png" in page.text
    assert "ortcam" in page.text


def test_the_worst_map_is_the_one_in_the_table(spotted: ortcam.Cam, folder: Path) -> None:
    summary = ortcam.evaluate(
        spotted, folder / "pictures", folder / "out", metrics=["energy"], worst=1
    ).summary
    (row,) = summary.worst["energy"]
    picture, map = (
        np.asarray(i.convert("RGB")) for i in images(read(folder / "out" / "page.html"))
    )
    original = np.asarray(Image.open(folder / "pictures" / row.picture).convert("RGB"))
    far = ~spotted.segment(original).labels.astype(bool)  # Spot is 0, none is -1
    away = np.zeros_like(far)
    away[:2, :4] = True  # neither outline nor disc
    assert far.any()
    assert np.abs(picture[away].astype(int) - original[away]).mean() < 8  # JPEG
    assert np.abs(map.astype(int) - picture).max() > 40


def test_names_from_files_stay_text(folder: Path) -> None:
    cam = ortcam.load(artifact(name=EVIL, layer="<img src=x>"), providers="cpu")
    (folder / "pictures" / "0.png").rename(folder / "pictures" / "<b onclick=x>.png")
    (folder / "pictures" / "1.png").write_bytes(b"<i>")
    ortcam.evaluate(cam, folder / "pictures", folder / "out", steps=2)
    page = read(folder / "out" / "page.html")
    assert EVIL in page.text
    assert "<b onclick=x>.png" in page.text
    assert "<img src=x>" in page.text
    assert {"b", "i"}.isdisjoint(tag for tag, _ in page.found)
    scripts = [a for tag, a in page.found if tag == "script"]
    assert len(scripts) <= 1  # the page's own
    assert not any(a.get("src") == "x" for _, a in page.found)


def test_it_can_go_without_pictures(spotted: ortcam.Cam, folder: Path) -> None:
    ortcam.evaluate(spotted, folder / "pictures", folder / "out", metrics=["energy"], worst=0)
    text = (folder / "out" / "page.html").read_text()
    assert "<img" not in text
    assert re.search(r"<td[^>]*>\d\.\d{3}<span", text)


def test_two_artifacts_are_shown_side_by_side(spotted: ortcam.Cam, folder: Path) -> None:
    other = ortcam.load(artifact(slope=12), providers="cpu")
    ortcam.evaluate(
        spotted, folder / "pictures", folder / "out", against=other, methods="hires-cam", worst=1
    )
    page = read(folder / "out" / "page.html")
    figures = page.text.count(", Spot, bright, hires-cam")
    assert figures > 0
    assert [tag for tag, _ in page.found].count("img") == 3 * figures
