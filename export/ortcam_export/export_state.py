"""An export on its way from stage to stage: what the user asks for, and what the stages make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from ortcam.artifact import Artifact
from ortcam_export.reading.expectations import Options
from ortcam_export.reading.model_file import ModelLike, Network

__all__ = ["Contents", "ExportState", "Selection"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The tensors that the user names; None where the export chooses.

    Attributes:
        feature_layers, reduction_layer, score, class_axis, head, picture_input, token_grid,
            leading_tokens: as for :func:`ortcam_export.export`.
    """

    feature_layers: Sequence[str] | None = None
    reduction_layer: str | None = None
    score: str | None = None
    class_axis: int | None = None
    head: ModelLike | None = None
    picture_input: str | None = None
    token_grid: tuple[int, int] | None = None
    leading_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The contents of the artifact beside the network, and how it is built.

    Attributes:
        engine, split, static, maps, methods, verify: as for :func:`ortcam_export.export`.
    """

    engine: str = "ortcam"
    split: bool = False
    static: bool = False
    maps: bool = False
    methods: Sequence[str] | str = ()
    verify: bool = True


@dataclass(kw_only=True)
class ExportState:
    """The state of an export, handed from stage to stage.

    Attributes:
        expected: the preprocessing and classes that the user states.
        selection: the tensors that the user names.
        contents: the parts that the artifact is to hold.
        notes: choices, additions and assumptions, one sentence each.
        needs: the requirements of methods; True if a method's name asks for it.
        network: the network as it was read; its model is prepared in place.
        source: a copy of its model before that.
        artifact: the metadata.
        plain: the prepared network with its score.
        model: the same with all that is appended.
    """

    expected: Options
    selection: Selection
    contents: Contents
    notes: list[str] = field(default_factory=list)
    needs: Mapping[str, bool] = field(default_factory=dict)
    # each set by its stage
    network: Network = field(init=False)
    source: ir.Model = field(init=False)
    artifact: Artifact = field(init=False)
    plain: ir.Model = field(init=False)
    model: ir.Model = field(init=False)
