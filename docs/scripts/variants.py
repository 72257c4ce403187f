"""Write ``variants.md``: the same networks in other forms, and whether they are explained alike.

``python docs/scripts/variants.py`` runs the networks of the tests, in two minutes. With ``--zoo``,
and a part of a name, it also runs the networks of ``benchmarks.zoo`` whose names contain it, which
PyTorch exports; this takes PyTorch, and minutes each. Results are kept in ``variants.json``, where
those of networks that are not run remain. ``--check`` runs nothing; it fails if the page does not
match the results, or if they lack a network or a variant of the tests.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "export")]

PAGE, RESULTS = (ROOT / "docs" / f"variants.{suffix}" for suffix in ("md", "json"))

#: The packages whose versions a result depends on.
PACKAGES = ("onnx", "onnx-ir", "onnxruntime")
ZOO_PACKAGES = ("torch", "torchvision", "timm", "segmentation_models_pytorch")

#: The forms in which PyTorch exports a network, and those that are made of its file. The first is
#: the original: opset 18 from the exporter through TorchScript, batch 1, with shapes.
ZOO_VARIANTS = (
    "torch.export",
    "opset 11",
    "opset 13",
    "opset 17",
    "newest opset",
    "batch N",
    "batch -1",
    "channels last",
    "without shapes",
)

#: Rows of the results, by part: {network: {variant: outcome}}.
Rows = dict[str, dict[str, str]]

INTRODUCTION = """\
# The same network in other forms

<!-- Written by docs/scripts/variants.py: run it after changing how networks are read. -->

A file may give the same network in many forms. Each form below is exported with the options of the
original, and the explanations are compared: the kind of the score, its values, the feature layer's
values, and the map of the first and of the last class before its ReLU. Names may differ. "=" means
that the kind is the same and that the values agree within {tolerance:g} of the greatest one
({half:.1g} for a network that computes in float16); a number refers to the list below a table.

"Channels last" puts a Transpose behind the picture, and one before each output with axes of space,
as converters from TensorFlow do. "With shapes" and "without shapes" add the shapes that onnx infers
to the file, or remove all but those of the inputs.
"""

OWN = """
## Networks of the tests

Measured with {versions}.

The originals ([tests/support/networks.py](../tests/support/networks.py)) have opset 18 unless
their name says otherwise, batch N, and no shapes but those of their inputs and outputs. Opset
{newest} is the newest that this onnx knows. Forms of opset 11 and 13 are written as exporters of
the time did: a Softmax over channels between two Transposes, LayerNormalization by its formula.
"""

ZOO = """
## Networks of torchvision and segmentation_models_pytorch

Measured with {versions}.

