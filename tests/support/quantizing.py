"""Networks in other number formats, made by onnxruntime's own tools."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

#: The size of the pictures that networks are calibrated on, height and width.
SIZE = (48, 64)


def picture(seed: int) -> NDArray[np.float32]:
    """A smooth picture, [1, 3, *SIZE], from 0 to 1."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    large = Image.fromarray(small).resize(SIZE[::-1], Image.Resampling.BICUBIC)
    x = np.asarray(large, np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    return np.ascontiguousarray(x)


class Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Some pictures to calibrate on."""

    def __init__(self, name: str = "input", count: int = 6) -> None:
        self._feeds: Iterator[Any] = ({name: picture(100 + n)} for n in range(count))

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)


def quantized(
    model: onnx.ModelProto,
    quant_format: QuantFormat = QuantFormat.QDQ,
    *,
    preprocess: bool = False,
    pictures: int = 6,
    **options: Any,
) -> onnx.ModelProto:
    """A network as ``quantize_static`` makes it, its ranges those of so many pictures."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        onnx.save(model, source)
        if preprocess:
            quant_pre_process(source, source, skip_symbolic_shape=True)
        data = Pictures(count=pictures)
        quantize_static(source, target, data, quant_format=quant_format, **options)
        return onnx.load(target)


def dynamically_quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """A network as ``quantize_dynamic`` makes it, its convolutions too."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        onnx.save(model, source)
        quantize_dynamic(source, target)
        return onnx.load(target)
