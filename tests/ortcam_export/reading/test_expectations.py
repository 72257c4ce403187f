from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import networks
import onnx
import pytest
from onnx import helper, parser

from ortcam.artifact import METADATA_KEY, Expectations, Preprocessing
from ortcam.errors import InputError, ModelError
from ortcam_export.reading.expectations import Options, expectations, find_picture
from ortcam_export.reading.model_file import Network, read

PARTS = ("color_order", "layout", "rescale", "mean", "std", "size", "divisor")
OWN = {
    "format": 1,
    "classes": ["a", "b", "c", "d"],
    "colors": [[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]],
    "preprocess": {
        "color_order": "BGR",
        "layout": "NCHW",
        "scale": 1.0,
        "mean": [104, 117, 124],
        "std": [1, 1, 1],
        "size": [480, 360],
        "divisor": 8,
        "assumed": False,
    },
}


def with_metadata(**entries: str) -> onnx.ModelProto:
    model = networks.unet()
    helper.set_model_props(model, entries)
    return model


def expected(
    model: Any, *, classes: int | None = 4, picture: str | None = None, **options: Any
) -> tuple[Expectations, list[str]]:
    network = model if isinstance(model, Network) else read(model)
    notes: list[str] = []
    value = find_picture(network.model, picture)
    told = expectations(network, value, Options(**options), classes=classes, notes=notes)
    return told, notes


def refusal(model: Any, kind: type[Exception] = InputError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        expected(model, **options)
    return str(caught.value)


def taking(inputs: str) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 18]> g ({inputs}) => (float[a, b] y) '
        "{ y = Flatten(x) }"
    )


# ---- The picture


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ("float[N, 3, H, W] x", "x"),
        ("float[N, H, W, 3] x", "x"),
        ("uint8[1, 480, 640, 1] x", "x"),
        ("float[N, 7] other, float[N, 3, H, W] x", "x"),
        ("float[N, 16, 4, 4] state, float[N, 3, H, W] x", "x"),
        ("float[N, C, H, W] x", "x"),
        ("float[N, 1, D, H, W] x", "x"),
    ],
)
def test_the_input_that_takes_the_picture(inputs: str, name: str) -> None:
    assert find_picture(read(taking(inputs)).model).name == name


def test_several_pictures() -> None:
    model = read(taking("float[N, 3, H, W] x, float[N, 3, H, W] depth")).model
    with pytest.raises(InputError) as caught:
        find_picture(model)
    assert str(caught.value) == (
        "several inputs could take the picture: 'x' [N,3,H,W], 'depth' [N,3,H,W]; "
        "say which by picture_input="
    )
    assert find_picture(model, "depth").name == "depth"
    with pytest.raises(InputError, match="the network has no input 'z'; it has 'x', 'depth'"):
        find_picture(model, "z")


def test_no_picture() -> None:
    with pytest.raises(InputError) as caught:
        find_picture(read(taking("float[N, 7] x")).model)
    assert str(caught.value) == "no input takes a picture [N, C, H, W]; the network has 'x' [N,7]"


# ---- What the network itself says


def test_its_own_metadata() -> None:
    told, notes = expected(with_metadata(**{METADATA_KEY: json.dumps(OWN)}))
    assert told.classes == ("a", "b", "c", "d")
    assert told.colors == ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3))
    assert told.preprocess == Preprocessing(
        color_order="BGR",
        scale=1.0,
        mean=(104, 117, 124),
        std=(1, 1, 1),
        size=(480, 360),
        divisor=8,
    )
    assert notes == []


def test_damaged_metadata() -> None:
    sentence = refusal(with_metadata(**{METADATA_KEY: "{"}), ModelError)
    assert sentence == "the model has damaged metadata under 'ortcam'"
    damaged = {**OWN, "preprocess": {**OWN["preprocess"], "std": [1, 0, 1]}}  # type: ignore[dict-item]
    sentence = refusal(with_metadata(**{METADATA_KEY: json.dumps(damaged)}), ModelError)
    assert "damaged metadata under 'ortcam' (scale and std must be finite and not 0, " in sentence
    assert "got 1.0 and (1.0, 0.0, 1.0)" in sentence


def test_names_and_colors_of_another_head_are_left_out_and_it_is_said() -> None:
    told, notes = expected(with_metadata(**{METADATA_KEY: json.dumps(OWN)}), classes=7)
    assert (told.classes, told.colors) == (None, None)
    assert notes == [
        "the network's 4 class names left out, as the score has 7 classes",
        "the network's 4 colours left out, as the score has 7 classes",
    ]


ULTRALYTICS = {
    "author": "Ultralytics",
    "task": "segment",
    "stride": "32",
    "imgsz": "[480, 640]",
    "names": "{0: 'person', 1: 'bicycle', 2: 'car', 3: 'dog'}",
}


