"""Questions to the graph: in how many runs, and what is said of a graph that is not as it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

import ortcam
from ortcam.artifact import METADATA_KEY, Expectations
from ortcam.errors import ArtifactError, PictureError

Small = Callable[..., Any]
Picture = NDArray[np.uint8]


class Spy:
    """Counts the questions of every run."""

    def __init__(self, cam: ortcam.Cam) -> None:
        self.asked: list[int] = []
        self.fetched: list[list[str]] = []
        session = cam._graph.session
        run = session.run

        def counted(outputs: Any, feeds: Any) -> Any:
            self.asked.append(len(feeds["class_weights"]))
            self.fetched.append(list(outputs))
            return run(outputs, feeds)

        session.run = counted  # type: ignore[method-assign]


def test_segmenting_asks_nothing(small: Small, rgb: Picture) -> None:
    cam = small().load()
    spy = Spy(cam)
    cam.segment(rgb)
    assert spy.asked == [0]
    assert spy.fetched == [["score"]]


def test_two_classes_take_one_run(small: Small, rgb: Picture) -> None:
    cam = small().load()
    spy = Spy(cam)
    cam.explain(rgb, ["Road", "Car"], "late")
    assert spy.asked == [2]
    assert sorted(spy.fetched[0]) == ["late", "late.weights", "score"]


def test_many_classes_take_one_run_once_the_sizes_are_known(small: Small, rgb: Picture) -> None:
    cam = small(classes=9, expects=Expectations(preprocess=None)).load()
    spy = Spy(cam)
    x = np.ones((1, 3, 22, 31), np.float32)
    first = cam.explain(tensor=x, classes=range(9))
    assert spy.asked == [4, 5]
    assert "score" not in spy.fetched[1]
    again = cam.explain(tensor=x, classes=range(9))
    assert spy.asked == [4, 5, 9]
    for layer in cam.layers:
        np.testing.assert_allclose(first.weights[layer], again.weights[layer], rtol=1e-6)
        np.testing.assert_array_equal(first.raw[layer], again.raw[layer])


def test_little_memory_takes_more_runs_with_the_same_result(small: Small, rgb: Picture) -> None:
    cam = small(classes=9, expects=Expectations()).load()
    x = np.random.default_rng(0).normal(size=(1, 3, 22, 31))
    masks = np.random.default_rng(1).random((9, 22, 31)) < 0.3
    whole = cam.explain(tensor=x, classes=range(9), region=masks)
    for memory, most in ((1, 1), (100_000, 3), (10**9, 9)):
        spy = Spy(cam)
        parts = cam.explain(tensor=x, classes=range(9), region=masks, memory=memory)
        assert sum(spy.asked) == 9
        assert max(spy.asked) == most
        for layer in cam.layers:
            np.testing.assert_allclose(whole.weights[layer], parts.weights[layer], rtol=1e-5)
            np.testing.assert_allclose(whole.raw[layer], parts.raw[layer], rtol=1e-4, atol=1e-9)


def test_the_memory_is_what_score_and_features_take_twice(small: Small) -> None:
    cam = small(classes=9, expects=Expectations()).load()
    x = np.ones((1, 3, 22, 31), np.float32)
    cam.explain(tensor=x, classes=0)
    each = 2 * 4 * 11 * 16 * (9 + 6 + 8)
    for memory, most in ((4 * each, 4), (4 * each - 1, 3), (7 * each + 5, 7)):
        spy = Spy(cam)
        cam.explain(tensor=x, classes=range(9), memory=memory)
        assert spy.asked[0] == most


def test_pooled_layers_take_one_run_where_the_region_is_shared(small: Small) -> None:
    """Nothing of theirs is as large as space for each question, so no sizes need be known."""
    built = small(classes=9, expects=Expectations())
    early, late = built.artifact.layers
    late = dataclasses.replace(late, pooled=True)
    model = onnx.load_from_string(built.model)
    artifact = dataclasses.replace(built.artifact, layers=(early, late))
    helper.set_model_props(model, {METADATA_KEY: artifact.to_json()})
    x, masks = np.ones((1, 3, 22, 31), np.float32), np.ones((9, 22, 31), bool)
    few = 2 * 4 * 9 * 9**2 * 2
    for layers, region, memory, first in (
        ("late", None, 10**9, 9),
        ("late", masks[:1], 10**9, 9),
        ("late", None, few, 2),
        ("late", masks, 10**9, 4),
        (["early", "late"], None, 10**9, 4),
    ):
        cam = ortcam.load(model.SerializeToString())
        spy = Spy(cam)
        cam.explain(tensor=x, classes=range(9), layers=layers, region=region, memory=memory)
        assert next(k for k in spy.asked if k) == first


def test_the_first_run_heeds_the_memory_too(small: Small) -> None:
    cam = small(classes=9, expects=Expectations()).load()
    spy = Spy(cam)
    x = np.ones((1, 3, 22, 31), np.float32)
    cam.explain(tensor=x, classes=range(9), memory=2 * (2 * 4 * 9 * 3 * 22 * 31))
    assert spy.asked[0] == 2


def test_a_region_takes_no_run_more_where_the_scores_extents_are_known(
    small: Small, rgb: Picture
) -> None:
    mask = np.zeros(rgb.shape[:2], bool)
    mask[3, 4] = True
    for built, runs in ((small(), [0, 1]), (small(size=(22, 32), named_space=False), [1])):
        cam = built.load()
        spy = Spy(cam)
        cam.explain(rgb, "Road", region=mask)
        assert spy.asked == runs
        cam.explain(rgb, "Car", region=mask)
        assert spy.asked == [*runs, 1]  # the extents have been seen


def test_a_score_as_large_as_the_input_is_known_by_its_names(small: Small, rgb: Picture) -> None:
    built = small()
    proto = onnx.load_from_string(built.model)
    (score,) = (o for o in proto.graph.output if o.name == "score")
    for axis, name in ((2, "H"), (3, "W")):
        score.type.tensor_type.shape.dim[axis].dim_param = name
    cam = ortcam.load(proto.SerializeToString())
    spy = Spy(cam)
    mask = np.ones(rgb.shape[:2], bool)
    with pytest.raises(PictureError, match="cannot run"):  # it is not: the shapes are a lie
        cam.explain(rgb, "Road", region=mask)
    assert spy.asked == [1]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"picture": "image"}, "its metadata name 'image' and the graph has no such input"),
        ({"class_weights": "w"}, "'w' and the graph has no such input"),
        ({"score": {"name": "softmax"}}, "'softmax' and the graph has no such output"),
        ({"layers": [{"name": "late", "weights": "late.grad"}]}, "'late.grad'.*no such output"),
        ({"layers": [{"name": "later", "weights": "late.weights"}]}, "'later'.*no such output"),
        ({"classes": ["a", "b"]}, "lists 2 classes and its score 'score' has 4 channels"),
        ({"colors": [[0, 0, 0]]}, "lists 1 colours and its score 'score' has 4 channels"),
        ({"format": 99}, "has format 99"),
        ({"format": "1"}, "has damaged metadata"),
        ({"score": {"name": "score", "class_axis": 4}}, "channels of 'score' in axis 4, .* 4 axes"),
        ({"score": {"name": "score", "class_axis": 0}}, "channels of 'score' in axis 0"),
        (
            {"score": {"name": "score", "class_axis": "1"}},
            "damaged metadata .class_axis must be of type int, got '1'",
        ),
        ({"score": {"name": "score", "kind": "relu"}}, "damaged .*got 'relu'"),
        (
            {"layers": [{"name": ["x"], "weights": "w"}]},
            r"damaged metadata .name must be of type str, got \['x'\]",
        ),
        ({"layers": [{"name": 5}]}, "has damaged metadata"),
        (
            {"layers": [{"name": "x", "weights": "w", "pooled": 1}]},
            "damaged .* .pooled must be of type bool, got 1",
        ),
        ({"layers": 5}, "has damaged metadata"),
        ({"layers": []}, "has no feature layer"),
        ({"colors": [[0, 0, 256]] * 4}, "has damaged metadata"),
        ({"preprocess": {"size": [-5, 5]}}, "has damaged metadata"),
        ({"preprocess": {"scale": "1"}}, "has damaged metadata"),
        ({"preprocess": {"run": "me"}}, "has damaged metadata"),
        ({"preprocess": {"size": [float("inf"), 5]}}, "has damaged metadata"),
        ({"score": None}, "has damaged metadata"),
        ({"layers": None}, "is a plain network, not an artifact; export it first"),
    ],
)
def test_a_graph_that_is_not_as_its_metadata_say_is_refused(
    small: Small, metadata: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArtifactError, match=said):
        ortcam.load(small().changed(**metadata))


def test_metadata_of_brackets_without_end_are_refused(small: Small) -> None:
    proto = onnx.load_from_string(small().model)
    for text in ("[" * 10**6, '{"format": 1'):
        proto.metadata_props[0].value = text
        with pytest.raises(ArtifactError, match="has damaged metadata under 'ortcam'"):
            ortcam.load(proto.SerializeToString())


def test_a_plain_network_is_refused_as_one(small: Small) -> None:
    proto = onnx.load_from_string(small().model)
    del proto.metadata_props[:]
    with pytest.raises(ortcam.PlainNetworkError, match=r"is a plain network.*ortcam export"):
        ortcam.load(proto.SerializeToString())


def test_what_the_network_does_not_run_on_is_a_picture_error(
    small: Small, rgb: Picture, capfd: pytest.CaptureFixture[str]
) -> None:
    built = small()
    proto = onnx.load_from_string(built.model)
    # Only multiples of 8 go through: the network halves once, and this asks for the same again.
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "any"
    for node in proto.graph.node:
        if node.output[0] == "early":
            shape = onnx.helper.make_node("Reshape", ["before", "six"], ["early"])
            node.output[0] = "before"
            proto.graph.initializer.append(
                onnx.numpy_helper.from_array(np.array([-1, 6, 8, 8]), "six")
            )
            at = list(proto.graph.node).index(node)
            proto.graph.node.insert(at + 1, shape)
            break
    cam = ortcam.load(proto.SerializeToString())
    assert cam.segment(rgb, size=(16, 16)).labels.shape == (22, 31)
    with pytest.raises(
        PictureError, match=r"cannot run .*\(on an input of \[1, 3, 22, 31\]; another size= may fit"
    ):
        cam.segment(rgb)
    assert capfd.readouterr() == ("", "")
