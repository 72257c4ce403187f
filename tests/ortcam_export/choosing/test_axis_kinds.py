"""The kind of each axis, in networks small enough to know it by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from ortcam_export.choosing.channel_axes import TensorAxes, tensor_axes
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load

B, C, S, L, T = "batch", "class", "space", "list", "time"

Shapes = dict[str, tuple[int, ...]]


def network(
    inputs: str, body: str, weights: Shapes | None = None, **integers: list[int]
) -> onnx.ModelProto:
    """A graph of these nodes, with random weights of these shapes, and these integers."""
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 18]> g ({inputs}) => (float y) {{ {body} }}'
    )
    random = np.random.default_rng(0)
    for name, shape in (weights or {}).items():
        values = random.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    for name, numbers in integers.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
    return model


def axes(
    inputs: str,
    body: str,
    weights: Shapes | None = None,
    *,
    layouts: dict[str, str] | None = None,
    **integers: list[int],
) -> TensorAxes:
    model = network(inputs, body, weights, **integers)
    return tensor_axes(prepare(load(model)), layouts)


# ---- A detector's boxes, whose static batch of 1 looks like its one channel


YOLO = """
    f = Conv<strides = [4, 4], pads = [1, 1, 1, 1]>(x, w)
    b0 = Conv(f, wb) b1 = Reshape(b0, s1) b2 = Transpose<perm = [0, 2, 1, 3]>(b1)
    b3 = Softmax<axis = 1>(b2) b4 = Conv(b3, dfl) box = Reshape(b4, s2)
    k0 = Conv(f, wc) k1 = Reshape(k0, s3) k = Sigmoid(k1)
    y = Concat<axis = 1>(box, k)
"""


@pytest.mark.parametrize("batch", ["1", "N", "-1"])
def test_a_detectors_boxes_have_no_class_axis_and_its_list_has(batch: str) -> None:
    found = axes(
        f"float[{batch.replace('-1', 'M')}, 3, 64, 64] x",
        YOLO,
        {
            "w": (8, 3, 3, 3),
            "wb": (64, 8, 1, 1),
            "dfl": (1, 16, 1, 1),
            "wc": (7, 8, 1, 1),
        },
        s1=[-1, 4, 16, 256],
        s2=[-1, 4, 256],
        s3=[-1, 7, 256],
    )
    assert found.kinds["b3"] == (B, None, None, L)
    assert found.kinds["box"] == (B, None, L)
    assert found.kinds["k"] == found.kinds["y"] == (B, C, L)
    assert found.channels["box"] is None


def test_the_boxes_alone_have_an_unknown_axis() -> None:
    found = axes(
        "float[1, 16, 4, 256] x",
        "c = Conv(x, dfl) y = Reshape(c, s)",
        {"dfl": (1, 16, 1, 1)},
        s=[1, 4, 256],
    )
    assert found.kinds["y"][0] == B
    assert found.channels["y"] != 0


@pytest.mark.parametrize("batch", ["2", "N"])
def test_anchors_join_the_list_and_leave_the_classes(batch: str) -> None:
    found = axes(
        f"float[{batch}, 3, 24, 32] x",
        "c = Conv(x, w) v = Reshape(c, s1) t = Transpose<perm = [0, 3, 4, 1, 2]>(v)"
        "y = Reshape(t, s2)",
        {"w": (45, 3, 1, 1)},
        s1=[-1, 9, 5, 24, 32],
        s2=[-1, 6912, 5],
    )
    assert found.kinds["v"] == (B, None, None, S, S)
    assert found.kinds["y"] == (B, L, C)


# ---- Transformers


ATTENTION = """
    c = Conv<strides = [4, 4]>(x, w) k = Reshape(c, flat) t = Transpose<perm = [0, 2, 1]>(k)
    q = MatMul(t, wq) qh = Reshape(q, heads) q4 = Transpose<perm = [0, 2, 1, 3]>(qh)
    e = MatMul(t, wk) eh = Reshape(e, heads) e4 = Transpose<perm = [0, 2, 3, 1]>(eh)
    v = MatMul(t, wv) vh = Reshape(v, heads) v4 = Transpose<perm = [0, 2, 1, 3]>(vh)
    a = MatMul(q4, e4) p = Softmax<axis = -1>(a) o4 = MatMul(p, v4)
    oh = Transpose<perm = [0, 2, 1, 3]>(o4) o = Reshape(oh, merged) r = Add(o, t)
    m = ReduceMean<keepdims = 0>(r, one) y = MatMul(m, wy)
