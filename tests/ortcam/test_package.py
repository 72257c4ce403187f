"""The package as it is imported: its public names, and what it does not import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hatchling.builders.wheel import WheelBuilder
from numpy.typing import NDArray

import ortcam
from ortcam import errors

Small = Callable[..., Any]
Picture = NDArray[np.uint8]


def test_public_names_are_sorted_and_there() -> None:
    assert ortcam.__all__ == sorted(ortcam.__all__)
    assert all(hasattr(ortcam, name) for name in ortcam.__all__)
    assert {"load", "Cam", "Explanation", "Segmentation"} <= set(ortcam.__all__)


def test_every_error_is_public() -> None:
    assert set(errors.__all__) <= set(ortcam.__all__)


def test_every_error_stands_in_the_tree_of_its_module() -> None:
    assert errors.__doc__ is not None
    for name in errors.__all__:
        assert name in errors.__doc__
        assert issubclass(getattr(errors, name), errors.OrtcamError)


def test_the_package_is_typed() -> None:
    assert (Path(ortcam.__file__).parent / "py.typed").is_file()


def test_a_wheel_holds_what_is_no_python_too(root: Path) -> None:
    held = {file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()}
    data = {
        path.relative_to(root).as_posix()
        for path in (root / "ortcam").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert {f"ortcam/report/{name}" for name in ("page.html", "base.css", "report.js")} <= data
    assert data <= held
    assert "ortcam_export/__init__.py" in held


def run(code: str, *arguments: str) -> str:
    """Runs code in a fresh interpreter, its warnings errors, and gives what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(ortcam.__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = "{'torch', 'onnx', 'onnx_ir', 'matplotlib', 'ortcam_export'}"


def test_importing_imports_nothing_heavy() -> None:
    code = f"import sys, ortcam; print(sorted(({HEAVY} | {{'onnxruntime'}}) & set(sys.modules)))"
    assert run(code) == "[]\n"


def test_a_run_without_a_figure_imports_nothing_heavy(
    small: Small, rgb: Picture, tmp_path: Path
) -> None:
    (tmp_path / "a.onnx").write_bytes(small().model)
    np.save(tmp_path / "rgb.npy", rgb)
    code = f"""
import sys
from pathlib import Path
import numpy as np
import ortcam
folder = Path(sys.argv[1])
cam = ortcam.load(folder / "a.onnx")
picture = np.load(folder / "rgb.npy")
cam.segment(picture).save(folder / "s.png")
explanation = cam.explain(picture)
explanation.overlay(explanation.indices[0], "late")
explanation.save(folder / "e.npz")
print(sorted({HEAVY} & set(sys.modules)))
"""
    assert run(code, str(tmp_path)) == "[]\n"
    assert (tmp_path / "s.png").stat().st_size > 0


def test_without_onnxruntime_a_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["onnxruntime"] = None
import ortcam
try:
    ortcam.load(b"")
except ortcam.DependencyError as error:
    print(error)
"""
    said = run(code)
    assert "pip install 'ortcam[cpu]'" in said
    assert "'ortcam[gpu]'" in said


def test_without_matplotlib_a_sentence_says_what_to_install(
    small: Small, rgb: Picture, tmp_path: Path
) -> None:
    (tmp_path / "a.onnx").write_bytes(small().model)
    np.save(tmp_path / "rgb.npy", rgb)
    code = """
import sys
sys.modules["matplotlib"] = None
from pathlib import Path
import numpy as np
import ortcam
folder = Path(sys.argv[1])
cam = ortcam.load(folder / "a.onnx")
explanation = cam.explain(np.load(folder / "rgb.npy"), "Road", "late")
for draw in (explanation.figure, explanation.segmentation.figure):
    try:
        draw()
    except ortcam.DependencyError as error:
        print(error)
try:
    explanation.save(folder / "e.png")
except ortcam.DependencyError:
    print((folder / "e.png").exists())
"""
    first, second, there = run(code, str(tmp_path)).splitlines()
    assert first == second
    assert "pip install 'ortcam[plot]'" in first
    assert there == "False"
