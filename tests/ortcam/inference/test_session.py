"""Opening a model: which provider it runs on, and what is said of a model that cannot be run."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from ortcam.errors import DependencyError, InputError, ModelError, ProviderError
from ortcam.inference.ort_errors import RunError
from ortcam.inference.session import Session


def relu(op: str = "Relu", domain: str = "", dtype: int = 1, **model: Any) -> bytes:
    x, y = (helper.make_tensor_value_info(n, dtype, ["N", 4]) for n in "xy")
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], domain=domain)], "g", [x], [y])
    opsets = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    made = helper.make_model(graph, **{"opset_imports": opsets, "ir_version": 10, **model})
    made.metadata_props.add(key="k", value="v")
    data: bytes = made.SerializeToString()
    return data


def test_it_tells_what_the_model_is_and_runs_it() -> None:
    session = Session(relu())
    assert session.provider == "CPUExecutionProvider"
    assert session.metadata == {"k": "v"}
    assert str(session.inputs["x"]) == "x [N, 4] float32"
    assert list(session.outputs) == ["y"]
    np.testing.assert_array_equal(
        session.run(["y"], {"x": np.array([[-1, 2, -3, 4]], np.float32)})["y"], [[0, 2, 0, 4]]
    )


def test_a_path_with_other_letters_opens(tmp_path: Path) -> None:
    path = tmp_path / "réseau 网络.onnx"
    path.write_bytes(relu())
    assert Session(path).provider == Session(str(path)).provider == "CPUExecutionProvider"


def test_it_computes_with_as_many_threads_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = onnxruntime.InferenceSession

    def opened(model: Any, options: Any, **more: Any) -> Any:
        asked.append(options.intra_op_num_threads)
        return real(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    assert Session(relu(), "cpu", threads=3).threads == 3
    assert Session(relu(), "cpu").threads is None
    assert asked == [3, 0]
    with pytest.raises(InputError, match="threads must be at least 1, got 0"):
        Session(relu(), threads=0)


@pytest.mark.parametrize(("version", "harmful"), [("1.31.1", True), ("1.32.0", False)])
def test_old_runtimes_fuse_no_product_with_a_transposition(
    version: str, harmful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = onnxruntime.InferenceSession

    def opened(model: Any, options: Any, **more: Any) -> Any:
        asked.append(more["disabled_optimizers"])
        return real(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    monkeypatch.setattr(onnxruntime, "__version__", version)
    Session(relu(), "cpu")
    assert asked == [["MatmulTransposeFusion"] if harmful else None]


# Providers


@pytest.mark.parametrize("asked", ["cpu", "CPUExecutionProvider", ["CPU"], [("cpu", {})]])
def test_a_provider_goes_by_its_short_name_too(asked: Any) -> None:
    assert Session(relu(), asked).provider == "CPUExecutionProvider"


def test_a_provider_that_this_build_has_not_is_an_error() -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderError, match=r"has no CUDAExecutionProvider; it has .*CPUExec.*gpu"):
        Session(relu(), ["cuda"])


def test_an_unknown_provider_answers_with_the_nearest() -> None:
    with pytest.raises(ProviderError, match="has no provider 'CPPU'; the nearest is 'CPU'"):
        Session(relu(), "CPPU")
    with pytest.raises(ProviderError, match="no execution provider is named; leave providers= out"):
        Session(relu(), [])


class Fallen(types.ModuleType):
    """onnxruntime-gpu as it behaves on a machine without CUDA: chatter, then the CPU."""

    def __init__(self, how: str) -> None:
        super().__init__("onnxruntime")
        self.__file__ = onnxruntime.__file__
        self.__version__ = "1.31.1"
        self.OrtValue, self.RunOptions = onnxruntime.OrtValue, onnxruntime.RunOptions
        self.SessionOptions = onnxruntime.SessionOptions
        self.how = how
        self.severity = [2]
        self.preloaded = 0

    def get_all_providers(self) -> list[str]:
        names: list[str] = onnxruntime.get_all_providers()
        return names

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def set_default_logger_severity(self, level: int) -> None:
        self.severity.append(level)

    def preload_dlls(self) -> None:
        self.preloaded += 1
        print("Failed to load libcudart.so")

    def InferenceSession(self, model: Any, options: Any, providers: Any, **more: Any) -> Any:
        names = [name for name, _ in providers]
        real = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], **more
        )
        if "CUDAExecutionProvider" not in names or self.how == "silent":
            return real
        if self.how == "raises":
            raise RuntimeError("CUDA failure 35: driver too old")
        if self.how.startswith("This session"):
            raise RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : {self.how}")
        started = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        return types.SimpleNamespace(
            get_providers=lambda: started,
            get_provider_options=lambda: {"CUDAExecutionProvider": {"device_id": "0"}},
            **{n: getattr(real, n) for n in ("get_inputs", "get_outputs", "get_modelmeta", "run")},
        )


@contextlib.contextmanager
def standing_in(runtime: Fallen) -> Iterator[Fallen]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", runtime)
        yield runtime


@pytest.mark.parametrize("how", ["silent", "raises"])
def test_without_working_cuda_it_runs_on_the_cpu_and_says_so_quietly(
    how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with standing_in(Fallen(how)) as runtime:
        session = Session(relu())
    assert session.provider == "CPUExecutionProvider"
    assert runtime.preloaded == 1
    assert runtime.severity[-2:] == [4, 2]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("how", "reason"),
    [("silent", "no usable device"), ("raises", "CUDA failure 35: driver too old")],
)
def test_cuda_that_was_asked_for_and_does_not_start_is_an_error(how: str, reason: str) -> None:
    with (
        standing_in(Fallen(how)),
        pytest.raises(ProviderError, match=f"CUDAExecutionProvider does not start: .*{reason}"),
    ):
        Session(relu(), ["CUDAExecutionProvider", "CPUExecutionProvider"])


def test_a_library_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "capi").mkdir()
    library = tmp_path / "capi" / "libonnxruntime_providers_cuda.so"
    library.write_bytes(b"no library")
    runtime = Fallen("silent")
    runtime.__file__ = str(tmp_path / "__init__.py")
    with standing_in(runtime), pytest.raises(ProviderError, match=f"{library.name}.*ortcam\\[gpu"):
        Session(relu(), "cuda")


def test_cuda_that_starts_is_used_and_named() -> None:
    with standing_in(Fallen("starts")):
        assert Session(relu()).provider == "CUDAExecutionProvider"
        assert Session(relu(), "cpu").provider == "CPUExecutionProvider"


REFUSED = "This session cannot use the graph capture feature as requested by the user as "


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("the model has control flow nodes which can't be supported by", "has control flow"),
        ("all compute graph nodes have not been partitioned to the", r"on the CPU.*static=True"),
    ],
)
def test_a_model_that_is_no_cuda_graph_says_why_and_what_to_do(why: str, said: str) -> None:
    graph = [("cuda", {"enable_cuda_graph": "1"})]
    with (
        standing_in(Fallen(f"{REFUSED}{why} CUDAExecutionProvider")),
        pytest.raises(ProviderError, match=f"cannot run as a CUDA graph: .*{said}.*leave out"),
    ):
        Session(relu(), graph)


def test_cuda_graphs_are_asked_for_by_the_providers_own_option() -> None:
    with standing_in(Fallen("starts")) as runtime:
        for option, replays in (("1", True), (True, True), (0, False), ("0", False)):
            assert Session(relu(), [("cuda", {"enable_cuda_graph": option})]).replays is replays
        assert not Session(relu(), "cuda").replays
        assert not Session(relu()).replays
        runtime.__version__ = "1.30.2"
        with pytest.raises(ProviderError, match=r"onnxruntime-gpu 1\.31\.1 or later, and 1\.30\.2"):
            Session(relu(), [("cuda", {"enable_cuda_graph": "1"})])


def test_a_bad_model_is_told_from_a_bad_provider() -> None:
    with standing_in(Fallen("raises")), pytest.raises(ModelError, match="is not an ONNX file"):
        Session(b"junk", "cuda")


def test_a_half_overwritten_onnxruntime_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    with pytest.raises(DependencyError, match="pip uninstall onnxruntime"):
        Session(relu())


# Models


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not an ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is not an ONNX file"),
        (bytes(300), "is not an ONNX file"),
        (relu()[:-30], "is a damaged or truncated ONNX file"),
        (relu("ConvGrad", "com.microsoft"), "no operator com.microsoft:ConvGrad.*training build"),
        (relu("Scale", "com.microsoft"), "no operator com.microsoft:Scale.*engine='ortcam'"),
        (relu("Det", dtype=11), "no CPU kernel for Det, .*try another execution provider"),
        (
            relu("Blur", "com.example"),
            "no operator com.example:Blur.*custom operators are not supported",
        ),
        (relu(ir_version=99), "cannot load .*IR version: 99"),
        (relu(opset_imports=[helper.make_opsetid("", 999)]), "[Oo]pset 999"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    data: bytes, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=f"(?s){said}") as caught:
        Session(path)
    assert "model.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=f"(?s){said}"):
        Session(data)
    assert capfd.readouterr() == ("", "")


def test_a_path_that_is_no_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.onnx cannot be read: No such file"):
        Session(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="is a folder, not an ONNX file"):
        Session(tmp_path)


def test_a_run_that_fails_says_why_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match=r"cannot run the model: .*x.*Got: 5 Expected: 4") as caught:
        Session(relu()).run(["y"], {"x": np.zeros((1, 5), np.float32)})
    assert "\n" not in str(caught.value)
    assert "ONNXRuntimeError" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_weights_outside_the_models_folder_are_not_read(tmp_path: Path) -> None:
    np.arange(4, dtype=np.float32).tofile(tmp_path / "secret.bin")
    inner = tmp_path / "models"
    inner.mkdir()
    weight = onnx.TensorProto(
        name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL
    )
    weight.external_data.add(key="location", value="../secret.bin")
    values = [helper.make_tensor_value_info(n, 1, [4]) for n in "xy"]
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    (inner / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"cannot load .*m.onnx.*escapes"):
        Session(inner / "m.onnx")
