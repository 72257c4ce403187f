"""Explanations whose names are as nasty as a file can make them, and a Chromium to read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from reports import CLASSES, COLORS, PICTURES, TITLE, waves
from results import Build

import ortcam
from ortcam import Cam, Explanation
from ortcam.artifact import Expectations, Preprocessing


@pytest.fixture(scope="session")
def cam(small: Build) -> Cam:
    """The small network, with nasty class names."""
    preprocess = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    expects = Expectations(classes=CLASSES, colors=COLORS, preprocess=preprocess)
    cam: Cam = small(seed=4, factor=3.0, expects=expects).load()
    return cam


@pytest.fixture(scope="session")
def explanations(cam: Cam) -> tuple[Explanation, Explanation]:
    """Two pictures of different shapes, with all classes at both layers."""
    return (
        cam.explain(waves(96, 64), [3, 0, 1, 2]),
        cam.explain(waves(60, 90, 2.0), [0, 1, 2, 3]),
    )


@pytest.fixture(scope="session")
def report(explanations: tuple[Explanation, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of both pictures."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    about = {"file": "<script>window.pwned = 1</script>"}
    with ortcam.Report(path, title=TITLE, about=about) as file:
        for explanation, name in zip(explanations, PICTURES, strict=True):
            file.add(explanation, name)
    return path


@pytest.fixture(scope="session")
def chromium_page() -> Iterator[chromium.Page]:
    """A headless Chromium; skips where there is none."""
    program = chromium.find()
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    page = chromium.Page(program)
    yield page
    page.close()


@pytest.fixture
def page(chromium_page: chromium.Page) -> chromium.Page:
    """The same Chromium, 1280 pixels wide, in light colours."""
    chromium_page.size(1280, 900)
    return chromium_page
