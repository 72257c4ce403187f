"""The shape of the source: no circle of modules, small folders, short functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"ortcam": ROOT / "ortcam", "ortcam_export": ROOT / "export" / "ortcam_export"}

#: The most files that a folder shows.
MOST_FILES = 16

#: A catalogue: a file a family of operators.
CATALOGUES = {"export/ortcam_export/gradient/rules"}

#: The most lines of code in a function, and blocks within one another.
LONGEST, DEEPEST = 60, 4

#: What a comment above a longer or deeper function begins with; then it says why.
REASON = "# Long because "

SOURCES = sorted(
    path
    for folder in (*PACKAGES.values(), ROOT / "export" / "camvid", ROOT / "benchmarks")
    for path in folder.rglob("*.py")
)


def modules() -> dict[str, Path]:
    """Each module of both packages by its full name."""
    return {
        ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*.py")
    }


def imports(path: Path) -> Iterator[ast.ImportFrom]:
    """The ``from`` imports of a file, those inside functions and for type checkers too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


def names(node: ast.ImportFrom, alias: ast.alias) -> tuple[str, str]:
    """The modules that an import may mean: a submodule by its name, else the one it stands in."""
    return f"{node.module}.{alias.name}", node.module or ""


def test_no_circle_of_modules() -> None:
    known = modules()
    graph = {
        name: {
            target
            for node in imports(path)
            for alias in node.names
            for target in [next((m for m in names(node, alias) if m in known), None)]
            if target is not None and target != name
        }
        for name, path in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_private_name_crosses_modules() -> None:
    crossings = [
        f"{name}: {node.module}.{alias.name}"
        for name, path in modules().items()
        for node in imports(path)
        for alias in node.names
        if alias.name.startswith("_")
        and not alias.name.startswith("__")
        and (node.module or "").startswith(("ortcam.", "ortcam_export."))
    ]
    assert crossings == []


def test_folders_are_read_at_a_glance() -> None:
    crowded = {
        str(folder.relative_to(ROOT)): len(files)
        for package in PACKAGES.values()
        for folder in (package, *(p for p in package.rglob("*") if p.is_dir()))
        if len(files := [p for p in folder.iterdir() if p.is_file()]) > MOST_FILES
    }
    assert set(crowded) <= CATALOGUES


def code_lines(function: ast.FunctionDef, lines: list[str]) -> int:
    """The lines of a function that are neither its docstring, blank, nor comments alone."""
    body = function.body
    first = body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = (first.end_lineno or 0) if docstring else first.lineno - 1
    code = (line.strip() for line in lines[start : function.end_lineno])
    return sum(1 for line in code if line and not line.startswith("#"))


def nesting(node: ast.AST, depth: int = 0) -> int:
    """The most blocks within one another; an ``elif`` is no block of its own."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        block = isinstance(child, ast.If | ast.For | ast.While | ast.With | ast.Try)
        if isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]:
            block = False
        deepest = max(deepest, nesting(child, depth + block))
    return deepest


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short_and_shallow(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if not isinstance(node, ast.FunctionDef):
            continue
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        if lines[first - 2].strip().startswith(REASON):
            continue
        assert code_lines(node, lines) <= LONGEST, f"{node.name} is too long"
        assert nesting(node) <= DEEPEST, f"{node.name} is nested too deep"
