"""The layout of an input: stated, by what reads it, or by its extents."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from onnx import parser

from ortcam.errors import InputError
from ortcam_export.graph.layouts import LAYOUTS, input_kinds, input_layout
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load


def prepared(shape: str, body: str, dtype: str = "float") -> tuple[ir.Model, ir.Value]:
    model = prepare(
        load(
            parser.parse_model(
                f'<ir_version: 10, opset_import: ["": 18]> g ({dtype}[{shape}] x) => (float y)'
                "<float zero = {0.0}, int64[1] one = {1}>"
                f"{{ {body} }}"
            )
        )
    )
    return model, model.graph.inputs[0]


def weights(*shape: int) -> str:
    """A constant of zeros of this shape, called w."""
    extents = ", ".join(map(str, shape))
    return f"ws = Constant<value_ints = [{extents}]>() w = ConstantOfShape(ws) "


@pytest.mark.parametrize(
    ("shape", "body", "layout"),
    [
        ("N, 13, H, W", weights(4, 13, 3, 3) + "y = Conv(x, w)", "NCHW"),
        (
            "N, 64, 64, 13",
            "t = Transpose<perm = [0, 3, 1, 2]>(x) " + weights(4, 13, 3, 3) + "y = Conv(t, w)",
            "NHWC",
        ),
        (
            "N, 3, 64, 3",
            "t = Transpose<perm = [0, 3, 1, 2]>(x) " + weights(4, 3, 3, 3) + "y = Conv(t, w)",
            "NHWC",
        ),
        ("N, 12, 2000", weights(4, 12, 7) + "y = Conv(x, w)", "NCL"),
        (
            "N, 2000, 4",
            "t = Transpose<perm = [0, 2, 1]>(x) " + weights(4, 4, 7) + "y = Conv(t, w)",
            "NLC",
        ),
        ("N, 2, 8, 16, 16", weights(4, 2, 3, 3, 3) + "y = Conv(x, w)", "NCDHW"),
        (
            "N, 8, 16, 16, 2",
            "t = Transpose<perm = [0, 4, 1, 2, 3]>(x) " + weights(4, 2, 3, 3, 3) + "y = Conv(t, w)",
            "NDHWC",
        ),
        (
            "N, 8, 3, 16, 16",
            "s = Constant<value_ints = [-1, 3, 16, 16]>() r = Reshape(x, s) "
            + weights(4, 3, 3, 3)
            + "y = Conv(r, w)",
            "NTCHW",
        ),
        (
            "N, 8, 16, 16, 3",
            "s = Constant<value_ints = [-1, 16, 16, 3]>() r = Reshape(x, s) "
            "t = Transpose<perm = [0, 3, 1, 2]>(r) " + weights(4, 3, 3, 3) + "y = Conv(t, w)",
            "NTHWC",
        ),
        (
            "N, 8, 3, 16, 16",
            "s = Constant<value_ints = [-1, 24, 16, 16]>() r = Reshape(x, s) "
            + weights(4, 24, 3, 3)
            + "y = Conv(r, w)",
            "NTCHW",
        ),
    ],
)
def test_a_convolution_tells_the_layout(shape: str, body: str, layout: str) -> None:
    assert input_layout(*prepared(shape, body)) == layout


def test_work_on_the_pixels_does_not_hide_it() -> None:
    body = (
        "c = Cast<to = 1>(x) m = Sub(c, zero) t = Transpose<perm = [0, 3, 1, 2]>(m) "
        + weights(4, 13, 3, 3)
        + "y = Conv(t, w)"
    )
    assert input_layout(*prepared("N, 64, 64, 13", body, "uint8")) == "NHWC"


def test_a_recurrence_tells_the_layout() -> None:
    body = (
        "t = Transpose<perm = [1, 0, 2]>(x) s = Constant<value_ints = [1, 8, 7]>()"
        "w = ConstantOfShape(s) u = Constant<value_ints = [1, 8, 2]>() r = ConstantOfShape(u)"
        "y = LSTM<hidden_size = 2>(t, w, r)"
    )
    assert input_kinds(*prepared("N, 20, 7", body)) == ("batch", "time", "class")


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ("N, 3, 8, 8", "NCHW"),
        ("N, 8, 8, 1", "NHWC"),
        ("N, 3, 8", "NCL"),
        ("N, 8, 8, 8, 3", "NDHWC"),
        ("N, 5, H, W", "NCHW"),  # channels are what is fixed
        ("N, H, W, 5", "NHWC"),
        ("N, 3, 8, 3", None),
        ("N, 8, 8, 13", None),
        ("N, 5, 6, 7", None),
        ("N, 12, 2000", None),
        ("N, 8, 3, 16, 16", None),
    ],
)
def test_extents_tell_it_else_or_it_is_unknown(shape: str, layout: str | None) -> None:
    model, value = prepared(shape, "y = Relu(x)")
    assert input_layout(model, value) == layout
    if layout is None:
        assert set(input_kinds(model, value)[1:]) == {None}


def test_convolutions_that_disagree_tell_nothing() -> None:
    body = "t = Transpose<perm = [0, 3, 1, 2]>(x) " + weights(4, 8, 1, 1)
    model, value = prepared("N, 8, 8, 8", body + "a = Conv(x, w) b = Conv(t, w) y = Add(a, b)")
    assert input_layout(model, value) is None


@pytest.mark.parametrize(("dtype", "kind"), [("float", "class"), ("int64", "list")])
def test_a_row_of_a_table_has_channels_and_a_text_tokens(dtype: str, kind: str) -> None:
    model, value = prepared("N, 7", "y = Cast<to = 1>(x)", dtype)
    assert input_kinds(model, value) == ("batch", kind)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_statement_counts_for_more(layout: str) -> None:
    shape = ", ".join(["N", *["3"] * (len(layout) - 1)])
    model, value = prepared(shape, "y = Relu(x)")
    assert input_layout(model, value, layout) == layout
    assert input_kinds(model, value, layout) == LAYOUTS[layout]


def test_a_statement_that_does_not_fit_is_refused() -> None:
    model, value = prepared("N, 12, 2000", "y = Relu(x)")
    with pytest.raises(InputError) as caught:
        input_layout(model, value, "NHWC")
    assert str(caught.value) == (
        "layout NHWC does not fit: it has 4 axes, but the input 'x' [N, 12, 2000] has 3"
    )
    with pytest.raises(InputError) as caught:
        input_layout(model, value, "HWC")
    assert str(caught.value).startswith("layout is 'HWC'; it is one of NCHW, NHWC, NCL, ")
