from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper

from ortcam.artifact import METADATA_KEY, Artifact, Layer, Score
from ortcam.errors import ArtifactError, ModelError
from ortcam_export.reading.model_file import PROCESSOR_DOMAINS, load, read


def message(model: object, kind: type[Exception] = ModelError) -> str:
    with pytest.raises(kind) as caught:
        read(model)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "net.onnx"
    onnx.save(networks.unet(), file)
    return file


def names(model: ir.Model) -> list[str | None]:
    return [node.name for node in model.graph]


def test_every_kind_of_model_gives_the_same_network(path: Path) -> None:
    proto = onnx.load(path)
    for model in (path, str(path), path.read_bytes(), proto, ir.from_proto(proto)):
        assert names(load(model)) == [node.name for node in proto.graph.node]


def test_the_hash_is_the_files(path: Path) -> None:
    network = read(path)
    assert network.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (network.name, network.folder) == ("net.onnx", path.parent.resolve())


def test_a_model_in_memory_is_left_as_it_is() -> None:
    mine = ir.from_proto(networks.unet())
    copy = load(mine)
    next(iter(copy.graph)).name = "changed"
    assert "changed" not in names(mine)


def test_no_file(tmp_path: Path) -> None:
    assert message(tmp_path / "no.onnx") == f"there is no file {tmp_path / 'no.onnx'}"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert message(tmp_path) == f"{tmp_path} is not a file; give an ONNX file"


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless device here")  # noqa: PTH110
def test_an_endless_device_is_no_file() -> None:
    assert "is not a file" in message("/dev/zero")


def test_empty(tmp_path: Path) -> None:
    file = tmp_path / "empty.onnx"
    file.touch()
    assert message(file) == "empty.onnx is empty; give an ONNX file"
    assert message(b"") == "the model is empty; give an ONNX file"


def test_not_onnx(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    assert message(file) == (
        "picture.png is not an ONNX file, or it is cut short; export or copy it again"
    )
    assert "is not an ONNX" in message(onnx.TensorProto(name="t").SerializeToString())


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"PK\x03\x04\x00", "ZIP archive"),
        (b"\x80\x02}q\x00.", "Python pickle"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
    ],
)
def test_what_people_hand_over_by_mistake_is_named(start: bytes, what: str) -> None:
    assert what in message(start)


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED", "ALL"])
def test_a_file_in_the_runtimes_own_format(level: str, tmp_path: Path) -> None:
    optimized(networks.unet(), tmp_path / "net.ort", level, "ORT")
    assert message(tmp_path / "net.ort") == (
        "net.ort is in ONNX Runtime's own format, .ort; give the ONNX file that it was made from"
    )


def test_a_file_optimized_for_one_kind_of_processor(tmp_path: Path) -> None:
    optimized(wide(), tmp_path / "net.onnx", "EXTENDED", "ONNX")
    read(tmp_path / "net.onnx")
    optimized(wide(), tmp_path / "net.onnx", "ALL", "ONNX")
    if not any(
        n.domain == "com.microsoft.nchwc" for n in onnx.load(tmp_path / "net.onnx").graph.node
    ):
        pytest.skip("onnxruntime has no layout of its own for this processor")
    sentence = (
        r"net.onnx was saved by ONNX Runtime for one kind of processor \(its node '.*' is of the "
        r"domain com.microsoft.nchwc\); save it at optimization level EXTENDED or below"
    )
    for form in (tmp_path / "net.onnx", ir.from_proto(onnx.load(tmp_path / "net.onnx"))):
        assert re.fullmatch(sentence.replace("net.onnx", "(net.onnx|the model)"), message(form))


@pytest.mark.parametrize("domain", PROCESSOR_DOMAINS)
def test_operators_for_one_kind_of_processor_wherever_they_stand(domain: str) -> None:
    model = networks.with_functions()
    model.functions[0].node[0].domain = domain
    assert f"is of the domain {domain}); save it at optimization level" in message(model)


def wide() -> onnx.ModelProto:
    """A network of enough channels for the layout of onnxruntime's own kernels."""
    g = networks.Builder(0)
    x = g.relu(g.conv(g.relu(g.conv("input", 3, 32, "a"), "a_relu"), 32, 32, "b"), "b_relu")
    return g.model({g.conv(x, 32, 16, "logits"): (onnx.TensorProto.FLOAT, ["N", 16, "H", "W"])})


