"""Options in messages are spelled for the command line, and nothing else in them is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from ortcam.cli import main
from ortcam.cli.spelling import SPELLINGS, spell
from ortcam.messages import Message, Option

Run = Callable[..., Result]

#: Modules that put the names of their own parameters into a message.
FORWARDING = {"deprecated.py", "expectations.py", "survey.py"}


@pytest.mark.parametrize(
    ("option", "spelling"),
    [
        (Option("size"), "--size"),
        (Option("score", "logits"), "--score logits"),
        (Option("static", True), "--static"),
        (Option("verify", False), "--no-verify"),
        (Option("color_order"), "--bgr"),
        (Option("picture_input"), "--picture-input"),
    ],
)
def test_an_option_is_spelled_as_it_is_typed(option: Option, spelling: str) -> None:
    message = Message("choose another ", option, "; size=cut.png stays")
    assert spell(message) == f"choose another {spelling}; size=cut.png stays"
    assert spell(f"{message}") == f"{message}"


@pytest.mark.parametrize("name", ["size=cut.png", "--size.png", "verify=False.png"])
def test_a_damaged_picture_keeps_its_name(
    run: Run, artifact: Path, picture: Path, tmp_path: Path, name: str
) -> None:
    damaged = tmp_path / name
    damaged.write_bytes(picture.read_bytes()[:300])
    result = run("segment", artifact, damaged, picture, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"Error: {damaged} is truncated or damaged" in result.stderr
    result = run("segment", artifact, damaged, "-o", tmp_path / "out", "-q")
    assert result.stderr.startswith(f"Error: {damaged} is truncated or damaged")


def test_a_network_keeps_its_name(run: Run, network: Path, picture: Path, tmp_path: Path) -> None:
    odd = tmp_path / "score='x'.onnx"
    odd.write_bytes(network.read_bytes())
    result = run("info", odd)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {odd} is a plain network")
    odd.write_bytes(network.read_bytes()[:300])
    result = run("export", odd, "-o", tmp_path / "out.onnx")
    assert result.exit_code == 1
    assert f"Error: {odd.name} is not an ONNX file" in result.stderr


def options_in(source: Path) -> Iterator[Option]:
    """The options that a module puts into its messages."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="Option"), args=[ast.Constant(value=str(name)), *rest]):
                value = rest[0].value if rest and isinstance(rest[0], ast.Constant) else None
                yield Option(name, value if isinstance(value, str | bool) else None)
            case ast.Call(func=ast.Name(id="Option")):
                assert source.name in FORWARDING, f"{source}:{node.lineno} names no option"


def options_in_messages(root: Path) -> Iterator[tuple[Path, Option]]:
    for package in (root / "ortcam", root / "export" / "ortcam_export"):
        for source in sorted(package.rglob("*.py")):
            if "from ortcam.messages import" in source.read_text(encoding="utf-8"):
                yield from ((source, option) for option in options_in(source))


def test_every_option_in_a_message_is_an_option_of_a_command(root: Path) -> None:
    names = {
        name
        for command in main.commands.values()
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if not getattr(parameter, "hidden", False)
    }
    options = list(options_in_messages(root))
    assert len(options) > 50
    for source, option in options:
        if option in SPELLINGS and not SPELLINGS[option].startswith("--"):
            continue  # in words
        spelling = spell(Message(option)).split()[0]
        assert spelling in names, f"{source}: {option} is spelled {spelling}"
