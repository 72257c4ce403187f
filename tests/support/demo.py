"""The commands of the session ``demo`` in noxfile.py."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path


def commands(root: Path) -> list[list[str]]:
    """The words of each command, read without running the file: the tests have no nox."""
    tree = ast.parse((root / "noxfile.py").read_text(encoding="utf-8"))
    (text,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DEMO"
    )
    return [shlex.split(line) for line in text.strip().splitlines()]
