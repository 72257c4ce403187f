"""ONNX Runtime's failures, each explained in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

from ortcam.errors import ModelError
from ortcam.messages import Message, Option

__all__ = ["RunError", "cuda_graph_error", "load_error", "plain_message"]

_TRAINING_OPERATOR = re.compile(r"com\.microsoft:(\w*Grad\w*|\w*Training|Scale)")
"""Operators that only the training builds have: gradients, and a few that gradients use."""


class RunError(ModelError):
    """onnxruntime loaded the network but failed to run it."""


def cuda_graph_error(error: Exception, source: str) -> Message | None:
    """The reason why a model cannot run as a CUDA graph; None for any other error."""
    text = str(error)
    if not re.search(r"cannot use the (?:CUDA graph|graph capture) feature", text, re.IGNORECASE):
        return None
    if "control flow" in text:
        return Message(
            f"{source} cannot run as a CUDA graph: it has control flow (If, Loop or Scan); "
            "leave out enable_cuda_graph"
        )
    return Message(
        f"{source} cannot run as a CUDA graph: part of it runs on the CPU, such as the computation "
        "of run-time shapes; export it again with ",
        Option("static", True),
        ", or leave out enable_cuda_graph",
    )


def load_error(error: Exception, model: str | bytes, source: str) -> ModelError:
    """The error to raise when ONNX Runtime does not load a model."""
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
            else "custom operators are not supported",
        )
    if missing := re.search(r"find an implementation for (\w+)\(\d+\) node", text):
        return ModelError(
            f"the installed onnxruntime has no CPU kernel for {missing[1]}, which {source} needs; ",
            Message("export the network with ", Option("engine", "ortcam"))
            if _TRAINING_OPERATOR.fullmatch(f"com.microsoft:{missing[1]}")
            else "try another execution provider",
        )
    if re.search("INVALID_PROTOBUF|No graph was found|does not have a graph", text):
        if _first_byte(model) == b"\x08":  # the tag of ir_version, which comes first
            return ModelError(f"{source} is a damaged or truncated ONNX file")
        return ModelError(f"{source} is not an ONNX file")
    return ModelError(f"onnxruntime cannot load {source}: {plain_message(error)}")


def _first_byte(model: str | bytes) -> bytes:
    if isinstance(model, bytes):
        return model[:1]
    with Path(model).open("rb") as file:
        return file.read(1)


def plain_message(error: Exception) -> str:
    """onnxruntime's message in one line, without its codes and source locations."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"Non-zero status code returned while |Exception during [a-z]+: ", "", text)
    text = re.sub(r"/\S+\.(?:cc|h|cpp):\d+ (?:.*\) )?", "", text)
    text = re.sub(r"Status Message: (?:\S+\.(?:cc|h):\d+ \S+ )?", "", text)
    return text if len(text) <= 400 else text[:400] + "…"
