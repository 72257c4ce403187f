"""Networks in float16 by onnxruntime's converter, which is onnxconverter-common's, in all its ways.

Where an operator is blocked, the converter leaves it in float32 between two Casts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16
from variants import NETWORKS, explained, options_of, pictures

#: The options of the converter.
WAYS: dict[str, dict[str, Any]] = {
    "float16 throughout": {},
    "float32 outside": {"keep_io_types": True},
    "a float32 input": {"keep_io_types": ["input"]},
    "convolutions in float32": {"op_block_list": ["Conv", "Resize"]},
    "its first node in float32": {"node_block_list": ["Conv/a_conv", "Conv/patches"]},
    "normalizations in float32": {"op_block_list": ["Softmax", "LayerNormalization"]},
    "float16 weights": {"force_fp16_initializers": True, "op_block_list": ["Softmax"]},
    "without shapes": {"disable_shape_infer": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["deployed", pytest.param("transformer", marks=pytest.mark.slow)])
def test_float16_is_explained_as_float32(name: str, way: str) -> None:
    make, _ = NETWORKS[name]
    half = convert_float_to_float16(make(), **WAYS[way])
    ours = explained(half, pictures(half), options_of(name))
    theirs = explained(make(), pictures(make()), options_of(name))
    assert (ours.refusal, ours.kind) == ("", theirs.kind)
    for array, reference in theirs.arrays.items():
        error = np.abs(ours.arrays[array] - reference).max() / np.abs(reference).max()
        assert error < 0.02, array
