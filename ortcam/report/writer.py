"""The report: one self-contained HTML file about any number of pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import BinaryIO, Unpack

from ortcam.artifact import Artifact
from ortcam.drawing.presets import DEFAULT, PRESETS
from ortcam.drawing.style import DrawingStyle, Style
from ortcam.errors import InputError
from ortcam.files.atomic import check_writable, whole_file
from ortcam.report.html import Markup, element, join, name
from ortcam.report.html_page import frame
from ortcam.report.page_sections import artifact_section, help_section, settings
from ortcam.report.picture_section import picture_section
from ortcam.results.explanation import Explanation

__all__ = ["Report", "write_report"]


class Report:
    """An HTML file of explanations by one artifact, which are added one by one.

    ::

        with ortcam.Report("report.html", title="street.cam.onnx") as report:
            for picture in pictures:
                report.add(cam.explain(picture), picture.name)

    The file holds everything: pictures, labels, maps and numbers, the style and the script. It
    loads nothing, and its policy forbids it to. It is written whole or not at all, and only one
    picture's part is in memory at a time.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Explanations",
        about: Mapping[str, str] | None = None,
        **style: Unpack[Style],
    ) -> None:
        """Check that the file can be written.

        Args:
            path: the file, such as ``"report.html"``.
            title: of the page, such as the artifact's file name.
            about: more facts about the artifact, such as
                ``{"file": "street.cam.onnx", "runs on": cam.provider}``.
            **style: ``alpha``, ``colormap``, ``scale``, ``slice`` and ``contours``, described in
                :class:`ortcam.drawing.style.Style`; the reader of the page can change all of them
                but the slice.

        Raises:
            InputError: there is no such colour map or scale, or alpha is not in [0, 1].
            OutputError: the path cannot be written.
        """
        check_writable(path)
        self._path, self._title, self._about = path, title, dict(about or {})
        self._style = style
        slice = style.get("slice")
        DrawingStyle.of(PRESETS[DEFAULT], (1, 1) if slice is None else (slice + 1, 1, 1), **style)
        self._open = ExitStack()
        self._file: BinaryIO | None = None
        self._artifact: Artifact | None = None
        self._count = 0
        self._after = Markup()

    def __enter__(self) -> Report:
        self._file = self._open.enter_context(whole_file(self._path))
        # The page ends before the file closes, which takes its name only after a success.
        self._open.push(partial(self._end, self._file))
        return self

    def add(self, explanation: Explanation, title: str = "") -> None:
        """Add a picture.

        Args:
            explanation: of the picture.
            title: of the picture, such as its file's name.

        Raises:
            InputError: the report is not open, the explanation is by another artifact than those
                before it, or there is no such slice.
            LayerError: the scale has no value for a layer.
            OutputError: the file cannot be written.

        Example:
            >>> import ortcam
            >>> cam = ortcam.load("network.cam.onnx", "cpu")
            >>> with ortcam.Report("report.html", title="street") as report:
            ...     report.add(cam.explain("street.png", ["Road", "Car"]), "street.png")
        """
        if self._file is None:
            raise InputError(
                "the report is not open; add pictures in a with block: with Report(path) as report"
            )
        style = DrawingStyle.of(PRESETS[explanation.preset], explanation.grid, **self._style)
        if self._artifact not in (None, explanation.artifact):
            raise InputError(
                "a report is about one artifact, but this explanation is by another than those "
                "before it; write one report for each artifact"
            )
        number = self._count + 1
        part = picture_section(explanation, title or f"Picture {number}", number, style)
        if self._artifact is None:
            self._artifact = explanation.artifact
            self._begin(self._file, explanation, style)
        _write(self._file, part)
        self._count = number

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file = None
        self._open.__exit__(kind, error, trace)

    def _begin(self, file: BinaryIO, explanation: Explanation, style: DrawingStyle) -> None:
        title = self._title
        before, self._after = frame(title, styles=["base.css", "report.css"], scripts=["report.js"])
        heading = element(
            "header",
            element("p", f"{explanation.title} report", class_="kind"),
            element("h1", name(title)),
        )
        notice = element(
            "noscript",
            element(
                "p",
                "Scripts are turned off in this browser, so the page cannot paint maps and labels; "
                "the pictures and the numbers are below.",
                class_="notice",
            ),
        )
        _write(file, join([before, heading, notice, settings(style), _PICKER]))
        _write(file, Markup("<main>"))

    def _end(self, file: BinaryIO, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        if self._artifact is None:
            raise InputError(
                f"{self._path} was not written because no picture was added to the report"
            )
        identity = artifact_section(self._artifact, self._about)
        aside = element("aside", help_section(), identity)
        _write(file, join([Markup("</main>"), aside, self._after]))


_PICKER = element(
    "nav",
    element("button", "Previous", type="button", name="previous"),
    element("label", "Picture", element("select", name="picture")),
    element("button", "Next", type="button", name="next"),
    class_="picker live",
    hidden=True,
    aria_label="Pictures",
)


def _write(file: BinaryIO, text: str) -> None:
    file.write(text.encode() + b"\n")


def write_report(
    path: str | os.PathLike[str], explanation: Explanation, **style: Unpack[Style]
) -> None:
    """Write a report of one explanation."""
    with Report(path, **style) as report:
        report.add(explanation)
