"""Names in letters that matplotlib's and Pillow's own fonts lack."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ortcam.drawing.overlay import beside_legend

pytest.importorskip("matplotlib")

from matplotlib import font_manager
from matplotlib.text import Text

from ortcam.drawing import fonts
from ortcam.drawing.figures import cut, plain

FontBuilder = import_module("fontTools.fontBuilder").FontBuilder  # matplotlib depends on it
TTGlyphPen = import_module("fontTools.pens.ttGlyphPen").TTGlyphPen

NOWHERE = "\U00016a40\U00016a41"
"""Letters of the Mro script, which no common font has."""

HERE = "\U00010b40"
"""A letter of the Parthian script, which only the tests' font has."""


@pytest.fixture(scope="module", autouse=True)
def squares(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install a font in which one letter is a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((50, 0))
    for corner in ((50, 800), (950, 800), (950, 0)):
        pen.lineTo(corner)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap({ord(HERE): "square"})
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 50)})
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": "Squares Sans", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    path = tmp_path_factory.mktemp("fonts") / "squares.ttf"
    font.save(path)
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(path)
    fonts._beside.cache_clear()
    yield path
    font_manager.fontManager.ttflist[:] = before
    font_manager.fontManager._findfont_cached.cache_clear()  # type: ignore[attr-defined]
    fonts._beside.cache_clear()


def test_letters_are_taken_from_the_font_that_has_them() -> None:
    assert fonts.families("Straße, дорога, δρόμος") == [fonts.OWN]
    assert fonts.families(f"Road {HERE}") == [fonts.OWN, "Squares Sans"]
    assert fonts.families(f"{HERE}{NOWHERE}") == [fonts.OWN, "Squares Sans"]


def test_letters_that_no_font_has_become_unknown() -> None:
    text = f"Straße {HERE}{NOWHERE}"
    assert fonts.legible(text) == f"Straße {HERE}\ufffd\ufffd"
    assert plain(f"${NOWHERE}") == "\\$\ufffd\ufffd"


def test_one_font_has_all_letters_or_the_own_one_is_taken(squares: Path) -> None:
    own = font_manager.findfont(fonts.OWN)
    assert fonts.in_one("Straße") == ("Straße", own)
    assert fonts.in_one(HERE) == (HERE, str(squares))
    assert fonts.in_one(f"Straße {HERE}{NOWHERE}") == ("Straße \ufffd\ufffd\ufffd", own)


def test_a_font_that_cannot_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        font_manager.FontEntry(fname=file, name="Damaged Sans")
        for file in ("/no/such/font.ttf", __file__)
    ]
    every = [*entries, *font_manager.fontManager.ttflist]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", every)
    fonts._beside.cache_clear()
    assert fonts.families(HERE) == [fonts.OWN, "Squares Sans"]
    assert fonts.in_one(NOWHERE) == ("\ufffd\ufffd", font_manager.findfont(fonts.OWN))


@pytest.mark.parametrize(
    ("text", "wide"), [("", 0), ("Road", 4), ("道路", 4), ("e\u0301t\u0301", 2), ("道 a", 4)]
)
def test_how_wide_a_text_is(text: str, wide: int) -> None:
    assert fonts.width(text) == wide


def test_a_long_name_of_wide_letters_is_cut_sooner() -> None:
    assert cut("道" * 23) == "道" * 23
    short = cut("道" * 40)
    assert "…" in short
    assert fonts.width(short) <= 46


def test_figures_have_the_letters_of_their_names(small: Any, rgb: np.ndarray) -> None:
    """matplotlib warns of missing letters, and warnings are errors here."""
    cam = small(seed=4).load()
    names = (f"Sky {HERE}", NOWHERE, "Straße", "Tree")
    segmentation = dataclasses.replace(cam.segment(rgb), classes=names)
    explanation = dataclasses.replace(
        cam.explain(rgb, [0, 1]), classes=names[:2], segmentation=segmentation
    )
    one = dataclasses.replace(explanation, layers=explanation.layers[:1])
    for figure, expected in (
        (segmentation.figure(), {f"Sky {HERE}", "\ufffd\ufffd", "Straße"}),
        (one.figure(), {f"Grad-CAM: Sky {HERE}", "Straße"}),
        (explanation.figure(), {f"Grad-CAM: Sky {HERE} (late)"}),
    ):
        figure.set_dpi(50)
        figure.canvas.draw()
        assert expected <= {text.get_text() for text in figure.findobj(Text)}


def inked(name: str) -> np.ndarray:
    """The lettering beside the colour, black on white."""
    picture = np.full((100, 40, 3), 77, np.uint8)
    return np.asarray(beside_legend(picture, [name], [(255, 0, 0)]).convert("L"))[:, 50:] < 60


def test_legends_beside_overlays_have_the_letters_of_their_names() -> None:
    rows, columns = np.nonzero(inked(HERE)[:, 14:])
    square = inked(HERE)[:, 14:][rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert square.all()  # the box for a missing letter is hollow
    assert len(rows) > 40
    unknown = inked("\ufffd\ufffd")
    np.testing.assert_array_equal(inked(NOWHERE), unknown)
    np.testing.assert_array_equal(inked(f"ß{HERE}"), inked("ß\ufffd"))
    assert not np.array_equal(inked("ß"), inked("ä"))


def test_legends_have_no_accents_where_fonts_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "ortcam.drawing" and "fonts" in (args[2] or ()):
            raise ImportError("No module named 'matplotlib'")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    np.testing.assert_array_equal(inked("Véhicule"), inked("Vehicule"))
    np.testing.assert_array_equal(inked("道é"), inked("?e"))
