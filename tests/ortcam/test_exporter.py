"""The door to the export step."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ortcam import exporter
from ortcam.errors import DependencyError


@pytest.mark.parametrize(
    ("missing", "names"),
    [({"onnx_ir"}, "onnx-ir"), ({"onnx"}, "onnx"), ({"onnx", "onnx_ir"}, "onnx and onnx-ir")],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: set[str], names: str
) -> None:
    monkeypatch.setattr(exporter, "find_spec", lambda name: None if name in missing else name)
    remedy = "; install what is missing with: pip install 'ortcam[export]'"
    with pytest.raises(DependencyError) as caught:
        exporter.require_exporter()
    assert str(caught.value) == f"exporting a network needs {names}{remedy}"
    with pytest.raises(DependencyError) as caught:
        exporter.require_exporter("the metrics gradient and randomisation need")
    assert str(caught.value) == f"the metrics gradient and randomisation need {names}{remedy}"
    with pytest.raises(DependencyError):
        exporter.layers(Path("network.onnx"))


def test_it_is_the_only_door(root: Path) -> None:
    importers = {
        source.relative_to(root).as_posix()
        for source in (root / "ortcam").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name and name.split(".")[0] == "ortcam_export"
    }
    assert importers == {"ortcam/exporter.py"}
