"""The files that the benchmarks read; no other imports, which would count as a tool's memory."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PICTURE", "ROOT", "SHIPPED"]

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "models" / "deeplabv3plus_resnet18_camvid.onnx"
PICTURE = ROOT / "models" / "street.png"
