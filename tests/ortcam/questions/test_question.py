"""Questions and their places, against central differences of the scalar that is asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ortcam
from ortcam import Box, Component, Mask, Mistaken, Pixel, Predicted, about
from ortcam.errors import ClassError, InputError, RegionError
from ortcam.questions.coverage import coverage
from ortcam.questions.question import parse

Small = Callable[..., Any]
Picture = NDArray[np.uint8]

SEED = 4
GRID = (22, 31)


def true_weights(
    reference: Any, x: Any, layer: str, weights: dict[int, float], mask: NDArray[Any] | None = None
) -> NDArray[Any]:
    """d/da of sum over c and pixels of weights, mask and score: each channel shifted as a whole."""
    a = reference.features(x)[layer]
    region = 1.0
    if mask is not None:
        cells = reference.features(x)["score"].shape[1:]
        region = coverage(mask[None].astype(np.float32), cells)[0]

    def y(features: Any) -> Any:
        score = reference.tail(layer, features)
        return sum(w * (score[c] * region).sum() for c, w in weights.items())

    alphas = []
    for channel in range(len(a)):
        shift = np.zeros_like(a)
        shift[channel] = 1e-5
        alphas.append((y(a + shift) - y(a - shift)) / 2e-5 / a[0].size)
    return np.array(alphas)


def ask(
    small: Small,
    rgb: Picture,
    question: Any,
    weights: dict[int, float],
    mask: NDArray[Any] | None = None,
    **variant: Any,
) -> Any:
    built = small(seed=SEED, **variant)
    cam = built.load()
    x = cam.preprocess(rgb)[0].astype(float)
    explanation = cam.explain(rgb, question)
    for layer in ("early", "late"):
        alphas = true_weights(built.reference, x, layer, weights, mask)
        size = max(abs(alphas).max(), 1e-12)
        np.testing.assert_allclose(explanation.weights[layer][0], alphas, atol=5e-5 * size)
        features = built.reference.features(x)[layer]
        expected = np.maximum(np.tensordot(alphas, features, axes=1), 0)
        bound = np.tensordot(abs(alphas), abs(features), axes=1).max()
        np.testing.assert_allclose(explanation.raw[layer][0], expected, atol=5e-5 * bound)
    return explanation


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "logits"])
@pytest.mark.parametrize(
    ("question", "weights", "name"),
    [
        (about("Road"), {1: 1}, "Road"),
        (about("Road", 3), {1: 1, 3: 1}, "Road + Tree"),
        (about("Car") - about("Road"), {2: 1, 1: -1}, "Car - Road"),
        (-about("Car") + 0.5 * about(1) * 3, {2: -1, 1: 1.5}, "-Car + 1.5*Road"),
        ((about("Car") + about("Car")).named("twice"), {2: 2}, "twice"),
    ],
    ids=lambda v: str(v) if isinstance(v, str) else "",
)
def test_classes_differences_and_sums(
    small: Small, rgb: Picture, kind: str, question: Any, weights: Any, name: str
) -> None:
    explanation = ask(small, rgb, question, weights, kind=kind)
    assert explanation.classes == (name,)
    assert explanation.indices == ((1,) if name == "Road" else (None,))


@pytest.mark.parametrize("variant", [{}, {"channels_last": True}, {"size": (22, 32)}], ids=str)
def test_places(small: Small, rgb: Picture, variant: dict[str, Any]) -> None:
    labels = small(seed=SEED, **variant).load().segment(rgb).labels
    car_or = about("Tree") - about("Sky")
    pixel = np.zeros(GRID, bool)
    pixel[8, 20] = True
    ask(small, rgb, car_or.at(20, 8), {3: 1, 0: -1}, pixel, **variant)
    box = np.zeros(GRID, bool)
    box[3:9, 5:17] = True
    ask(small, rgb, about(0).over(Box(5, 3, 17, 9)), {0: 1}, box, **variant)
    subject = int(np.bincount(labels.ravel()).argmax())
    predicted = about(subject).over(Predicted())
    ask(small, rgb, predicted, {subject: 1}, labels == subject, **variant)
    both = about(subject).over(Predicted() & Box(5, 3, 17, 9))
    ask(small, rgb, both, {subject: 1}, (labels == subject) & box, **variant)
    truth = (labels + np.indices(GRID)[0] % 2) % 4
    ask(small, rgb, about(1).over(Mistaken(truth)), {1: 1}, truth != labels, **variant)


def test_a_question_of_a_place_is_about_what_both_share(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED).load()
    mask = np.zeros(GRID)
    mask[2:12, 3:20] = 0.5
    box = Box(10, 0, 31, 22)
    both = mask.copy()
    both[:, :10] = 0
    expected = cam.explain(rgb, "Road", region=both)
    for found in (
        cam.explain(rgb, about("Road").over(box), region=mask),
        cam.explain(rgb, about("Road").over(Mask(mask)), region=box),
        cam.explain(rgb, about("Road").over(Mask(mask)).over(box)),
    ):
        np.testing.assert_allclose(found.raw["early"], expected.raw["early"], rtol=1e-5, atol=1e-9)


def test_names_indices_and_questions_mixed(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED).load()
    asked = ["Road", 3, (about("Car") - about("Road")).at(12, 8), about("Car").at(3, 4).named("it")]
    found = cam.explain(rgb, asked)
    assert found.classes == ("Road", "Tree", "Car - Road at 12,8", "it")
    assert found.indices == (1, 3, None, 2)
    for k, one in enumerate(asked):
        alone = cam.explain(rgb, one)
        np.testing.assert_allclose(found.weights["early"][k], alone.weights["early"][0], rtol=1e-4)
    assert found.map("Car - Road at 12,8", "late").shape == GRID
    np.testing.assert_array_equal(found.map(2, "late"), found.map("it", "late"))
    assert found.overlay("it", "late").size == (31, 22)
    twice = cam.explain(rgb, [about("Car").at(3, 4), "Car"])
    with pytest.raises(ClassError, match="several questions are about class 2; name one of"):
        twice.map(2, "late")


def test_figures_and_arrays_take_any_question(small: Small, rgb: Picture, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cam = small(seed=SEED).load()
    found = cam.explain(rgb, ["Road", about("Car") - about("Road")])
    found.save(tmp_path / "a.png")
    found.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["class_indices"].tolist() == [1, -1]
        assert arrays["classes"].tolist() == ["Road", "Car - Road"]


def test_a_part_for_all_classes_is_of_each_its_own(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED).load()
    labels = cam.segment(rgb).labels
    there = [int(i) for i in np.unique(labels)]
    assert len(there) > 1
    found = cam.explain(rgb, there, region=Predicted())
    masks = np.stack([labels == i for i in there])
    np.testing.assert_allclose(
        found.raw["late"], cam.explain(rgb, there, region=masks).raw["late"], rtol=1e-5
    )
    counts = [f"asks about {n} pixels" for n in masks.sum(axis=(1, 2))]
    assert [note.split("predicted ")[1] for note in found.notes[: len(there)]] == counts
    seen = cam.explain(rgb, region=Predicted())
    assert set(seen.indices) == set(there)
    assert seen.classes[0].endswith(" where predicted")
    (seed,) = np.argwhere(labels == there[0])[:1]
    within = cam.explain(rgb, region=Component(int(seed[1]), int(seed[0])))
    assert within.indices[0] == there[0]


def test_every_picture_of_a_batch_has_its_own_questions(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED).load()
    pictures = [rgb, np.roll(rgb, 9, axis=1), rgb[::-1]]
    asked = [[about("Car") - about("Road"), 1], None, [about("Tree").at(3, 3)]]
    regions = [Pixel(5, 6), Predicted(), None]
    found = cam.explain_batch(pictures, asked, None, regions)
    for picture, own, region, one in zip(pictures, asked, regions, found, strict=True):
        alone = cam.explain(picture, own, region=region)
        assert (one.classes, one.indices, one.notes) == (alone.classes, alone.indices, alone.notes)
        for layer in one.layers:
            size = abs(alone.weights[layer]).max()
            np.testing.assert_allclose(
                one.weights[layer], alone.weights[layer], rtol=1e-4, atol=1e-5 * size
            )
    alike = cam.explain_batch(pictures, about("Car") - about("Road"))
    assert {one.classes for one in alike} == {("Car - Road",)}


def runs(cam: ortcam.Cam) -> list[int]:
    """The number of questions of every run from now on."""
    seen: list[int] = []
    session: Any = cam._graph.session
    run = session.run

    def spy(outputs: Any, feeds: Any) -> Any:
        seen.append(len(feeds["class_weights"]))
        return run(outputs, feeds)

    session.run = spy
    return seen


def test_the_prediction_takes_one_run_and_only_where_it_is_needed(
    small: Small, rgb: Picture
) -> None:
    cam = small(seed=SEED).load()
    cam.explain(rgb, "Road")  # which shows the score's size
    seen = runs(cam)
    cam.explain(rgb, [about("Road").at(3, 4), about("Road").over(Box(0, 0, 4, 4))])
    assert seen == [2]
    seen.clear()
    there = int(np.bincount(cam.segment(rgb).labels.ravel()).argmax())
    assert seen == [0]
    seen.clear()
    parts = [Predicted(), Predicted().border(2), Predicted() & ~Pixel(0, 0)]
    cam.explain(rgb, [about(there).over(part) for part in parts])
    assert seen == [0, 3]


def test_one_place_for_all_is_told_once(small: Small, rgb: Picture) -> None:
    """Where the questions share a region, pooled layers are cheaper."""
    cam = small(seed=SEED).load()
    cam.explain(rgb, "Road")  # which shows the score's size
    session: Any = cam._graph.session
    run, shapes = session.run, []

    def spy(outputs: Any, feeds: Any) -> Any:
        shapes.append(feeds["region"].shape)
        return run(outputs, feeds)

    session.run = spy
    cam.explain(rgb, ["Road", "Car"], region=Pixel(3, 3))
    cam.explain(rgb, [about("Road").at(3, 3), about("Car").at(3, 3)])
    cam.explain(rgb, [about("Road").at(3, 3), about("Car")])
    assert [shape[0] for shape in shapes] == [1, 1, 2]


@pytest.mark.parametrize(
    ("asked", "region", "error", "said"),
    [
        (about("Kar"), None, ClassError, "there is no class 'Kar'"),
        (about("Car") - about("Car"), None, InputError, "has only zero weights"),
        (about("Car") * np.inf, None, InputError, "not finite"),
        (
            about("Car").over(Box(99, 0, 120, 9)),
            None,
            RegionError,
            "'Car in the box 99,0,120,9' is",
        ),
        (
            "Car",
            Pixel(31, 0),
            RegionError,
            "the pixel 31,0, counted from 0, lies outside the picture of 31 x 22",
        ),
        ("Car", ~Mask(np.full(GRID, 2.0)), RegionError, "negative"),
        ([], None, ClassError, "the list of classes is empty"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    small: Small, rgb: Picture, asked: Any, region: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        small(seed=SEED).load().explain(rgb, asked, region=region)


def test_what_does_not_compose_is_refused() -> None:
    with pytest.raises(InputError, match="give it after the brackets"):
        about("Car").at(1, 2) - about("Road")
    assert (about("Car").at(1, 2) - about("Road").at(1, 2)).where == Pixel(1, 2)
    with pytest.raises(ClassError, match="a question needs a class"):
        about()
    for other in ("Road", 2):
        with pytest.raises(TypeError):
            about("Car") + other  # type: ignore[operator]


def test_a_classifier_has_no_places(small: Small, rgb: Picture) -> None:
    cam = small(seed=SEED, classifier=True).load()
    assert cam.explain(rgb, about("Car") - about("Road")).raw["late"].any()
    for asked in (about("Car").at(3, 3), about("Car").over(Predicted())):
        with pytest.raises(RegionError, match="is a classifier's score without spatial axes"):
            cam.explain(rgb, asked)


NAMES = ("Car", "Road", "A - B", "B", "A", "7", "2*Car", "-B")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Car", "Car"),
        ("A - B", "A - B"),
        ("0", 0),
        ("7", "7"),
        ("Kar", "Kar"),
        ("2*Car", "2*Car"),
        ("Car - Road", about("Car") - about("Road")),
        ("A - B - Car", about("A - B") - about("Car")),
        ("A - Car + B", about("A") - about("Car") + about("B")),
        ("Car - A - B", about("Car") - about("A - B")),
        ("Car - 0.5*1", about("Car") - 0.5 * about(1)),
        ("3 * Car", 3 * about("Car")),
        ("7 - 1", about("7") - about(1)),
        ("-0", -about(0)),
        ("-Car", -about("Car")),
        ("- Car", -about("Car")),
        ("-2*1 + Car", -2 * about(1) + about("Car")),
        ("-7", -about("7")),
        ("-B", "-B"),
    ],
)
def test_what_is_typed(typed: str, expected: object) -> None:
    assert parse(typed, NAMES) == expected


def test_what_is_typed_wrongly() -> None:
    with pytest.raises(ClassError, match="there is no class 'Rod'; the nearest"):
        parse("-Rod", NAMES)
    with pytest.raises(ClassError, match="there is no class 'Rod'; the nearest"):
        parse("Car - Rod", NAMES)
