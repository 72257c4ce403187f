"""The pages are true: links lead somewhere, commands are the demo's, walks enter no file twice."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from demo import commands

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/README.md"]
PAGES += sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(root: Path, page: str) -> None:
    text = (root / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("https://"):
            assert (root / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_links_into_a_page_lead_to_a_heading(root: Path, page: str) -> None:
    text = (root / page).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
        linked = (root / page).parent / target if target else root / page
        headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {_anchor(heading) for heading in headings}, f"{target}#{anchor}"


def _anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub forms it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_index_lists_every_page(root: Path) -> None:
    index = (root / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (root / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(re.findall(r"\]\(([^)#]+)", index))
    assert "](docs/README.md)" in (root / "README.md").read_text(encoding="utf-8")


def test_no_walk_enters_a_file_twice(root: Path) -> None:
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    walks = text.split("\n## Three walks\n")[1].split("\n## ")[0].split("\n### ")[1:]
    assert len(walks) == 3
    for walk in walks:
        files = re.findall(r"^\d+\. `([^`]+\.py)` ", walk, re.MULTILINE)
        assert len(files) == len(re.findall(r"^\d+\. ", walk, re.MULTILINE)) > 10
        assert len(files) == len(set(files))


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_a_page_exist(root: Path, page: str) -> None:
    text = (root / page).read_text(encoding="utf-8")
    folders = (root, root / "ortcam", root / "export" / "ortcam_export")
    for path in re.findall(r"(?:ortcam|export|tests|benchmarks|docs)/[\w/]+\.\w+", text):
        assert any((folder / path).exists() for folder in folders), path


def test_the_readme_shows_the_commands_of_the_demo(root: Path) -> None:
    readme = re.sub(r" \\\n +", " ", (root / "README.md").read_text(encoding="utf-8"))
    shown = [shlex.split(line) for line in readme.splitlines() if line.startswith("    ortcam ")]
    assert len(commands(root)) == 7
    assert [command for command in shown if command in commands(root)] == commands(root)