def optimized(model: onnx.ModelProto, target: Path, level: str, form: str) -> None:
    """Save a network as onnxruntime's optimizer leaves it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}"
    )
    options.add_session_config_entry("session.save_model_format", form)
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("extent", [-1, 0])
def test_an_extent_that_is_no_number_of_elements_is_unknown(extent: int) -> None:
    model = onnx.shape_inference.infer_shapes(networks.unet())
    graph = model.graph
    for info in (*graph.input, *graph.output, *graph.value_info):
        info.type.tensor_type.shape.dim[0].dim_value = extent
    for form in (model, model.SerializeToString(), ir.from_proto(model)):
        network = load(form)
        values = [*network.graph.inputs, *network.graph.outputs]
        values += [value for node in network.graph for value in node.outputs]
        shapes = [value.shape for value in values if value.shape is not None]
        assert len(shapes) > 20
        for shape in shapes:
            assert shape[0] == ir.SymbolicDim(None)
        assert network.graph.inputs[0].shape == ir.Shape([None, 3, "H", "W"])


def test_an_empty_constant_keeps_its_shape() -> None:
    roi = load(networks.opset_11()).graph.initializers["roi"]
    assert roi.shape == ir.Shape([0])


def test_truncated_anywhere(path: Path) -> None:
    data = path.read_bytes()
    for part in (0.01, 0.3, 0.7, 0.999):
        assert "cut short" in message(data[: int(len(data) * part)])


def test_a_file_beyond_protobufs_limit_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "huge.onnx"
    with file.open("wb") as f:
        f.truncate(3 * 2**30)  # sparse: it takes no room
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    assert message(file) == (
        "huge.onnx is larger than the 2 GB that an ONNX file can be; "
        "save the network with external data"
    )


def test_an_artifact_is_no_network() -> None:
    model = networks.unet()
    artifact = Artifact(layers=(Layer(name="a", weights="b"),), score=Score(name="s"), picture="x")
    onnx.helper.set_model_props(model, {METADATA_KEY: artifact.to_json()})
    for form in (model, model.SerializeToString(), ir.from_proto(model)):
        assert message(form, ArtifactError) == (
            "the model is an artifact already; run it (ortcam explain), "
            "or give the network that it was exported from"
        )


def test_a_tensor_that_claims_more_than_it_has() -> None:
    model = networks.unet()
    tensor = model.graph.initializer[0]
    tensor.dims[0] = 10**9
    assert f"is damaged: tensor {tensor.name!r}" in message(model)


def test_a_constant_in_a_node_is_checked_too() -> None:
    model = networks.unet()
    value = numpy_helper.from_array(np.zeros(4, np.float32), "inner")
    value.dims[0] = 5
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=value))
    assert "tensor 'inner' has 16 bytes where its shape [5] takes 20" in message(model)


def test_sparse_weights() -> None:
    model = networks.unet()
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    model.graph.sparse_initializer.add(values=values, dims=[3])
    assert "initializer 'sparse' is sparse" in message(model)


def test_external_data_beside_the_file(tmp_path: Path) -> None:
    path = networks.with_external_data(tmp_path)
    inside = {t.name: numpy_helper.to_array(t) for t in networks.unet().graph.initializer}
    for name, value in load(path).graph.initializers.items():
        assert value.const_value is not None
        np.testing.assert_array_equal(value.const_value.numpy(), inside[name])


def test_external_data_need_a_path(tmp_path: Path) -> None:
    path = networks.with_external_data(tmp_path)
    sentence = "lies in external data, which only a path can find; give the network's path"
    assert sentence in message(path.read_bytes())
    assert sentence in message(onnx.load(path, load_external_data=False))


def relocate(path: Path, location: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())


def test_external_data_outside_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = networks.with_external_data(inside)
    (inside / "weights.bin").rename(tmp_path / "weights.bin")
    (inside / "link.bin").symlink_to(tmp_path / "weights.bin")
    absolute = str(tmp_path / "weights.bin")
    for location in ("../weights.bin", absolute, "sub/../../weights.bin", "link.bin"):
        relocate(path, location)
        sentence = message(path)
        assert f"external data {location!r}" in sentence
        assert "outside the network's own folder" in sentence


def test_missing_external_data(tmp_path: Path) -> None:
    path = networks.with_external_data(tmp_path)
    (tmp_path / "weights.bin").unlink()
    assert "'weights.bin', which is not in" in message(path)


def test_external_data_cut_short(tmp_path: Path) -> None:
    path = networks.with_external_data(tmp_path)
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data[:-10])
    assert "which is cut short; copy it again" in message(path)


def test_external_data_with_a_second_name(tmp_path: Path) -> None:
    path = networks.with_external_data(tmp_path)
    (tmp_path / "again.bin").hardlink_to(tmp_path / "weights.bin")
    assert "'weights.bin', which has several hard links" in message(path)


@pytest.mark.parametrize("where", ["node", "subgraph", "function", "function's subgraph"])
def test_no_tensor_reads_outside_the_folder_wherever_it_stands(where: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4))
    outside = onnx.TensorProto(name="t", data_type=1, dims=[1], data_location="EXTERNAL")
    outside.external_data.add(key="location", value="../secret")
    constant = onnx.helper.make_node("Constant", [], ["secret"], value=outside)
    body = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["t"], ["out"])],
        "body",
        [],
        [onnx.helper.make_empty_tensor_value_info("out")],
        [outside],
    )
    yes = onnx.helper.make_node("If", ["yes"], ["z"], then_branch=body, else_branch=body)
    model = networks.with_functions()
    spot = model.functions[0].node if "function" in where else model.graph.node
    spot.append(yes if "subgraph" in where else constant)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "net.onnx").write_bytes(model.SerializeToString())
    assert "'../secret', which is outside the network's own folder" in message(inside / "net.onnx")
