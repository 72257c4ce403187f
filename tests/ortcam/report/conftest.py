"""Explanations whose names are as nasty as a file can make them, and a Chromium to read them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import chromium
import pytest
from reports import CLASSES, COLORS, PICTURES, TITLE, waves

import ortcam
from ortcam import Cam, Explanation
from ortcam.artifact import Expectations, Preprocessing


@pytest.fixture(scope="session")
def cam(small: Callable[..., object]) -> Cam:
    """The small network, its classes' names nasty."""
    preprocess = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    expects = Expectations(classes=CLASSES, colors=COLORS, preprocess=preprocess)
    return small(seed=4, factor=3.0, expects=expects).load()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def explanations(cam: Cam) -> tuple[Explanation, Explanation]:
    """Of two pictures of unlike shapes, all classes at both layers."""
    return (
        cam.explain(waves(96, 64), [3, 0, 1, 2]),
        cam.explain(waves(60, 90, 2.0), [0, 1, 2, 3]),
    )


@pytest.fixture(scope="session")
def report(explanations: tuple[Explanation, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of both."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    about = {"file": "<script>window.pwned = 1</script>"}
    with ortcam.Report(path, title=TITLE, about=about) as file:
        for explanation, name in zip(explanations, PICTURES, strict=True):
            file.add(explanation, name)
    return path


@pytest.fixture(scope="session")
def chromium_page() -> Iterator[chromium.Page]:
    """A headless Chromium; skipped where there is none."""
    program = chromium.found()
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    page = chromium.Page(program)
    yield page
    page.close()


@pytest.fixture
def page(chromium_page: chromium.Page) -> chromium.Page:
    """The same, 1280 pixels wide and light."""
    chromium_page.size(1280, 900)
    return chromium_page
