"""Options under their old names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ortcam.cli import main
from ortcam.cli.options.decorators import renamed_option, stack

Run = Callable[..., Result]

RENAMED = {
    "export": {"--scale": "--rescale", "--picture": "--picture-input"},
    "layers": {"--scale": "--rescale"},
    "evaluate": {"--least": "--min-area"},
}


@click.command()
@click.option("--rescale", "factor", type=float, default=1.0)
@renamed_option("--scale", "--rescale", "factor")
def command(factor: float) -> None:
    click.echo(f"{factor}")


@pytest.mark.parametrize(
    ("arguments", "output", "warning"),
    [
        ([], "1.0\n", ""),
        (["--rescale", "2"], "2.0\n", ""),
        (["--scale", "2"], "2.0\n", "warning: --scale is now --rescale\n"),
        (["--scale=2"], "2.0\n", "warning: --scale is now --rescale\n"),
        (["--scale", "2", "--rescale", "3"], "3.0\n", "warning: --scale is now --rescale\n"),
        (["--rescale", "3", "--scale", "2"], "3.0\n", "warning: --scale is now --rescale\n"),
    ],
    ids=" ".join,
)
def test_an_old_name_works_with_a_warning(arguments: list[str], output: str, warning: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert (result.stdout, result.stderr) == (output, warning)


def test_a_wrong_value_is_reported_under_the_new_name() -> None:
    result = CliRunner().invoke(command, ["--scale", "two"])
    assert result.exit_code == 2
    assert "Invalid value for '--rescale': 'two' is not a valid float." in result.stderr


def test_one_call_does_not_change_the_next() -> None:
    assert CliRunner().invoke(command, ["--scale", "2"]).stdout == "2.0\n"
    assert CliRunner().invoke(command, []).stdout == "1.0\n"


def test_a_stack_keeps_its_order() -> None:
    options = stack(click.option("--a"), click.option("--b"), click.option("--c"))
    stacked = click.command()(options(lambda: None))
    assert [parameter.name for parameter in stacked.params] == ["a", "b", "c"]


def test_these_options_have_old_names() -> None:
    hidden = {
        name: {p.opts[0]: (p.help or "").split()[-1].rstrip(".") for p in c.params if is_hidden(p)}
        for name, c in main.commands.items()
    }
    assert {name: names for name, names in hidden.items() if names} == RENAMED


def is_hidden(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.hidden


@pytest.mark.parametrize("name", RENAMED)
def test_old_names_are_not_in_the_help(run: Run, name: str) -> None:
    words = run(name, "--help").stdout.split()
    for old, new in RENAMED[name].items():
        assert new in words
        assert old not in words


def test_an_export_by_old_names_is_the_same(run: Run, network: Path, tmp_path: Path) -> None:
    artifacts = []
    for rescale, picture in (("--rescale", "--picture-input"), ("--scale", "--picture")):
        out = tmp_path / "a.onnx"
        options = (rescale, "1/128", picture, "picture", "--no-verify")
        result = run("export", network, "-o", out, *options)
        assert result.exit_code == 0, result.output
        artifacts.append(out.read_bytes())
    assert artifacts[0] == artifacts[1]
    assert sorted(result.stderr.splitlines()) == [
        "warning: --picture is now --picture-input",
        "warning: --scale is now --rescale",
    ]


def test_layers_needs_a_picture_for_an_old_name_too(run: Run, network: Path) -> None:
    result = run("layers", network, "--scale", "1/255")
    assert result.exit_code == 2
    assert "--rescale needs a picture: add --picture FILE." in result.stderr
