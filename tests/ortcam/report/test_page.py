"""The report in a browser: it paints maps, answers to keys, and loads nothing."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

import chromium
import numpy as np
import pytest
from PIL import Image
from reports import CLASSES, COLORS, PICTURES, TITLE, blocks
from results import segmented

import ortcam
from ortcam import Box, Cam, Explanation
from ortcam.drawing import colormap as colormaps
from ortcam.drawing import contours
from ortcam.drawing.overlay import paint_map
from ortcam.drawing.presets import PRESETS
from ortcam.grids.resample import upsample
from ortcam.report.encode import levels

SHOWN = "document.documentElement.dataset.shown"
CURRENT = "document.querySelector('article.picture:not([hidden])')"


def show(page: chromium.Page, report: Path, **state: object) -> None:
    """Open the report with this state in its address."""
    page.open(report, urlencode(state, doseq=True))
    page.until(f"{SHOWN} === '{state.get('picture', 1)}'")


def canvas(page: chromium.Page, selector: str) -> np.ndarray:
    """The pixels of a canvas of the current picture, [H, W, 4]."""
    text = page.value(
        f"(() => {{ const c = {CURRENT}.querySelector({json.dumps(selector)});"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return JSON.stringify([c.height, c.width, ...d]); })()"
    )
    height, width, *values = json.loads(text)
    return np.array(values, np.uint8).reshape(height, width, 4)


def text(page: chromium.Page, selector: str) -> str:
    return str(page.value(f"{CURRENT}.querySelector({json.dumps(selector)}).textContent"))


def state(page: chromium.Page) -> dict[str, str]:
    entries: dict[str, str] = page.value(
        "Object.fromEntries(new URLSearchParams(location.hash.slice(1)))"
    )
    return entries


def focused(page: chromium.Page) -> str:
    return str(page.value("document.activeElement.name ?? document.activeElement.className"))


# Its policy, and hostile names


@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True)])
@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_without_a_complaint_and_fits(
    page: chromium.Page, report: Path, width: int, mobile: bool, dark: bool
) -> None:
    page.size(width, 844, dark=dark, mobile=mobile)
    show(page, report)
    assert page.complaints() == []
    assert {url.split(":")[0] for url in page.requests()} == {"file", "data"}
    assert page.requests()[0].split("#")[0] == report.as_uri()
    assert page.value("document.documentElement.scrollWidth") == width
    pixels = np.asarray(page.screenshot().convert("L"), int)
    assert pixels.shape == (844, width)
    assert (np.median(pixels) < 64) == dark
    assert len(np.unique(pixels)) > 100


def test_names_are_text_and_no_script_of_theirs_runs(page: chromium.Page, report: Path) -> None:
    for number in (1, 2):
        show(page, report, picture=number)
        assert page.value("window.pwned") is None
        assert page.value("document.title") == TITLE
        assert text(page, "h2") == PICTURES[number - 1]
        assert page.value("document.querySelectorAll('[src=x], [onerror], b').length") == 0
        names = f"[...{CURRENT}.querySelectorAll('.card .name')].map((e) => e.textContent)"
        assert sorted(page.value(names)[:4]) == sorted(CLASSES)
        for name in CLASSES:  # these go through the data to where the script writes them
            page.value(f"location.hash = {json.dumps(urlencode({'class': name}))}")
            page.until(
                f"{CURRENT}.querySelector('.chosen').textContent.includes({json.dumps(name)})"
            )
            label = f"{CURRENT}.querySelector('[data-kind=map]').getAttribute('aria-label')"
            assert name in page.value(label)
    options = "[...document.querySelectorAll('.picker option')].map((e) => e.textContent)"
    assert page.value(options) == [f"{i}: {name}" for i, name in enumerate(PICTURES, 1)]
    assert page.complaints() == []


def test_its_policy_holds(page: chromium.Page, report: Path) -> None:
    show(page, report)
    page.value("new Image().src = 'http://127.0.0.1:9/x.png'; 0")
    page.value("fetch('http://127.0.0.1:9/y').then(() => { window.pwned = 1 }).catch(() => 0)")
    page.value("document.body.setAttribute('style', 'color: red'); 0")
    page.value(
        "try { const s = document.createElement('script'); s.text = 'window.pwned = 1';"
        "document.body.append(s) } catch { 0 }; 0"
    )
    page.value("try { document.body.innerHTML += '<p>' } catch { 0 }; 0")
    complaints = "\n".join(page.complaints())
    for refusal in ("img-src", "default-src", "style-src", "'TrustedScript'", "'TrustedHTML'"):
        assert refusal in complaints
    assert page.value("window.pwned") is None
    assert page.value("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"


def test_without_scripts_the_pictures_and_numbers_are_there(
    page: chromium.Page, report: Path
) -> None:
    page.open(report, scripts=False)
    seen = page.value("document.body.innerText")
    assert "Scripts are turned off" in seen
    for name in (*CLASSES, *PICTURES):
        assert name in seen
    assert page.value(
        "[...document.querySelectorAll('img')].every((i) => i.getBoundingClientRect().width > 50)"
    )
    assert page.value(
        "[...document.querySelectorAll('input, select, button, canvas')]"
        ".every((e) => !e.checkVisibility())"
    )


# Painting


@pytest.mark.parametrize("scale", ["shared", "own"])
def test_the_map_is_painted_as_a_figure_paints_it(
    page: chromium.Page, report: Path, explanations: tuple[Explanation, ...], scale: str
) -> None:
    explanation, cls, layer = explanations[0], CLASSES[0], "late"
    assert explanation.classes[1] == cls
    top, own = explanation.top(1, layer, scale), explanation.top(1, layer, "own")
    picture = explanation.picture
    plane = upsample(explanation.raw[layer][1], explanation.grid)
    known = levels(plane, own) * np.float32(own / 255)  # the page has the map in 255 steps
    show(page, report, **{"class": cls, "layer": layer, "scale": scale})
    for colormap in sorted(set(colormaps.COLORMAPS) - colormaps.SIGNED):
        page.value(f"location.hash = 'colormap={colormap}'")
        page.until(f"{CURRENT}.querySelector('[name=colormap]').value === '{colormap}'")
        pixels = canvas(page, "[data-kind=map] .painted").astype(float)
        over = picture + 0.5 * pixels[..., 3:] / 255 * (pixels[..., :3] - picture)
        expected = paint_map(picture, known, top, alpha=0.5, colormap=colormap)
        # Canvases store colours times opacity, rounded.
        np.testing.assert_allclose(over, expected, atol=2, err_msg=colormap)
    assert text(page, ".scale > :last-child") == f"{float(f'{top:.3g}'):g}"
    assert page.value(f"{CURRENT}.querySelector('[data-kind=map] .painted').style.opacity") == "0.5"


def test_the_labels_are_painted_but_those_hidden(
    page: chromium.Page, report: Path, explanations: tuple[Explanation, ...]
) -> None:
    labels = segmented(explanations[0]).labels
    there = np.unique(labels)
    hidden = int(there[0])
    show(page, report, hide=[CLASSES[hidden]])
    pixels = canvas(page, "[data-kind=labels] .painted")
    np.testing.assert_array_equal(pixels[..., 3], np.where(labels == hidden, 0, 255))
    visible = labels != hidden
    np.testing.assert_array_equal(
        pixels[visible][:, :3], np.array(COLORS, np.uint8)[labels[visible]]
    )


def test_the_outline_runs_along_the_class(
    page: chromium.Page, report: Path, explanations: tuple[Explanation, ...]
) -> None:
    labels = segmented(explanations[0]).labels
    index = int(np.bincount(labels.ravel()).argmax())
    show(page, report, **{"class": CLASSES[index]})
    pixels = canvas(page, "[data-kind=map] .outlines")
    there = np.pad(labels == index, 1, mode="edge")
    near = np.stack([there[:-2, 1:-1], there[2:, 1:-1], there[1:-1, :-2], there[1:-1, 2:]])
    inner, outer = near.min(axis=0) < (labels == index), near.max(axis=0) > (labels == index)
    assert inner.any()
    np.testing.assert_array_equal(pixels[..., 3] == 255, inner | outer)
    np.testing.assert_array_equal(pixels[..., 0] == 255, inner)
    page.click("[name=outline]")
    page.until(f"{CURRENT}.querySelector('[data-kind=map] .outlines').hidden")


@pytest.mark.parametrize("preset", ["matlab", "seggradcam", "raw"])
def test_presets_are_painted_as_their_tools_paint(
    page: chromium.Page,
    cam: Cam,
    explanations: tuple[Explanation, ...],
    tmp_path: Path,
    preset: str,
) -> None:
    picture = explanations[0].picture
    explanation = cam.explain(picture, [0, 3], ["early"], preset=preset)
    explanation.save(tmp_path / "r.html")
    row, plane = PRESETS[preset], explanation.plane(0, "early")
    data = blocks(tmp_path / "r.html")[0]["maps"][0]
    span = data["high"] - data["low"]
    assert data["low"] == pytest.approx(min(0, plane.min()))
    known = data["low"] + levels(plane, data["high"], data["low"]) * np.float32(span / 255)
    for colormap in (row.colormap, "inferno"):
        low, top = explanation.limits(0, "early", row.scale, colormap)
        expected = row.paint(picture, known, top, low=low, alpha=row.alpha, colormap=colormap)
        show(page, tmp_path / "r.html", colormap=colormap)
        assert page.complaints() == []
        painted = f"{CURRENT}.querySelector('[data-kind=map] .painted')"
        opacity = float(page.value(f"{painted}.style.opacity"))
        assert opacity == row.alpha
        pixels = canvas(page, "[data-kind=map] .painted").astype(float)
        over = picture + opacity * pixels[..., 3:] / 255 * (pixels[..., :3] - picture)
        np.testing.assert_allclose(over, expected, atol=2)
        assert text(page, ".scale > :last-child") == f"{float(f'{top:.3g}'):g}"
        assert text(page, ".scale > :nth-child(2)") == f"{float(f'{low:.3g}'):g}"


def test_the_region_asked_about_is_outlined(
    page: chromium.Page, cam: Cam, explanations: tuple[Explanation, ...], tmp_path: Path
) -> None:
    explanation = cam.explain(explanations[0].picture, [0], ["late"], Box(20, 10, 50, 40))
    with ortcam.Report(tmp_path / "r.html", scale=0.5, contours=True) as report:
        report.add(explanation)
    show(page, tmp_path / "r.html")
    pixels = canvas(page, "[data-kind=map] .outlines")
    asked = (pixels[..., :3] == contours.ASKED).all(axis=-1) & (pixels[..., 3] == 255)
    expected = np.zeros(explanation.grid, bool)
    expected[10:40, 20:50] = True
    expected[11:39, 21:49] = False
    np.testing.assert_array_equal(asked, expected)
    assert "region asked about, light blue" in text(page, ".outlined")
    assert text(page, ".scale > :last-child") == "0.5"
    assert page.value(f"{CURRENT}.querySelector('[name=scale]').value") == "given"


def test_a_map_without_a_picture_is_its_colours(
    page: chromium.Page, cam: Cam, explanations: tuple[Explanation, ...], tmp_path: Path
) -> None:
    picture = explanations[0].picture
    assert picture is not None
    tensor = cam.preprocess(picture)
    explanation = cam.explain(tensor=tensor, classes=[3])
    with ortcam.Report(tmp_path / "r.html") as report:
        report.add(explanation)
    show(page, tmp_path / "r.html")
    assert page.complaints() == []
    pixels = canvas(page, "[data-kind=map] .painted")
    assert (pixels[..., 3] == 255).all()
    box = f"(() => {{ const b = {CURRENT}.querySelector('.stage').getBoundingClientRect();"
    width, height = page.value(f"{box} return [b.width, b.height]; }})()")
    assert width / height == pytest.approx(explanation.grid[1] / explanation.grid[0], rel=0.02)


def test_cards_show_each_map(page: chromium.Page, report: Path) -> None:
    show(page, report, opacity=100, scale="own")
    cards = page.value(f"{CURRENT}.querySelectorAll('.card canvas').length")
    assert cards == 8
    painted = "(c) => c.toDataURL()"
    each = page.value(f"[...{CURRENT}.querySelectorAll('.card canvas')].map({painted})")
    assert len(set(each)) == cards


# Controls


def test_everything_has_a_name_and_is_reached_by_keys(page: chromium.Page, report: Path) -> None:
    show(page, report)
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "checkbox", "slider", "radio", "combobox", "application", "image",
             "MenuListPopup", "listbox"}  # fmt: skip
    counts: dict[str, int] = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in roles - {"MenuListPopup", "listbox"} and not node.get("ignored"):
            assert node["name"]["value"].strip(), node
            counts[role] = counts.get(role, 0) + 1
    assert counts == {
        "button": 4, "checkbox": 6, "slider": 2, "radio": 8, "combobox": 3, "application": 2,
        "image": 1,
    }  # fmt: skip
    order = []
    for _ in range(40):
        page.press("Tab")
        order.append(focused(page))
        ring = "getComputedStyle(document.activeElement.closest('.card') ?? document.activeElement)"
        if page.value("document.activeElement === document.body"):
            break
        assert page.value(f"{ring}.outlineStyle") == "solid", order
    once = [name for i, name in enumerate(order) if name not in order[:i]]
    assert [name.split()[0] for name in once if name] == [
        "picture", "next", "stage", "labels-opacity", "all", "none", "shown", "map-opacity",
        "colormap", "scale", "outline", "alone", "map-1",
    ]  # fmt: skip
    assert order.count("shown") == 4


def test_classes_are_switched_by_keys_and_by_the_mouse(page: chromium.Page, report: Path) -> None:
    show(page, report)
    everything = canvas(page, "[data-kind=labels] .painted")[..., 3]
    assert (everything == 255).all()
    page.value(f"{CURRENT}.querySelector('[name=shown]').focus()")
    page.press(" ")
    page.until("location.hash.includes('hide')")
    some = canvas(page, "[data-kind=labels] .painted")[..., 3]
    assert 0 < (some == 0).mean() < 1
    page.click(".legend [name=none]")
    page.until(f"!{CURRENT}.querySelector('[name=shown]:checked')")
    assert not canvas(page, "[data-kind=labels] .painted").any()
    page.click(".legend [name=all]")
    page.until("!location.hash.includes('hide')")
    np.testing.assert_array_equal(canvas(page, "[data-kind=labels] .painted")[..., 3], everything)


def test_a_map_is_chosen_by_keys(page: chromium.Page, report: Path) -> None:
    show(page, report)
    first = text(page, ".chosen")
    assert first == f" of {CLASSES[3]} at late"
    before = canvas(page, "[data-kind=map] .painted")
    page.value(f"{CURRENT}.querySelector('.card :checked').focus()")
    page.press("ArrowRight")
    page.until(f"{CURRENT}.querySelector('.chosen').textContent === ' of {CLASSES[0]} at late'")
    page.until("location.hash.includes('class')")
    assert state(page)["class"] == CLASSES[0]
    assert (canvas(page, "[data-kind=map] .painted") != before).any()


@pytest.mark.parametrize("kind", ["map", "labels"])
def test_the_opacity_is_set_by_keys(page: chromium.Page, report: Path, kind: str) -> None:
    show(page, report)
    opacity = f"{CURRENT}.querySelector('[data-kind={kind}] .painted').style.opacity"
    before = float(page.value(opacity))
    page.value(f"{CURRENT}.querySelector('[name={kind}-opacity]').focus()")
    page.press("ArrowRight")
    page.press("ArrowRight")
    assert float(page.value(opacity)) == pytest.approx(before + 0.02)
    assert text(page, f"[name={kind}-opacity] + output") == f"{100 * before + 2:.0f}\u00a0%"
    page.until(f"location.hash.includes('{'opacity' if kind == 'map' else 'labels'}=')")


def test_colours_scale_and_picture_are_chosen(page: chromium.Page, report: Path) -> None:
    show(page, report, **{"class": CLASSES[0], "layer": "late"})
    looks = [canvas(page, "[data-kind=map] .painted")]

    def choose(name: str, value: str) -> None:
        page.value(
            f"(() => {{ const s = {CURRENT}.querySelector('[name={name}]'); s.value = '{value}';"
            "s.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )

    choose("colormap", "viridis")
    page.until("location.hash.includes('colormap=viridis')")
    looks.append(canvas(page, "[data-kind=map] .painted"))
    choose("scale", "own")
    page.until("location.hash.includes('scale=own')")
    looks.append(canvas(page, "[data-kind=map] .painted"))
    assert (looks[0] != looks[1]).any()
    assert (looks[1] != looks[2]).any()
    page.click("[name=alone]")
    page.until("location.hash.includes('alone=1')")
    for kind in ("labels", "map"):
        painted = f"{CURRENT}.querySelector('[data-kind={kind}] .painted')"
        assert page.value(f"getComputedStyle({painted}).visibility") == "hidden"


def test_pictures_are_turned_over(page: chromium.Page, report: Path) -> None:
    show(page, report, **{"class": CLASSES[1], "layer": "early", "colormap": "turbo"})
    assert page.value("document.querySelectorAll('article:not([hidden])').length") == 1
    page.click(".picker [name=next]")
    page.until(f"{SHOWN} === '2'")
    assert text(page, "h2") == PICTURES[1]
    assert text(page, ".chosen") == f" of {CLASSES[1]} at early"
    assert page.value(f"{CURRENT}.querySelector('[name=colormap]').value") == "turbo"
    assert page.value("document.querySelector('.picker [name=next]').disabled")
    page.until("location.hash.includes('picture=2')")
    page.click(".picker [name=previous]")
    page.until(f"{SHOWN} === '1'")
    assert text(page, "h2") == PICTURES[0]


def test_values_are_read_by_keys_and_by_the_mouse(
    page: chromium.Page, report: Path, explanations: tuple[Explanation, ...]
) -> None:
    explanation = explanations[0]
    plane = upsample(explanation.raw["late"][1], explanation.grid)
    own = explanation.top(1, "late", "own")
    labels = segmented(explanation).labels
    height, width = explanation.grid

    def check(x: int, y: int) -> None:
        label, value = (
            page.value(f"{CURRENT}.querySelectorAll('.reading')[{i}].textContent") for i in (0, 1)
        )
        assert label.startswith(f"Column {x}, row {y}: {CLASSES[labels[y, x]]}, score ")
        score = float(label.rsplit(" ", 1)[1])
        best = [
            np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BILINEAR))[y, x]
            for p in segmented(explanation).score
        ]
        assert score == pytest.approx(max(best), abs=0.006)
        assert value.startswith(f"Column {x}, row {y}: ")
        shown = float(value.split(": ")[1].split(",")[0])
        assert shown == pytest.approx(min(plane[y, x], own), abs=own / 255 * 1.1)

    show(page, report, **{"class": CLASSES[0], "layer": "late", "at": "12,20"})
    check(12, 20)
    page.value(f"{CURRENT}.querySelector('[data-kind=map]').focus()")
    page.press("ArrowRight")
    page.press("ArrowDown", shift=True)
    check(14, 21)
    page.press("Escape")
    assert "arrow keys" in text(page, ".reading")
    page.value("document.activeElement.blur(); scrollTo(0, 0)")
    box = f"{CURRENT}.querySelector('[data-kind=labels]').getBoundingClientRect()"
    left, top, across, down = page.value(
        f"(({{x, y, width, height}}) => [x, y, width, height])({box})"
    )
    page.move(left + across * (30.5 / width), top + down * (40.5 / height))
    page.until(f"{CURRENT}.querySelector('.reading').textContent.startsWith('Column 30, row 40')")
    check(30, 40)
    page.move(left, top - 30)
    page.until(f"{CURRENT}.querySelector('.reading').textContent.includes('arrow keys')")


def test_an_address_brings_all_of_it_back(page: chromium.Page, report: Path) -> None:
    wanted = {
        "picture": "2", "class": CLASSES[2], "layer": "early", "colormap": "magma", "scale": "own",
        "opacity": "73", "labels": "11", "hide": CLASSES[0], "outline": "0", "alone": "1",
    }  # fmt: skip
    show(page, report, **wanted)
    page.click("article:not([hidden]) [name=alone]")
    page.until("!location.hash.includes('alone')")
    assert state(page) == {name: value for name, value in wanted.items() if name != "alone"}
    show(page, report, picture="1", colormap="none", scale="<b>", opacity="1e9", at="x,y")
    assert page.complaints() == []
    page.value("location.hash = 'picture=99&opacity=-5'")
    page.until(f"{SHOWN} === '2'")