"""


@pytest.mark.parametrize("batch", ["1", "N"])
def test_the_heads_of_an_attention_are_no_channels(batch: str) -> None:
    found = axes(
        f"float[{batch}, 3, 16, 24] x",
        ATTENTION,
        {
            "w": (8, 3, 4, 4),
            "wq": (8, 8),
            "wk": (8, 8),
            "wv": (8, 8),
            "wy": (8, 5),
        },
        flat=[0, 8, -1],
        heads=[0, 24, 2, 4],
        merged=[0, 24, 8],
        one=[1],
    )
    assert found.kinds["t"] == found.kinds["o"] == found.kinds["r"] == (B, L, C)
    assert found.kinds["a"] == found.kinds["p"] == (B, None, L, L)
    assert found.kinds["y"] == (B, C)


def test_a_batch_of_one_is_kept_where_tokens_come_first() -> None:
    """torch's attention: [tokens, 1, C] -> [1 * heads, tokens, C / heads] -> [tokens, C]."""
    found = axes(
        "float[1, 3, 16, 24] x",
        "c = Conv<strides = [4, 4]>(x, w) f = Reshape(c, flat) t = Transpose<perm = [2, 0, 1]>(f)"
        "h = Reshape(t, heads) k = Transpose<perm = [1, 2, 0]>(h)"
        "v = Transpose<perm = [1, 0, 2]>(h) a = MatMul(q, k) p = Softmax<axis = -1>(a)"
        "o = MatMul(p, v) n = Transpose<perm = [1, 0, 2]>(o) r = Reshape(n, rows)"
        "g = Gemm(r, wo) u = Reshape(g, apart) y = Transpose<perm = [1, 0, 2]>(u)",
        {"w": (8, 3, 4, 4), "q": (2, 1, 4), "wo": (8, 8)},
        flat=[0, 8, -1],
        heads=[24, 2, 4],
        rows=[1, 8],
        apart=[1, 1, 8],
    )
    assert found.kinds["y"] == (B, L, C)


def test_points_of_queries_are_no_places() -> None:
    """A deformable attention samples at some points for each of a list of queries."""
    found = axes(
        "float[1, 3, 16, 16] x",
        "f = Conv<strides = [4, 4]>(x, w) k = Reshape(f, s) t = Transpose<perm = [0, 2, 1]>(k)"
        "m = MatMul(t, wm) i0, i = TopK<axis = 1>(m, six) j = Squeeze(i, two)"
        "q = Gather<axis = 0>(points, j) g = GridSample(f, q) z = ReduceMean<keepdims = 0>(g, last)"
        "y = Transpose<perm = [0, 2, 1]>(z)",
        {"w": (8, 3, 4, 4), "wm": (8, 1), "points": (16, 5, 2)},
        s=[1, 8, -1],
        six=[6],
        two=[2],
        last=[3],
    )
    assert found.kinds["q"][:2] == (B, L)
    assert found.kinds["y"] == (B, L, C)


def test_learned_queries_are_a_list() -> None:
    found = axes(
        "float[1, 3, 32, 32] x",
        "f = Conv<strides = [4, 4]>(x, w) k = Reshape(f, s) a0 = MatMul(q, k)"
        "a = Softmax<axis = -1>(a0) v = Transpose<perm = [0, 2, 1]>(k) d = MatMul(a, v)"
        "y = MatMul(d, wc)",
        {"w": (8, 3, 4, 4), "q": (1, 6, 8), "wc": (8, 5)},
        s=[1, 8, -1],
    )
    assert found.kinds["a"] == (B, L, L)
    assert found.kinds["y"] == (B, L, C)


