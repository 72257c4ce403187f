"""The command ``ortcam``: one module per command, and what they share.

No module imports onnxruntime, onnx or matplotlib before a command needs them, so that
``ortcam --help`` answers at once and works without them.
"""

from __future__ import annotations

import click

from ortcam.cli.commands import evaluate, explain, export, info, layers, report, segment
from ortcam.cli.group import Commands
from ortcam.version import __version__

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ortcam")
def main() -> None:
    """Grad-CAM for deployed ONNX networks, in ONNX Runtime itself.

    Export a network once; its artifact then segments and explains pictures wherever ONNX Runtime
    runs:

    \b
      ortcam layers network.onnx
      ortcam export network.onnx -o network.cam.onnx
      ortcam explain network.cam.onnx street.png -c Road -c Car -o explain.png
    """  # noqa: D301 (click's \b, which keeps the lines below it as they are)


for module in (layers, export, info, segment, explain, report, evaluate):
    main.add_command(module.command)
