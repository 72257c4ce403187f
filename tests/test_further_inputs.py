"""Networks of several inputs: a second picture as a picture, and a row of a table for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

import ortcam
from ortcam.artifact import METADATA_KEY
from ortcam.cli import main
from ortcam.errors import InputError, ModelError
from ortcam_export import export

Array = NDArray[Any]

STEREO = {
    "format": 1,
    "inputs": {
        "mr": {"color_order": "RGB", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.2]},
        "ct": {"color_order": "L", "scale": 1 / 127.5, "mean": [1], "std": [1]},
    },
}


def two_pictures(channels: int = 3, *, metadata: dict[str, Any] | None = None) -> onnx.ModelProto:
    """A backbone for ``mr`` and one for ``ct``, whose features are pooled and joined."""
    g = networks.Builder(2)
    pooled = []
    for name, count in (("mr", 3), ("ct", channels)):
        x = g.relu(g.conv(name, count, 6, f"{name}_conv", strides=[2, 2]), f"{name}_relu")
        y = g.node("GlobalAveragePool", [g.node("Mul", [x, x], f"{name}_square")], f"{name}_mean")
        pooled.append(g.node("Flatten", [y], f"{name}_flat"))
    joint = g.relu(g.node("Gemm", [g.node("Concat", pooled, "both", axis=1), _fc(g)], "fc"), "on")
    logits = g.node("MatMul", [joint, g.weight("last", 8, 3, fan_in=8)], "logits")
    g.node("Softmax", [logits], "probabilities", axis=1)
    model = g.model(
        {"probabilities": (TensorProto.FLOAT, ["N", 3])},
        {
            "mr": (TensorProto.FLOAT, ["N", 3, "H", "W"]),
            "ct": (TensorProto.FLOAT, ["N", channels, "H", "W"]),
        },
    )
    if metadata is not None:
        helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    return model


def _fc(g: networks.Builder) -> str:
    return g.weight("fc.weight", 12, 8, fan_in=12)


def picture_and_table(batch: int | str = "N") -> onnx.ModelProto:
    """A classifier whose features are multiplied by a projection of ``age`` [N, 2]."""
    g = networks.Builder(6)
    a = g.relu(g.conv("input", 3, 6, "a"), "a_relu")
    scale = g.node("MatMul", ["age", g.weight("by_age", 2, 6, fan_in=1)], "scale")
    scaled = g.node("Mul", [a, g.node("Unsqueeze", [scale, g.constant("ax", [2, 3])], "s")], "b")
    flat = g.node("Flatten", [g.node("GlobalAveragePool", [scaled], "pooled")], "flat")
    logits = g.node("MatMul", [flat, g.weight("fc", 6, 3, fan_in=6)], "logits")
    g.node("Softmax", [logits], "probabilities", axis=1)
    return g.model(
        {"probabilities": (TensorProto.FLOAT, [batch, 3])},
        {
            "input": (TensorProto.FLOAT, [batch, 3, "H", "W"]),
            "age": (TensorProto.FLOAT, [batch, 2]),
        },
    )


def pictures(count: int, size: tuple[int, int] = (18, 26)) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(4)
    small = random.integers(0, 256, (count, 5, 6, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(one).resize(size[::-1])) for one in small]


@pytest.fixture(scope="module")
def table() -> ortcam.Cam:
    return ortcam.load(export(picture_and_table()).model, "cpu")


# ---- A second picture


def test_a_second_picture_enters_as_the_first() -> None:
    exported = export(two_pictures(), picture_input="mr", mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4])
    assert [layer.name for layer in exported.artifact.layers] == ["mr_relu"]
    cam = ortcam.load(exported.model, "cpu")
    mr, ct = pictures(2)
    explanation = cam.explain(mr, [0, 1], inputs={"ct": Image.fromarray(ct)})
    by_hand = cam.explain(mr, [0, 1], inputs={"ct": cam.preprocess(ct)})
    np.testing.assert_array_equal(explanation.maps, by_hand.maps)
    np.testing.assert_array_equal(explanation.score, by_hand.score)
    assert set(explanation.notes) - set(by_hand.notes) == {
        "nothing says how pictures enter by 'ct', so they are preprocessed as those of 'mr'"
    }
    other = cam.explain(mr, [0, 1], inputs={"ct": Image.fromarray(mr)})
    assert np.abs(other.score - explanation.score).max() > 1e-4


def test_a_second_picture_has_its_own_preprocessing(tmp_path: Path) -> None:
    exported = export(two_pictures(1, metadata=STEREO), picture_input="mr")
    cam = ortcam.load(exported.model, "cpu")
    mr, ct = pictures(2)
    Image.fromarray(ct).save(tmp_path / "ct.png")
    explanation = cam.explain(mr, [0], inputs={"ct": tmp_path / "ct.png"})
    grey = np.asarray(Image.fromarray(ct).convert("L"), np.float32)
    values = (grey / 127.5 - 1)[None, None]
    by_hand = cam.explain(mr, [0], inputs={"ct": values})
    np.testing.assert_allclose(explanation.maps, by_hand.maps, rtol=1e-5)
    np.testing.assert_allclose(
        cam.preprocess(mr)[0, 0], (mr[..., 0] / 255 - 0.5) / 0.2, rtol=1e-5, atol=1e-6
    )
    assert not explanation.notes
    about_ct = export(two_pictures(1, metadata=STEREO), picture_input="ct").artifact
    assert about_ct.expects.preprocess is not None
    assert about_ct.expects.preprocess.color_order == "L"
    assert set(about_ct.expects.inputs) == {"mr"}


def test_a_second_picture_of_another_size_is_resized_to_the_first() -> None:
    cam = ortcam.load(export(two_pictures(), picture_input="mr", verify=False).model, "cpu")
    (mr,), (ct,) = pictures(1), pictures(1, (30, 40))
    explanation = cam.explain(mr, [0], inputs={"ct": Image.fromarray(ct)})
    by_hand = cam.explain(mr, [0], inputs={"ct": cam.preprocess(ct, size=(26, 18))})
    np.testing.assert_array_equal(explanation.maps, by_hand.maps)


def test_a_second_picture_that_does_not_fit() -> None:
    cam = ortcam.load(
        export(two_pictures(1), picture_input="mr", mean=[0.4, 0.5, 0.6], verify=False).model, "cpu"
    )
    mr, ct = (Image.fromarray(picture) for picture in pictures(2))
    with pytest.raises(InputError, match=r"the preprocessing of pictures for the input ct \[N, 1,"):
        cam.explain(mr, [0], inputs={"ct": ct})
    alike = ortcam.load(export(two_pictures(1), picture_input="mr", verify=False).model, "cpu")
    assert alike.explain(mr, [0], inputs={"ct": ct}).maps.shape == (1, 1, 18, 26)
    four = ortcam.load(export(two_pictures(4), picture_input="mr", verify=False).model, "cpu")
    with pytest.raises(InputError, match=r"ct \[N, 4, H, W\] float32 takes no grey or colour pic"):
        four.explain(mr, [0], inputs={"ct": ct})


def test_metadata_of_inputs_that_do_not_fit() -> None:
    lacking = {"format": 1, "inputs": {"pet": STEREO["inputs"]["ct"]}}  # type: ignore[index]
    with pytest.raises(ModelError, match="describe pictures for the input 'pet', which the netw"):
        export(two_pictures(1, metadata=lacking), picture_input="mr", verify=False)
    with pytest.raises(ModelError, match=r"describe L pictures for the input 'ct' \[N,3,H,W\]"):
        export(two_pictures(3, metadata=STEREO), picture_input="mr", verify=False)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_second_picture_for_each_of_several(batch: int) -> None:
    cam = ortcam.load(export(two_pictures(), picture_input="mr", verify=False).model, "cpu")
    first, second = pictures(6)[:3], [Image.fromarray(ct) for ct in pictures(6)[3:]]
    together = cam.explain_batch(first, [0], inputs={"ct": second}, batch=batch)
    for mr, ct, explanation in zip(first, second, together, strict=True):
        alone = cam.explain(mr, [0], inputs={"ct": ct})
        np.testing.assert_allclose(explanation.maps, alone.maps, rtol=1e-5)
    shared = cam.explain_batch(first, [0], inputs={"ct": second[0]}, batch=batch)
    alone = cam.explain(first[2], [0], inputs={"ct": second[0]})
    np.testing.assert_allclose(shared[2].maps, alone.maps, rtol=1e-5)
    with pytest.raises(InputError, match="the input 'ct' has 2 pictures for 3 pictures; give one"):
        cam.explain_batch(first, [0], inputs={"ct": second[:2]}, batch=batch)


# ---- A table


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_row_of_a_table_for_each_picture(table: ortcam.Cam, batch: int) -> None:
    ages = np.array([[1, 0], [0, 1], [0.3, 2]], np.float32)
    shown = pictures(3)
    together = table.explain_batch(shown, [0, 2], inputs={"age": ages}, batch=batch)
    for n, explanation in enumerate(together):
        alone = table.explain(shown[n], [0, 2], inputs={"age": ages[n : n + 1]})
        np.testing.assert_allclose(explanation.maps, alone.maps, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(explanation.score, alone.score, rtol=1e-5)
    for explanation, picture in zip(
        table.explain_batch(shown, 1, inputs={"age": ages[:1]}, batch=batch), shown, strict=True
    ):
        alone = table.explain(picture, 1, inputs={"age": ages[:1]})
        np.testing.assert_allclose(explanation.score, alone.score, rtol=1e-5)
    of_each = table.explain_batch(
        shown, 0, inputs=[{"age": row[None]} for row in ages], batch=batch
    )
    np.testing.assert_allclose(of_each[1].score, together[1].score, rtol=1e-5)


def test_another_number_of_rows_is_refused(table: ortcam.Cam) -> None:
    shown = pictures(3)
    for call, count in (
        (lambda ages: table.explain_batch(shown, 0, inputs={"age": ages}), "3 pictures"),
        (lambda ages: table.explain(shown[0], 0, inputs={"age": ages}), "1 picture"),
    ):
        with pytest.raises(InputError) as caught:
            call(np.ones((2, 2)))
        assert str(caught.value) == (
            f"the input 'age' has 2 rows for {count}; give one row for all pictures, or one for "
            "each"
        )
    with pytest.raises(InputError, match="3 pictures and further inputs for 1; give them for each"):
        table.explain_batch(shown, 0, inputs=[{"age": np.ones((1, 2))}])


def test_a_fixed_batch_takes_rows_too() -> None:
    cam = ortcam.load(export(picture_and_table(1), verify=False).model, "cpu")
    ages = np.array([[1, 0], [0, 1]], np.float32)
    shown = pictures(2)
    together = cam.explain_batch(shown, 0, inputs={"age": ages})
    alone = cam.explain(shown[1], 0, inputs={"age": ages[1:]})
    np.testing.assert_allclose(together[1].maps, alone.maps, rtol=1e-6)


def test_a_picture_is_no_table(table: ortcam.Cam) -> None:
    (picture,) = pictures(1)
    with pytest.raises(InputError, match=r"age \[N, 2\] float32 takes no grey or colour picture"):
        table.explain(picture, 0, inputs={"age": Image.fromarray(picture)})


# ---- The command line


def test_on_the_command_line(tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    for n, picture in enumerate(pictures(3)):
        Image.fromarray(picture).save(tmp_path / f"{n}.png")
    files = [f"{tmp_path}/{n}.png" for n in range(3)]
    network, artifact = f"{tmp_path}/stereo.onnx", f"{tmp_path}/stereo.cam.onnx"
    onnx.save(two_pictures(), network)
    refusal = run("export", network, "-o", artifact)
    assert "several inputs could take the picture: 'mr' [N,3,H,W], 'ct' [N,3,H,W]" in refusal.output
    assert run("export", network, "-o", artifact, "--picture-input", "mr").exit_code == 0
    out = f"{tmp_path}/maps.npz"
    result = run("explain", artifact, files[0], "-c", "0", "-o", out, "--input", f"ct={files[1]}")
    assert result.exit_code == 0, result.output
    assert "preprocessed as those of 'mr'" in result.output
    cam = ortcam.load(artifact, "cpu")
    expected = cam.explain(files[0], 0, inputs={"ct": files[1]})
    with np.load(out) as arrays:
        np.testing.assert_allclose(arrays["maps"].squeeze(), expected.map(), rtol=1e-5)
    missing = run("explain", artifact, files[0], "-o", out)
    assert "pass their values as --input NAME=FILE" in missing.output


@pytest.mark.parametrize("batch", ["1", "2"])
def test_rows_on_the_command_line(table: ortcam.Cam, tmp_path: Path, batch: str) -> None:
    artifact = tmp_path / "table.cam.onnx"
    export(picture_and_table(), artifact, verify=False)
    ages = np.array([[1, 0], [0, 1], [0.3, 2]], np.float32)
    np.save(tmp_path / "ages.npy", ages)
    files = []
    for n, picture in enumerate(pictures(3)):
        files.append(str(tmp_path / f"{n}.png"))
        Image.fromarray(picture).save(files[-1])
    for command in (["explain", "-c", "1"], ["report", "-c", "1"]):
        suffix = [] if command[0] == "report" else ["--format", "npz"]
        out = str(tmp_path / ("report.html" if command[0] == "report" else "out"))
        arguments = [command[0], str(artifact), *files, *command[1:], "-o", out, *suffix]
        arguments += ["--input", f"age={tmp_path}/ages.npy", "--batch", batch]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    for n, file in enumerate(files):
        expected = table.explain(file, 1, inputs={"age": ages[n : n + 1]})
        with np.load(tmp_path / "out" / f"{n}.explain.npz") as arrays:
            np.testing.assert_allclose(arrays["maps"].squeeze(), expected.map(), rtol=1e-4)