@pytest.mark.parametrize("size", ["16, 24", "H, W"])
def test_windows_are_cut_and_put_together(size: str) -> None:
    """As in Swin: windows of a map stand in its batch for a while."""
    side = "h = Shape<start = 1, end = 2>(t) v = Shape<start = 2, end = 3>(t)"
    found = axes(
        f"float[N, 3, {size}] x",
        f"c = Conv(x, w) t = Transpose<perm = [0, 2, 3, 1]>(c) {side}"
        "hw = Div(h, eight) vw = Div(v, eight)"
        "s1 = Concat<axis = 0>(minus, hw, eight, vw, eight, four)"
        "cut = Reshape(t, s1) turned = Transpose<perm = [0, 1, 3, 2, 4, 5]>(cut)"
        "windows = Reshape(turned, s2) dense = MatMul(windows, wd) s = Add(dense, windows)"
        "s3 = Concat<axis = 0>(minus, hw, vw, eight, eight, four)"
        "back = Reshape(s, s3) b = Transpose<perm = [0, 1, 3, 2, 4, 5]>(back)"
        "s4 = Concat<axis = 0>(minus, h, v, four) y = Reshape(b, s4)",
        {"w": (4, 3, 1, 1), "wd": (4, 4)},
        eight=[8],
        four=[4],
        minus=[-1],
        s2=[-1, 64, 4],
    )
    assert found.kinds["cut"] == (B, S, S, S, S, C)
    assert found.channels["windows"] == found.channels["s"] == 2
    assert found.kinds["windows"][0] is None
    assert not found.frames
    assert found.channels["y"] == 3


@pytest.mark.parametrize("size", ["16, 24", "H, W"])
def test_a_group_normalization_written_out_keeps_the_channels(size: str) -> None:
    found = axes(
        f"float[N, 3, {size}] x",
        "c = Conv(x, w) g = Reshape(c, groups) n = InstanceNormalization(g, ones, zeros)"
        "s = Shape(c) y = Reshape(n, s)",
        {"w": (8, 3, 3, 3), "ones": (2,), "zeros": (2,)},
        groups=[0, 2, -1],
    )
    assert found.channels["y"] == 1
    assert found.kinds["y"][0] == B


# ---- Frames, sequences and columns


@pytest.mark.parametrize(
    ("batch", "to"),
    [("2", [8, 3, 16, 16]), ("1", [4, 3, 16, 16]), ("N", [-1, 3, 16, 16])],
)
def test_frames_that_are_folded_into_the_batch_are_known(batch: str, to: list[int]) -> None:
    found = axes(
        f"float[{batch}, 4, 3, 16, 16] x",
        "i = Reshape(x, fold) c = Conv<strides = [2, 2]>(i, w) r = Relu(c)"
        "p = ReduceMean<keepdims = 0>(r, space) k = Gemm(p, wk) u = Reshape(k, unfold)"
        "y = ReduceMean<keepdims = 0>(u, one)",
        {"w": (6, 3, 2, 2), "wk": (6, 5)},
        fold=to,
        unfold=[-1, 4, 5],
        space=[2, 3],
        one=[1],
    )
    assert found.kinds["x"] == (B, T, C, S, S)
    assert found.kinds["r"] == (B, C, S, S)
    assert found.kinds["k"] == (B, C)
    assert found.frames == {"i", "c", "r", "p", "k"}
    assert found.kinds["u"] == (B, T, C)
    assert found.kinds["y"] == (B, C)


