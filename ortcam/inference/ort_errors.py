"""What ONNX Runtime's failures mean, each told in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

from ortcam.errors import ModelError
from ortcam.messages import Message, Option

__all__ = ["RunError", "cuda_graph_error", "load_error", "plain_message"]

#: What only the training builds have: gradients, and a few operators that these are made of.
_TRAINING_OPERATOR = re.compile(r"com\.microsoft:(\w*Grad\w*|\w*Training|Scale)")


class RunError(ModelError):
    """onnxruntime loaded the network, and a run of it failed."""


def cuda_graph_error(error: Exception, source: str) -> Message | None:
    """Why a model cannot be run as a CUDA graph; None where something else went wrong."""
    text = str(error)
    if not re.search(r"cannot use the (?:CUDA graph|graph capture) feature", text, re.IGNORECASE):
        return None
    if "control flow" in text:
        return Message(
            f"{source} cannot be run as a CUDA graph: it has control flow (If, Loop or Scan); "
            "leave out enable_cuda_graph"
        )
    return Message(
        f"{source} cannot be run as a CUDA graph: part of it is computed on the CPU, as sizes are "
        "that are known only in the run; export it again with ",
        Option("static", True),
        ", or leave out enable_cuda_graph",
    )


def load_error(error: Exception, model: str | bytes, source: str) -> ModelError:
    """Why ONNX Runtime does not load a model, as an error of our own."""
    text = str(error)
    if unknown := re.search(r"(\S+)\(-?\d+\) is not a registered function/op", text):
        return ModelError(
            f"the installed onnxruntime has no operator {unknown[1]}, which {source} needs; ",
            Message(
                "it was exported with ",
                Option("engine", "ort-training"),
                " and needs a training build of onnxruntime: pip install 'ortcam[training]' in an "
                "environment of its own, or export the network again with ",
                Option("engine", "ortcam"),
            )
            if _TRAINING_OPERATOR.fullmatch(unknown[1])
            else "a network with operators of its own cannot be run",
        )
    if missing := re.search(r"find an implementation for (\w+)\(\d+\) node", text):
        return ModelError(
            f"the installed onnxruntime has no kernel for {missing[1]}, which {source} needs, on "
            "the CPU; ",
            Message("export the network with ", Option("engine", "ortcam"))
            if _TRAINING_OPERATOR.fullmatch(f"com.microsoft:{missing[1]}")
            else "another execution provider may have one",
        )
    if re.search("INVALID_PROTOBUF|No graph was found|does not have a graph", text):
        if _first_byte(model) == b"\x08":  # the tag of ir_version, which comes first
            return ModelError(f"{source} is a damaged ONNX file, or only the beginning of one")
        return ModelError(f"{source} is not an ONNX file")
    return ModelError(f"onnxruntime cannot load {source}: {plain_message(error)}")


def _first_byte(model: str | bytes) -> bytes:
    if isinstance(model, bytes):
        return model[:1]
    with Path(model).open("rb") as file:
        return file.read(1)


def plain_message(error: Exception) -> str:
    """The message of onnxruntime in one line, without its codes and its own source files."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"Non-zero status code returned while |Exception during [a-z]+: ", "", text)
    text = re.sub(r"/\S+\.(?:cc|h|cpp):\d+ (?:.*\) )?", "", text)
    text = re.sub(r"Status Message: (?:\S+\.(?:cc|h):\d+ \S+ )?", "", text)
    return text if len(text) <= 400 else text[:400] + "…"