def test_ultralytics() -> None:
    told, notes = expected(with_metadata(**ULTRALYTICS))
    assert told.classes == ("person", "bicycle", "car", "dog")
    assert told.preprocess == Preprocessing(size=(640, 480), divisor=32)
    assert notes == ["class names and preprocessing from Ultralytics' metadata"]


@pytest.mark.parametrize(
    "names",
    [
        "__import__('os').system('touch ran')",
        "{0: 'a', 1: open('x')}",
        "[" * 10_000,
        "{0: 'a'",
        "'just text'",
        "{0: 'a', 5: 'b'}",
        "{0: 'a\\x1b[0m'}",
        "{" + "0: 'a'," * 40_000 + "}",
    ],
)
def test_ultralytics_names_run_nothing(
    names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'names'" in refusal(with_metadata(**{**ULTRALYTICS, "names": names}))
    assert not os.listdir(tmp_path)  # noqa: PTH208


def test_ultralytics_damaged_sizes() -> None:
    assert "'imgsz' is 5, not a height and a width" in refusal(
        with_metadata(**{**ULTRALYTICS, "imgsz": "5"})
    )
    assert "'imgsz' or 'stride' is damaged" in refusal(
        with_metadata(**{**ULTRALYTICS, "stride": "0"})
    )


def hugging_face(folder: Path, **preprocessor: Any) -> Network:
    onnx.save(networks.unet(), folder / "model.onnx")
    labels = {str(i): name for i, name in enumerate("wxyz")}
    (folder / "config.json").write_text(json.dumps({"id2label": labels}))
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return read(folder / "model.onnx")


def test_hugging_face(tmp_path: Path) -> None:
    network = hugging_face(
        tmp_path,
        do_normalize=True,
        do_rescale=True,
        rescale_factor=1 / 255,
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.2, 0.3],
        size={"height": 512, "width": 640},
    )
    told, notes = expected(network)
    assert told.classes == ("w", "x", "y", "z")
    assert told.preprocess == Preprocessing(
        mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3), size=(640, 512)
    )
    assert notes == ["class names and preprocessing from Hugging Face's files beside the network"]


def test_hugging_face_without_normalisation(tmp_path: Path) -> None:
    network = hugging_face(
        tmp_path, do_normalize=False, do_rescale=False, image_mean=[1, 1, 1], size=224
    )
    told, _ = expected(network)
    assert told.preprocess == Preprocessing(scale=1.0, size=(224, 224))


def test_hugging_face_damaged(tmp_path: Path) -> None:
    network = hugging_face(tmp_path, image_mean=[0.5, 0.4, 0.3])
    assert refusal(network).startswith("preprocessor_config.json is damaged")
    (tmp_path / "preprocessor_config.json").write_text("{")
    assert "preprocessor_config.json beside the network is not valid JSON" in refusal(network)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    network = hugging_face(inside)
    (inside / "config.json").rename(tmp_path / "config.json")
    (inside / "config.json").symlink_to(tmp_path / "config.json")
    assert expected(network)[0].classes is None