@pytest.mark.parametrize(
    ("size", "fold"),
    [
        ("8, 8", "x = Reshape(clip, to)"),
        *(
            (size, "s = Shape<start = 2>(clip) t = Concat<axis = 0>(rest, s) x = Reshape(clip, t)")
            for size in ("8, 8", "H, W")
        ),
    ],
)
def test_frames_stay_frames_whatever_follows(size: str, fold: str) -> None:
    """Of extents that are not known the channels', which are, tell what is merged."""
    found = axes(
        f"float[N, 4, 3, {size}] clip",
        f"{fold} c = Conv<pads = [1, 1, 1, 1]>(x, w) p = GlobalAveragePool(c)"
        "n = Shape<end = 1>(p) u = Concat<axis = 0>(n, rest) f = Reshape(p, u) y = Gemm(f, v)",
        {"w": (6, 3, 3, 3), "v": (6, 5)},
        layouts={"clip": "NTCHW"},
        to=[-1, 3, 8, 8],
        rest=[-1],
    )
    assert {"x", "c", "p", "f", "y"} <= found.frames
    assert found.kinds["y"] == (B, C)


def test_time_first_is_time_then_the_batch() -> None:
    found = axes(
        "float[N, 1, 32, W] x",
        "c = Conv<strides = [32, 4]>(x, w) s = Squeeze(c, two)"
        "t = Transpose<perm = [2, 0, 1]>(s) m = MatMul(t, wd) y = LogSoftmax<axis = 2>(m)",
        {"w": (8, 1, 32, 4), "wd": (8, 11)},
        two=[2],
    )
    assert found.kinds["s"] == (B, C, L)
    assert found.kinds["y"] == (L, B, C)
    assert found.channels["y"] == 2


def test_a_recurrence_reads_steps_rows_and_channels() -> None:
    found = axes(
        "float[N, 1, 32, W] x",
        "c = Conv<strides = [32, 4]>(x, w) s = Squeeze(c, two)"
        "t = Transpose<perm = [2, 0, 1]>(s)"
        'h = LSTM<hidden_size = 6, direction = "bidirectional">(t, wi, wr)'
        "p = Transpose<perm = [0, 2, 1, 3]>(h) r = Reshape(p, to) y = MatMul(r, wd)",
        {"w": (8, 1, 32, 4), "wi": (2, 24, 8), "wr": (2, 24, 6), "wd": (12, 11)},
        two=[2],
        to=[0, 0, -1],
    )
    assert found.kinds["h"] == (L, None, B, C)
    assert found.kinds["r"] == found.kinds["y"] == (L, B, C)


# ---- Pictures and texts


CLIP = """
    c = Conv<strides = [4, 4]>(x, w) i = ReduceMean<keepdims = 0>(c, space)
    g = Gather(table, ids) t = ReduceMean<keepdims = 0>(g, one)
"""


@pytest.mark.parametrize(
    "end",
    [
        "tt = Transpose<perm = [1, 0]>(t) y = MatMul(i, tt)",
        "it = Transpose<perm = [1, 0]>(i) ti = MatMul(t, it) y = Transpose<perm = [1, 0]>(ti)",
        "y = Gemm<transB = 1>(i, t)",
    ],
)
@pytest.mark.parametrize("batches", [("N", "M"), ("1", "3"), ("N", "N")])
def test_texts_are_scored_for_each_picture(end: str, batches: tuple[str, str]) -> None:
    found = axes(
        f"float[{batches[0]}, 3, 16, 16] x, int64[{batches[1]}, 7] ids",
        CLIP + end,
        {"w": (8, 3, 4, 4), "table": (50, 8)},
        space=[2, 3],
        one=[1],
    )
    assert found.kinds["g"] == (B, L, C)
    assert found.kinds["y"] == (B, C)


def test_texts_that_are_baked_in_are_scored_too() -> None:
    body = CLIP.replace("g = Gather(table, ids) t = ReduceMean<keepdims = 0>(g, one)", "")
    weights = {"w": (8, 3, 4, 4), "t": (5, 8), "tt": (8, 5)}
    for end in (
        "it = Transpose<perm = [1, 0]>(i) ti = MatMul(t, it) y = Transpose<perm = [1, 0]>(ti)",
        "y = MatMul(i, tt)",
    ):
        found = axes("float[N, 3, 16, 16] x", body + end, weights, space=[2, 3])
        assert found.kinds["y"] == (B, C)


