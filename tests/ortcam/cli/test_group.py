"""Help is quick and light, and every failure is one sentence and an exit code."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

from ortcam.cli.group import DEBUG, Commands
from ortcam.errors import LayerError

COMMANDS = ("layers", "export", "info", "segment", "explain", "report", "evaluate")


def end_with(error: BaseException, **environment: str) -> Result:
    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(group, ["fail"], env={DEBUG: None, **environment})


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LayerError("there is no layer 'a'"), "there is no layer 'a'"),
        (MemoryError(), "there is not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device", "x.png"), "No space left on device: x"),
        (KeyError("a"), "an unexpected KeyError ('a'); set ORTCAM_DEBUG=1 to see where"),
        (RuntimeError("two\n  lines"), "an unexpected RuntimeError (two lines); set"),
    ],
)
def test_an_exception_is_one_sentence(error: Exception, message: str) -> None:
    result = end_with(error)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_debug_shows_the_traceback() -> None:
    error = LayerError("there is no layer 'a'")
    assert end_with(error, **{DEBUG: "1"}).exception is error
    assert isinstance(end_with(error, **{DEBUG: "0"}).exception, SystemExit)


def test_an_interrupt_prints_no_traceback() -> None:
    result = end_with(KeyboardInterrupt())
    assert result.exit_code == 1
    assert result.stderr.strip() == "Aborted!"


def test_wrong_usage_has_exit_code_2() -> None:
    result = end_with(click.UsageError("wrong"))
    assert result.exit_code == 2
    assert "Error: wrong" in result.stderr


def test_a_closed_pipe_is_silent() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "ortcam", "explain", "-h"], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.parametrize("arguments", [["--help"], *([name, "-h"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from ortcam.cli import main\n"
        "try: main(sys.argv[1:], prog_name='ortcam')\n"
        "finally: print(sorted({'onnx', 'onnx_ir', 'onnxruntime', 'matplotlib', 'torch'}\n"
        "                      & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert "Usage: ortcam" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_commands_are_lines_in_the_order_of_their_use(run: Callable[..., Result]) -> None:
    lines = run("-h").stdout.split("Commands:")[1].split("\n")
    assert tuple(line.split()[0] for line in lines if line.strip()) == COMMANDS


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ortcam", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ortcam, version ")
