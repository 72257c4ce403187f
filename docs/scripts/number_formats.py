"""Compare the shipped network's explanations in int8 and float16 with those in float32.

``python docs/scripts/number_formats.py`` quantizes models/deeplabv3plus_resnet18_camvid.onnx with
onnxruntime's own tools, calibrated on rendered scenes, and converts it to float16. It prints the
tables of docs/number_formats.md, the correlation of weights and maps with the float32 network's,
and the times. ``python docs/scripts/number_formats.py FOLDER`` writes the networks to the folder
instead: int8.onnx, int8-by-channel.onnx and float16.onnx.
"""

from __future__ import annotations

import importlib.metadata
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers import float16
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "export")]

from camvid.classes import MEAN, SIZE, STD  # noqa: E402
from camvid.scenes import render  # noqa: E402
from ortcam_export import export  # noqa: E402

NETWORK = ROOT / "models" / "deeplabv3plus_resnet18_camvid.onnx"
LAYERS = ("res2b_relu", "res5b_relu", "catAspp", "dec_relu1", "dec_relu4")

#: Seeds of the scenes for calibration, and for measurement beside models/street.png.
CALIBRATED, MEASURED = range(300000, 300008), range(100000, 100002)

#: A class is explained if it is predicted for at least this fraction of the picture.
SHARE = 0.002

RUNS = 7

Array = NDArray[Any]


class Scenes(CalibrationDataReader):
    """Rendered scenes, for onnxruntime's calibration."""

    def __init__(self) -> None:
        self._inputs: Iterator[Array] = (entering(render(seed)[0]) for seed in CALIBRATED)

    def get_next(self) -> dict[str, Array] | None:
        """Return the next scene, or None after the last."""
        x = next(self._inputs, None)
        return None if x is None else {"input": x}


def entering(pixels: Array) -> Array:
    """Return the network's input [1, 3, H, W] for pixels [H, W, 3]."""
    x = (pixels.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def formats(folder: Path) -> dict[str, Path]:
    """Write the network in each format, and return the files."""
    files = {
        "float32": NETWORK,
        "int8": folder / "int8.onnx",
        "int8, by channel": folder / "int8-by-channel.onnx",
        "float16": folder / "float16.onnx",
    }
    for name, by_channel in (("int8", False), ("int8, by channel", True)):
        quantize_static(
            NETWORK,
            files[name],
            Scenes(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=by_channel,
        )
    half = float16.convert_float_to_float16(onnx.load(NETWORK), keep_io_types=True)
    onnx.save(half, files["float16"])
    return files


class Network:
    """A network in one format, with its artifact."""

    def __init__(self, path: Path) -> None:
        tensors = {name for node in onnx.load(path).graph.node for name in node.output}
        names = [f"{name}_DequantizeLinear_Output" for name in LAYERS]
        names = [new if new in tensors else old for old, new in zip(LAYERS, names, strict=True)]
        # The score of a quantized network is the output of its softmax, before rounding.
        explained = export(path, feature_layers=names)
        self.artifact = explained.artifact
        self.plain, self.explained = session(path.read_bytes()), session(explained.model)
        last = export(path, feature_layers=names[-1:], verify=False)
        self.last = session(last.model)

    def ask(self, x: Array, rows: Array) -> tuple[list[Array], list[Array], Array]:
        """Return the weights [K, C] and maps [K, h, w] of every layer, and the score."""
        layers = self.artifact.layers
        names = [name for layer in layers for name in (layer.name, layer.weights)]
        feeds = question(x, rows)
        if self.artifact.mask is not None:
            feeds[self.artifact.mask] = np.ones(len(layers), bool)
        outputs = self.explained.run([*names, self.artifact.score.name], feeds)
        features, weights = outputs[0:-1:2], [w[:, 0] for w in outputs[1:-1:2]]
        maps = [
            np.maximum(np.einsum("kc,chw->khw", w, f[0].astype(np.float32)), 0)
            for w, f in zip(weights, features, strict=True)
        ]
        return weights, maps, outputs[-1]


def session(model: bytes) -> onnxruntime.InferenceSession:
    """Open a network on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def question(x: Array, rows: Array) -> dict[str, Array]:
    """Return an artifact's inputs: class weights [K, C], all pixels."""
    return {
        "input": x,
        "class_weights": rows[:, None],
        "region": np.ones((min(len(rows), 1), 1, 1, 1), np.float32),
    }


def correlations(ours: Sequence[Array], theirs: Sequence[Array]) -> list[list[float]]:
    """Return Pearson's correlation for each layer and question where neither is constant."""
    return [
        [
            float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
            for a, b in zip(mine, other, strict=True)
            if a.std() and b.std()
        ]
        for mine, other in zip(ours, theirs, strict=True)
    ]


def milliseconds(runs: dict[str, Any]) -> dict[str, float]:
    """Return the median time of each run, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(RUNS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:  # the first warms up
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Print the tables."""
    street = Image.open(ROOT / "models" / "street.png").convert("RGB").resize(SIZE)
    pictures = [entering(np.asarray(street)), *(entering(render(seed)[0]) for seed in MEASURED)]
    with tempfile.TemporaryDirectory() as folder:
        networks = {name: Network(path) for name, path in formats(Path(folder)).items()}
    weights: dict[str, list[list[float]]] = {name: [[] for _ in LAYERS] for name in networks}
    maps: dict[str, list[list[float]]] = {name: [[] for _ in LAYERS] for name in networks}
    same: dict[str, list[float]] = {name: [] for name in networks}
    for x in pictures:
        labels = networks["float32"].plain.run(None, {"input": x})[0].argmax(1)
        share = np.bincount(labels.ravel(), minlength=11) / labels.size
        rows = np.eye(11, dtype=np.float32)[share >= SHARE]
        w32, m32, _ = networks["float32"].ask(x, rows)
        for name, network in networks.items():
            w, m, score = network.ask(x, rows)
            same[name].append(float((score.argmax(1) == labels).mean()))
            for table, new in ((weights, correlations(w, w32)), (maps, correlations(m, m32))):
                for layer, values in zip(table[name], new, strict=True):
                    layer += values
    print(f"onnxruntime {importlib.metadata.version('onnxruntime')}")
    for title, table in (("weights", weights), ("maps", maps)):
        print(f"\n| {title} | {' | '.join(LAYERS)} |\n|---|{'---|' * len(LAYERS)}")
        for name in list(networks)[1:]:
            cells = (f"{statistics.median(v):.3f} ({min(v):.3f})" for v in table[name])
            print(f"| {name} | {' | '.join(cells)} |")
    x, one = pictures[0], np.eye(11, dtype=np.float32)[3:4]
    print("\n| | same labels | inference (ms) | artifact, no question | one question | check |")
    print("|---|---|---|---|---|---|")
    for name, network in networks.items():
        medians = milliseconds(
            {
                "plain": lambda n=network: n.plain.run(None, {"input": x}),
                "unasked": lambda n=network: n.last.run(None, question(x, one[:0])),
                "asked": lambda n=network: n.last.run(None, question(x, one)),
            }
        )
        checked = network.artifact.verification
        print(
            f"| {name} | {statistics.mean(same[name]):.4f} | {medians['plain']:.0f} | "
            f"{medians['unasked'] / medians['plain']:.2f} | "
            f"{medians['asked'] / medians['plain']:.2f} | "
            f"{checked.error:.1e} |"
        )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if sys.argv[1:]:
        destination = Path(sys.argv[1])
        destination.mkdir(parents=True, exist_ok=True)
        formats(destination)
    else:
        main()