def test_a_similarity_map_has_one_channel() -> None:
    found = axes(
        "float[N, 3, 16, 16] x",
        "c = Conv(x, w) i = ReduceMean<keepdims = 0>(c, space)"
        'm = Einsum<equation = "bc,bchw->bhw">(i, c) y = Unsqueeze(m, one)',
        {"w": (8, 3, 4, 4)},
        space=[2, 3],
        one=[1],
    )
    assert found.kinds["m"] == (B, S, S)
    assert found.kinds["y"] == (B, C, S, S)


def test_queries_times_masks_leave_the_classes() -> None:
    found = axes(
        "float[N, 3, 16, 16] x",
        "masks = Conv(x, wm) p = GlobalAveragePool(x) wide = Conv(p, wq) all = Reshape(wide, to)"
        "q = Slice(all, zero, three, two)"
        'y = Einsum<equation = "bqc,bqhw->bchw">(q, masks)',
        {"wm": (6, 3, 1, 1), "wq": (24, 3, 1, 1)},
        to=[0, 6, 4],
        zero=[0],
        two=[2],
        three=[3],
    )
    assert found.kinds["all"] == found.kinds["q"] == (B, None, None)
    assert found.kinds["y"] == (B, C, S, S)


# ---- Gates, tables and what is not known


def test_a_gate_of_one_row_takes_part_in_the_map() -> None:
    found = axes(
        "float[N, 3, 16, 16] x",
        "c = Conv(x, w) m = ReduceMean<keepdims = 0>(c, three) k = Conv(m, wk)"
        "s = Sigmoid(k) u = Unsqueeze(s, three) y = Mul(c, u)",
        {"w": (8, 3, 1, 1), "wk": (8, 8, 1)},
        three=[3],
    )
    assert found.kinds["m"] == (B, C, L)
    assert found.kinds["y"] == (B, C, S, S)


def test_a_flattened_map_is_a_vector_and_channels_mixed_with_places_are_not() -> None:
    found = axes(
        "float[N, 3, 16, 16] x",
        "c = Conv(x, w) f = Flatten(c) r = Reshape(c, to) y = Identity(r)",
        {"w": (8, 3, 1, 1)},
        to=[0, 4, -1],
    )
    assert found.kinds["f"] == (B, C)
    assert found.kinds["y"] == (B, None, L)
    assert found.channels["y"] is None


def test_regions_of_interest_are_a_list_and_not_the_batch() -> None:
    found = axes(
        "float[N, 3, 16, 16] x, float[R, 4] boxes, int64[R] of",
        "c = Conv(x, w) y = RoiAlign<output_height = 7, output_width = 7>(c, boxes, of)",
        {"w": (8, 3, 1, 1)},
    )
    assert found.kinds["y"] == (L, C, S, S)


def test_the_batch_is_never_the_channel_axis() -> None:
    found = axes("float[N, 3, 16, 16] x", "y = Transpose<perm = [1, 0, 2, 3]>(x)")
    assert found.kinds["y"] == (C, B, S, S)
    assert found.channels["y"] is None


def test_a_custom_operator_is_not_followed_where_it_changes_the_shape() -> None:
    model = network("float[N, 3, 16, 16] x", "y = Identity(x)")
    model.graph.node[0].domain = "custom"
    model.graph.node[0].op_type = "Mystery"
    model.opset_import.add(domain="custom", version=1)
    model.graph.output[0].type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto())
    for extent in (1, 16, 16, 3):
        model.graph.output[0].type.tensor_type.shape.dim.add(dim_value=extent)
    assert tensor_axes(prepare(load(model))).channels["y"] is None


# ---- Layouts that are stated


@pytest.mark.parametrize(
    ("layout", "kinds"),
    [("NCHW", (B, C, S, S)), ("NHWC", (B, S, S, C)), (None, (B, None, None, None))],
)
def test_a_stated_layout_is_followed(layout: str | None, kinds: tuple[str, ...]) -> None:
    layouts = None if layout is None else {"x": layout}
    found = axes("float[N, 4, 16, 4] x", "y = Relu(x)", layouts=layouts)
    assert found.kinds["x"] == found.kinds["y"] == kinds
