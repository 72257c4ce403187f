"""Integers computed from known shapes become constants, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import parser

from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load


def constants(text: Any) -> Any:
    model = prepare(load(parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> {text}')))
    return {
        name: None if value.const_value is None else value.const_value.numpy().tolist()
        for name, value in model.graph.initializers.items()
    }


def test_arithmetic_on_the_extents_that_are_known() -> None:
    found = constants("""
        g (float[N, 6, 5] x) => (float[N, a, b] y)
        <int64 one = {1}, int64 last = {-1}, int64[2] both = {1, 0}, float scale = {1.5}>
        {
            shape = Shape(x)
            channels = Gather(shape, one)
            width = Gather(shape, last)
            unknown = Gather(shape, both)
            wide = Cast<to = 1>(width)
            wider = Mul(wide, scale)
            whole = Floor(wider)
            extent = Cast<to = 7>(whole)
            rank = Size(shape)
            axes = Range(one, rank, one)
            y = ReduceMean<keepdims = 1>(x, axes)
        }
    """)
    assert {
        "channels": 6,
        "width": 5,
        "extent": 7,
        "rank": 3,
        "axes": [1, 2],
    }.items() <= found.items()
    assert not {"shape", "unknown", "wide", "wider", "whole"} & found.keys()


def test_floating_constants_stay_as_they_are_computed() -> None:
    found = constants("""
        g (float[2] x) => (float[2] y)
        <float[2] a = {1, 2}, float[2] b = {3, 4}>
        { c = Mul(a, b) y = Mul(c, x) }
    """)
    assert "c" not in found


def test_what_is_an_output_is_still_computed() -> None:
    found = constants("g (float[2, 3] x) => (int64[2] y) { y = Shape(x) }")
    assert found == {}


def test_what_would_be_large_is_not_made() -> None:
    found = constants("""
        g (float[2, 3] x) => (int64[a] y)
        <int64 zero = {0}, int64 one = {1}, int64 many = {100000},
         int64[1] much = {100000}>
        { r = Range(zero, many, one) c = ConstantOfShape(much) d = Cast<to = 7>(c) y = Add(r, d) }
    """)
    assert not {"r", "c", "d"} & found.keys()
    assert np.isfinite(found["many"])
