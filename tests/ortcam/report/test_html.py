"""HTML as values: no text becomes markup, wherever it stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import Read

from ortcam.report.html import Markup, element, escape, join, json_block, name

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</bdi></td><style>*{}</style>",
    "<!--",
    "&lt;b&gt; & &amp;",
]


@pytest.mark.parametrize("text", NASTY)
def test_text_stays_text(text: str) -> None:
    read = Read(element("p", text, name(text)))
    assert [tag for tag, _ in read.tags if tag != "wbr"] == ["p", "bdi"]
    assert read.text == text + text


@pytest.mark.parametrize("text", NASTY)
def test_attributes_stay_attributes(text: str) -> None:
    read = Read(element("input", aria_label=text, value=3, checked=True, disabled=False, id=None))
    assert read.tags == [("input", {"aria-label": text, "value": "3", "checked": None})]


@pytest.mark.parametrize("text", NASTY)
def test_data_stay_data(text: str) -> None:
    block = json_block({"name": text, text: [1.5]}, id="data")
    read = Read(block)
    assert read.tags == [("script", {"type": "application/json", "id": "data"})]
    assert json.loads(read.text) == {"name": text, text: [1.5]}
    assert block.count("<") == 2


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    html = element("p", text, title=text)
    assert html.count("<") == 2
    assert html.count('"') == 2
    html.encode()  # no lone surrogates


def test_what_no_page_can_hold_is_marked() -> None:
    assert escape("a\x00b\udc80c\td") == "a\ufffdb\ufffdc\td"


def test_markup_is_not_escaped_again() -> None:
    assert join([element("b", "&"), None, "<"], " & ") == "<b>&amp;</b> &amp; &lt;"
    assert isinstance(escape(Markup("<b>")), Markup)


def test_names_of_attributes() -> None:
    html = element("label", class_="a", for_="b", data_kind="c")
    assert html == '<label class="a" for="b" data-kind="c"></label>'


def test_data_are_numbers_or_an_error() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_block(float("nan"))
