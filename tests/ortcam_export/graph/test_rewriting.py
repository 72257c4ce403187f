"""Rewrites of a graph, one after the other."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from ortcam.errors import ModelError
from ortcam_export.graph.rewriting import rewrite


class Rename(ir.passes.InPlacePass):
    """A graph's name -> the same with a letter appended."""

    def __init__(self, letter: str) -> None:
        self.letter = letter

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        if self.letter == "!":
            raise ModelError("the network is wrong") from ValueError("why")
        model.graph.name = f"{model.graph.name}{self.letter}"
        return ir.passes.PassResult(model, True)


def model() -> ir.Model:
    return ir.Model(ir.Graph([], [], nodes=[], name="g"), ir_version=10)


def test_passes_run_in_order() -> None:
    assert rewrite(model(), Rename("a"), Rename("b")).graph.name == "gab"


def test_an_error_comes_through_as_it_is() -> None:
    with pytest.raises(ModelError, match=r"^the network is wrong$") as raised:
        rewrite(model(), Rename("a"), Rename("!"))
    assert isinstance(raised.value.__cause__, ValueError)