The networks have random weights ([benchmarks/zoo](../benchmarks/zoo)). PyTorch's exporter through
TorchScript makes the originals, with opset 18, batch 1 and shapes, and those of the other opsets
but the newest and of batch N; "torch.export" is its other exporter.
"""


@click.command()
@click.option("--zoo", metavar="PATTERN", help="Run the networks of benchmarks.zoo as well.")
@click.option("--check", is_flag=True, help="Run nothing; check that the page is complete.")
def main(zoo: str | None, check: bool) -> None:
    """Compare the explanations of networks in several forms, and write the page."""
    if check:
        _check()
        return
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if zoo is None:
        results["tests"] = {"versions": _versions(PACKAGES), "rows": _own()}
        _write(results)
        return
    part = results.setdefault("zoo", {"rows": {}})
    part["versions"] = _versions((*PACKAGES, *ZOO_PACKAGES))
    from benchmarks.zoo import networks  # imports torch

    for network in networks.NETWORKS:
        if zoo in network.name:
            part["rows"][network.name] = _zoo(network)
            click.echo(f"{network.name}: {part['rows'][network.name]}")
            _write(results)


def _own() -> Rows:
    """The outcome of each network of the tests in each variant."""
    from variants import NETWORKS, VARIANTS, explained, options_of, outcome, pictures

    rows: Rows = {}
    for name, (make, _) in NETWORKS.items():
        feeds, options = pictures(make()), options_of(name)
        original = explained(make(), feeds, options)
        rows[name] = {
            column: outcome(original, lambda: write(make()), feeds, options)  # noqa: B023
            for column, write in VARIANTS.items()
        }
        click.echo(name)
    return rows


def _zoo(network: Any) -> dict[str, str]:
    """The outcome of a network of the zoo in each variant."""
    import onnx
    from variants import VARIANTS, explained, outcome

    from benchmarks.zoo.networks import build, picture

    x = picture(network)
    options = {"size": (network.side, network.side), "divisor": 1}
    with tempfile.TemporaryDirectory() as folder:
        export = partial(_exported, build(network), x, Path(folder) / "network.onnx")
        base = export().SerializeToString()
        dynamic = partial(export, dynamic_axes={"input": {0: "N"}, "output": {0: "N"}})
        feeds = {"input": x.numpy()}
        original = explained(onnx.load_from_string(base), feeds, options)
        if original.refusal:
            return dict.fromkeys(ZOO_VARIANTS, f"the original is refused: {original.refusal}")
        forms: dict[str, Callable[[], onnx.ModelProto]] = {
            "torch.export": partial(export, dynamo=True, external_data=False),
            **{f"opset {n}": partial(export, opset_version=n) for n in (11, 13, 17)},
            "newest opset": lambda: VARIANTS["newest opset"](onnx.load_from_string(base)),
            "batch N": dynamic,
            "batch -1": lambda: VARIANTS["batch -1"](dynamic()),
            "channels last": lambda: VARIANTS["channels last"](onnx.load_from_string(base)),
            "without shapes": lambda: VARIANTS["without shapes"](onnx.load_from_string(base)),
        }
        return {name: outcome(original, make, feeds, options) for name, make in forms.items()}


def _exported(model: Any, x: Any, path: Path, **options: Any) -> Any:
    """A module's file by one of PyTorch's exporters.

    Raises:
        UnwrittenError: the exporter fails.
    """
    import contextlib
    import io
    import warnings

    import onnx
    import torch
    from lowering import UnwrittenError

    from benchmarks.zoo.networks import OPSET

    options = {"dynamo": False, "opset_version": OPSET, **options}
    names = {"input_names": ["input"], "output_names": ["output"]}
    quiet = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
    ):
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(model, (x,), path, **names, **options)
        except Exception as error:  # of many kinds
            raise UnwrittenError(f"PyTorch's exporter: {str(error).strip()[:120]}") from error
    return onnx.load(path)


# ---- The page ---------------------------------------------------------------------------------


def page(results: Mapping[str, Any]) -> str:
    """Return the page of the results."""
    from variants import HALF_TOLERANCE, NEWEST, TOLERANCE, VARIANTS

    text = INTRODUCTION.format(tolerance=TOLERANCE, half=HALF_TOLERANCE)
    for part, introduction, columns in (
        ("tests", OWN, tuple(VARIANTS)),
        ("zoo", ZOO, ZOO_VARIANTS),
    ):
        if part in results:
            versions = ", ".join(f"{name} {v}" for name, v in results[part]["versions"].items())
            text += introduction.format(versions=versions, newest=NEWEST)
            text += _table(results[part]["rows"], columns)
    return text


def _table(rows: Rows, columns: tuple[str, ...]) -> str:
    """The rows of a table, and a list of its outcomes that are not the same."""
    notes: dict[str, int] = {}
    lines = [f"| network | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, outcomes in rows.items():
        cells = []
        for column in columns:
            outcome = " ".join(outcomes[column].split())
            cells.append(
                "=" if outcome == "same" else str(notes.setdefault(outcome, len(notes) + 1))
            )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    counts = [outcomes[column] for outcomes in rows.values() for column in columns]
    total = f"\n{counts.count('same')} of {len(counts)} are explained alike.\n\n"
    return total + "\n".join(lines) + "\n\n" + "".join(f"{n}. {o}\n" for o, n in notes.items())


def _write(results: Mapping[str, Any]) -> None:
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: metadata.version(name) for name in packages}


def _check() -> None:
    from variants import NETWORKS, VARIANTS

    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    rows = results["tests"]["rows"]
    if list(rows) != list(NETWORKS) or any(list(row) != list(VARIANTS) for row in rows.values()):
        sys.exit(f"{RESULTS} lacks networks or variants: run python docs/scripts/variants.py")
    if PAGE.read_text(encoding="utf-8") != page(results):
        sys.exit(f"{PAGE} is not that of its results: run python docs/scripts/variants.py")


if __name__ == "__main__":
    main()
