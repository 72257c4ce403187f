"""The gradients of onnx's own node tests: cases, values and forward code that nobody here wrote.

Every case with float32 inputs and a float32 output is either checked, or stands in EXCLUDED with
what was measured, or needs an operator whose gradient is refused.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import onnx
import pytest
from finite_differences import Case, check
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from ortcam.errors import OperatorError
from ortcam_export.functions import expand
from ortcam_export.gradient.operators import Kind, decision
from ortcam_export.gradient.sweep import dependencies, undecided
from ortcam_export.load import load
from ortcam_export.names import tensor
from ortcam_export.prepare import prepare
from ortcam_export.vjp import vjp

#: Of |u| |J v|.
TOLERANCE = 1e-3

#: Cases that are not checked, by what was measured.
EXCLUDED: dict[str, list[str]] = {
    # There is no derivative to compare with.
    "a bend or a tie at the very values given": [
        "test_elu_example",
        "test_l1normalization_axis_last",
        "test_l2normalization_axis_0",
        "test_leakyrelu_example",
        "test_maxpool_3d_dilations",
        "test_maxpool_3d_dilations_use_ref_impl",
        "test_reduce_min_default_axes_keepdims_example",
        "test_scatternd_max",
        "test_scatternd_min",
        "test_selu_example",
        "test_thresholdedrelu_example",
    ],
    "the output's shape changes with the values": [
        "test_range_float_type_positive_delta",
        "test_unique_not_sorted_without_axis",
        "test_unique_sorted_with_axis",
        "test_unique_sorted_with_axis_3d",
        "test_unique_sorted_with_negative_axis",
        "test_unique_sorted_without_axis",
    ],
    "the output is not finite": [
        "test_acosh_example",
        "test_mod_float_edge_cases_fmod_0_float32",
        "test_pow",
        "test_reduce_log_sum_empty_set",
        "test_reduce_log_sum_exp_empty_set",
        "test_reduce_max_empty_set",
        "test_reduce_min_empty_set",
    ],
    # Nobody computes what the gradient should belong to.
    "onnxruntime's kernel refuses the mask": [
        "test_attention_4d_diff_heads_mask4d_padded_kv",
    ],
    "onnxruntime has no kernel for the operator and its element types": [
        "test_pow_types_float32_uint32",
        "test_pow_types_float32_uint64",
        "test_roialign_aligned_false",
        "test_roialign_aligned_true",
        "test_roialign_mode_max",
        "test_swiglu",
        "test_swiglu_alpha",
    ],
    "onnx's ReferenceEvaluator does not run the network in double": [
        "test_mvn",
        "test_scatter_with_axis",
        "test_scatter_without_axis",
    ],
    "onnxruntime and onnx's ReferenceEvaluator compute different things": [
        "test_maxunpool_export_with_output_shape",
        "test_resize_downsample_scales_cubic_align_corners",
        "test_resize_downsample_scales_linear_align_corners",
        "test_training_dropout",
        "test_training_dropout_default",
        "test_training_dropout_default_mask",
        "test_training_dropout_mask",
    ],
    "onnxruntime's optimiser drops an Expand to extents of which one is 0": [
        "test_reduce_sum_empty_set",
    ],
    # What falls short.
    "a Scan of opset 8, which is refused": [
        "test_scan_sum",
    ],
    "refused, with this attribute": [
        "test_batchnorm_epsilon_training_mode",
        "test_batchnorm_example_training_mode",
        "test_training_dropout_zero_ratio",
        "test_training_dropout_zero_ratio_mask",
    ],
    "the mask leaves a row nothing, whose softmax is not a number until a Where replaces it": [
        "test_attention_23_boolmask_fullymasked_row_nan_robustness",
        "test_attention_23_fullymasked_qk_matmul_output_mode3_zero",
        "test_attention_24_fullymasked_qk_matmul_output_mode3_zero",
        "test_attention_4d_causal_nonpad_negative_offset_structural_empty",
        "test_attention_causal_boolmask_nan_robustness",
        "test_attention_local_window_gqa_rank4_mask",
    ],
}


#: Inputs that are not checked where operators of this kind bend at the very values given: places
#: on the border between two elements.
BENDS = {
    "test_gridsample": ["Grid"],
    "test_basic_deform_conv": ["offset_with_padding", "offset_without_padding"],
    "test_deform_conv": ["offset"],
}


@functools.cache
def cases():
    """The cases with float32 inputs and a float32 output, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # what ends in _expanded is the body of another case's operator
        every = [case for case in collect_testcases(None) if "_expanded" not in case.name]
        return {case.name: case for case in every if _is_float(case)}


def _is_float(case):
    graph, ((inputs, _), *_) = case.model.graph, case.data_sets
    tensors = all(isinstance(array, np.ndarray | np.generic | float) for array in inputs)
    return (
        tensors
        and any(np.asarray(array).dtype == np.float32 for array in inputs)
        and graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
        and any(not imported.domain for imported in case.model.opset_import)
    )


def network(name):
    """A case with all that is no float32 tensor to be differentiated as initializers."""
    case = cases()[name]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph, arrays = model.graph, map(np.asarray, case.data_sets[0][0])
    feeds = dict(zip([value.name for value in graph.input], arrays, strict=True))
    amounts = {n for node in graph.node if node.op_type == "Resize" for n in node.input[1:]}
    for value in list(graph.input):
        if feeds[value.name].dtype != np.float32 or value.name in amounts:
            graph.initializer.append(numpy_helper.from_array(feeds.pop(value.name), value.name))
            graph.input.remove(value)
    return Case(model, feeds)


def dependent(case):
    """The inputs that the first output depends on, and the operators on the way without rule."""
    of = case.model.graph.output[0].name
    network = expand(prepare(load(case.model)), [of])
    y = tensor(network, of)
    names = {value.name for value in dependencies(network.graph, y)}
    return [n for n in case.feeds if n in names], undecided(network.graph, y)


@pytest.mark.parametrize("name", sorted(cases().keys() - {n for v in EXCLUDED.values() for n in v}))
def test_case(name):
    case = network(name)
    of = case.model.graph.output[0].name
    wrt, without_rule = dependent(case)
    if without_rule:
        with pytest.raises(OperatorError, match="no gradient rule"):
            vjp(case.model, of, wrt)
        for node in without_rule:
            assert node.domain or decision(node.op_type).kind == Kind.REFUSED
    elif wrt:
        bends = [n for start, names in BENDS.items() if name.startswith(start) for n in names]
        wrt = [n for n in wrt if n not in bends]
        check(case, of=of, wrt=wrt, double=False, dynamic=(), tolerance=TOLERANCE)


def test_no_case_is_lost():
    # of onnx 1.23; later releases bring more
    excluded = [name for names in EXCLUDED.values() for name in names]
    assert len(set(excluded)) == len(excluded)
    assert set(excluded) <= cases().keys()
    assert len(cases()) - len(excluded) >= 755
