from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper

import ortcam
from ortcam.artifact import METADATA_KEY, Artifact, Layer, Score
from ortcam.errors import ModelError, OutputError
from ortcam.inference.session import Session
from ortcam_export.graph import model_io
from ortcam_export.graph.model_io import open_session, serialise
from ortcam_export.prepare.prepare import prepare
from ortcam_export.reading.model_file import load
from ortcam_export.verify.onnx_checker import check
from ortcam_export.write_artifact import stamp, write

ARTIFACT = Artifact(layers=(Layer(name="a", weights="b"),), score=Score(name="s"), picture="x")
X = np.random.default_rng(0).random((1, 3, 16, 16), np.float32)


@pytest.fixture
def model() -> ir.Model:
    return prepare(load(networks.unet()))


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As though these small weights were beyond 2 GB."""
    monkeypatch.setattr(model_io, "LARGEST_IN_ONE", 100)


def output(session: Session) -> NDArray[Any]:
    return session.run(["probabilities"], {"input": X})["probabilities"]


def test_the_stamp(model: ir.Model) -> None:
    model.metadata_props["note"] = "kept"
    stamp(model, ARTIFACT)
    proto = onnx.load_from_string(serialise(model))
    props = {entry.key: entry.value for entry in proto.metadata_props}
    assert Artifact.from_json(props[METADATA_KEY], source="it") == ARTIFACT
    assert props["note"] == "kept"
    assert (proto.producer_name, proto.producer_version) == ("ortcam", ortcam.__version__)
    assert proto.ir_version == 10


def test_the_ir_version_is_lowered_where_the_opset_allows(model: ir.Model) -> None:
    model.ir_version = 11
    stamp(model, ARTIFACT)
    assert model.ir_version == 10
    model.ir_version = 11
    model.opset_imports[""] = 24
    stamp(model, ARTIFACT)
    assert model.ir_version == 11


def test_external_data_go_into_the_one_file(tmp_path: Path) -> None:
    network = load(networks.with_external_data(tmp_path))
    data = serialise(prepare(network))
    np.testing.assert_array_equal(
        output(Session(data, "cpu")), output(Session(networks.unet().SerializeToString(), "cpu"))
    )
    outside = [t for t in onnx.load_from_string(data).graph.initializer if t.external_data]
    assert not outside


def test_a_network_beyond_2_gb(model: ir.Model, limit: None, tmp_path: Path) -> None:
    path = write(model, tmp_path / "big.onnx")
    assert sorted(os.listdir(tmp_path)) == ["big.onnx", "big.onnx.data"]  # noqa: PTH208
    proto = onnx.load(path, load_external_data=False)
    places = {e.value for t in proto.graph.initializer for e in t.external_data}
    assert "big.onnx.data" in places
    wanted = output(Session(networks.unet().SerializeToString(), "cpu"))
    np.testing.assert_array_equal(output(Session(path, "cpu")), wanted)
    np.testing.assert_array_equal(output(open_session(model)), wanted)
    check(model)


def test_a_network_beyond_2_gb_is_written_whole_or_not_at_all(
    model: ir.Model, limit: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = ir.save

    def full(*args: Any, **options: Any) -> None:
        save(*args, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ir, "save", full)
    with pytest.raises(OutputError, match=r"big.onnx cannot be written: No space left on device"):
        write(model, tmp_path / "big.onnx")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_the_checker_is_asked(model: ir.Model) -> None:
    node = next(iter(model.graph))
    node.attributes.add(ir.AttrInt64("no_such_attribute", 1))
    with pytest.raises(ModelError, match="onnx's checker rejects the exported network: "):
        check(model)


def test_a_network_that_onnxruntime_does_not_open() -> None:
    proto = networks.unet()
    proto.graph.node.append(helper.make_node("Op", ["mid_relu"], ["z"], domain="custom"))
    proto.opset_import.add(domain="custom", version=1)
    with pytest.raises(ModelError, match="custom:Op"):
        open_session(prepare(load(proto)))