def test_its_own_metadata_come_before_an_exporters(tmp_path: Path) -> None:
    network = hugging_face(tmp_path, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    network.model.metadata_props[METADATA_KEY] = json.dumps({"format": 1, "classes": list("abcd")})
    told, notes = expected(network)
    assert told.classes == ("a", "b", "c", "d")
    assert told.preprocess is not None
    assert told.preprocess.mean == (0.5, 0.5, 0.5)
    assert notes == ["preprocessing from Hugging Face's files beside the network"]


# ---- What is assumed


def test_unstated_preprocessing_is_assumed_and_noted() -> None:
    told, notes = expected(networks.unet())
    assert told == Expectations(preprocess=Preprocessing(assumed=True))
    assert notes == [
        "nothing says what the network expects of a picture: assumed RGB pixels from 0 to 1, "
        "without mean and std; say it by rescale=, mean=, std= and color_order="
    ]


def test_whole_numbers_are_assumed_to_be_pixels() -> None:
    told, notes = expected(taking("uint8[N, H, W, 3] x"))
    assert told.preprocess == Preprocessing(layout="NHWC", scale=1.0, assumed=True)
    assert "assumed RGB pixels from 0 to 255" in notes[0]


def test_one_channel_is_grey() -> None:
    told, notes = expected(taking("float[N, 1, H, W] x"))
    assert told.preprocess == Preprocessing(color_order="L", mean=(0,), std=(1,), assumed=True)
    assert "assumed grey pixels" in notes[0]


def test_other_inputs_than_pictures_are_given_as_arrays() -> None:
    for inputs in ("float[N, 5, H, W] x", "float[N, 1, D, H, W] x"):
        told, notes = expected(taking(inputs))
        assert told.preprocess is None
        assert notes[0].endswith("so it is to be given as an array (tensor=)")


def test_a_fixed_input_is_the_working_size() -> None:
    told, _ = expected(taking("float[1, 3, 360, 480] x"))
    assert told.preprocess is not None
    assert told.preprocess.size == (480, 360)
    told, _ = expected(taking("float[1, 360, 480, 3] x"))
    assert told.preprocess is not None
    assert (told.preprocess.size, told.preprocess.layout) == ((480, 360), "NHWC")


# ---- Options


def test_options_come_before_metadata() -> None:
    model = with_metadata(**{METADATA_KEY: json.dumps(OWN)})
    told, _ = expected(
        model,
        classes=4,
        color_order="RGB",
        rescale=0.5,
        mean=(1, 2, 3),
        std=2,
        size=(64, 32),
        divisor=4,
        colors=[(9, 9, 9)] * 4,
    )
    assert told.colors == ((9, 9, 9),) * 4
    assert told.preprocess == Preprocessing(
        scale=0.5, mean=(1, 2, 3), std=(2, 2, 2), size=(64, 32), divisor=4
    )


@pytest.mark.parametrize("part", PARTS)
def test_one_option_leaves_the_rest(part: str) -> None:
    base, _ = expected(with_metadata(**{METADATA_KEY: json.dumps(OWN)}))
    values: dict[str, Any] = {
        "color_order": "RGB",
        "layout": "NCHW",
        "rescale": 2.0,
        "mean": (7.0, 7.0, 7.0),
        "std": (7.0, 7.0, 7.0),
        "size": (7, 7),
        "divisor": 7,
    }
    told, _ = expected(with_metadata(**{METADATA_KEY: json.dumps(OWN)}), **{part: values[part]})
    assert base.preprocess is not None
    assert told.preprocess == dataclasses.replace(
        base.preprocess, **{part.removeprefix("re"): values[part]}
    )


def test_who_says_the_scale_has_said_it() -> None:
    told, notes = expected(networks.unet(), rescale=1 / 127.5, mean=1.0)
    assert told.preprocess == Preprocessing(scale=1 / 127.5, mean=(1, 1, 1))
    assert notes == []


def test_mean_and_std_of_pixels_from_0_to_255() -> None:
    told, notes = expected(networks.unet(), mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    assert told.preprocess is not None
    assert told.preprocess.scale == 1.0
    assert notes == ["mean and std are of pixels from 0 to 255, so pixels are not rescaled"]
    told, notes = expected(networks.unet(), mean=(0.485, 0.456, 0.406), std=(0.2, 0.2, 0.2))
    assert told.preprocess is not None
    assert told.preprocess.scale == 1 / 255
    assert notes == []


def test_label_and_color_files(tmp_path: Path) -> None:
    labels, colors = tmp_path / "labels.txt", tmp_path / "colors.csv"
    labels.write_text("a\nb\nc\nd")
    colors.write_text("d,0,0,4\nc,0,0,3\nb,0,0,2\na,0,0,1")
    for kind in (str, Path):
        told = with_files(kind(labels), kind(colors))
        assert told.classes == ("a", "b", "c", "d")
        assert told.colors == ((0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 4))


def with_files(labels: Any, colors: Any) -> Expectations:
    network = read(networks.unet())
    options = Options(classes=labels, colors=colors)
    return expectations(network, find_picture(network.model), options, classes=4)


def test_too_few_names_or_colors(tmp_path: Path) -> None:
    network = read(networks.unet())
    picture = find_picture(network.model)
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc")
    for options, sentence in (
        (Options(classes=labels), f"{labels} names 3 classes, but the score has 4"),
        (Options(classes=["a"]), "classes names 1 class, but the score has 4"),
        (Options(colors=[(1, 2, 3)]), "colors has 1 colour, but the score has 4 classes"),
        (
            Options(colors=[(1, 2, 300)] * 4),
            "colors has (1, 2, 300); a colour is three numbers from 0 to 255",
        ),
    ):
        with pytest.raises(InputError) as caught:
            expectations(network, picture, options, classes=4)
        assert str(caught.value) == sentence


def test_options_that_do_not_fit() -> None:
    assert refusal(taking("float[N, 1, H, W] x"), color_order="RGB") == (
        "color_order RGB does not fit the input 'x', which takes 1 channel"
    )
    assert refusal(networks.unet(), mean=(1, 2)).startswith(
        "mean must be 3 finite numbers, one a channel, got (1.0, 2.0)"
    )
    assert refusal(networks.unet(), std=0).startswith("scale and std must be finite and not 0")
    assert refusal(networks.unet(), color_order="RBG").startswith(
        "color_order must be RGB, BGR or L, got 'RBG'"
    )
    assert refusal(networks.unet(), layout="CHWN").startswith(
        "layout is 'CHWN'; it is one of NCHW, NHWC, NCL"
    )
    assert refusal(networks.unet(), size=(0, 5)).startswith(
        "size must be a width and a height of at least 1, got (0, 5)"
    )
    assert refusal(taking("float[1, 3, 360, 480] x"), size=(360, 480)) == (
        "size 360x480 does not fit: the network's input is fixed at 480x360"
    )
