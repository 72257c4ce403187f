"""Write ``node_tests.md``, the results of onnx's own node tests as gradient checks.

``python docs/scripts/node_tests.py`` runs every test and writes the page, in minutes. ``--check``
runs none; it fails if the page's table and counts do not match its lists, or if a case is missing.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

import onnx
import onnxruntime

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "export")]

from onnx_cases import (  # noqa: E402
    BY_OURS,
    IN_SOME,
    PAGE,
    TOLERANCE,
    Judgement,
    Verdict,
    cases,
    judge,
    operator_of,
    recorded,
)

INTRODUCTION = """\
# onnx's node tests

<!-- Written by docs/scripts/node_tests.py: run it after changing a rule or updating onnx. -->

Measured with onnx {onnx} and onnxruntime {onnxruntime}. Each node test of onnx with a float32 input
and a float32 output is a gradient check:

- `<u, J v>`, by central differences of the forward network, and `<vjp(u), v>`, in onnxruntime,
  agree within {tolerance} of |u| |J v|;
- three questions asked at once give the same results as three asked one by one.

onnx's ReferenceEvaluator computes the differences in double precision. If it does not run the
network in double, or its result differs from onnxruntime's, onnxruntime computes them in single
precision. Names that end in `_expanded` are the same tests of an operator's ONNX function body.

Of {total} cases, {outside} have no gradient to check, as measured: onnxruntime does not run the
case, its output is not finite, or in every input the differences of two step sizes, or of the two
sides, disagree. Of the other {inside}, **{passed} pass** and {listed} fail. The lists below name
them.

| operator | cases | without a gradient | pass | fail |
|---|---|---|---|---|
{rows}
"""


def page(judged: dict[str, Judgement]) -> str:
    """Return the whole page, from the judgement of each case."""
    counts = Counter(judgement.verdict for judgement in judged.values())
    outside = sum(count for verdict, count in counts.items() if verdict.outside)
    passed = counts[Verdict.PASSED]
    text = INTRODUCTION.format(
        onnx=onnx.__version__,
        onnxruntime=onnxruntime.__version__,
        tolerance=TOLERANCE,
        total=len(judged),
        outside=outside,
        inside=len(judged) - outside,
        passed=passed,
        listed=len(judged) - outside - passed,
        rows="\n".join(_rows(judged)),
    )
    for verdict in Verdict:
        if verdict is not Verdict.PASSED and counts[verdict]:
            text += f"\n## {counts[verdict]}: {verdict.value}\n\n"
            text += "".join(_line(n, j) for n, j in judged.items() if j.verdict is verdict)
    ours = [name for name, judgement in judged.items() if judgement.passed and judgement.ours]
    text += f"\n## {len(ours)} {BY_OURS}\n\n"
    text += "".join(f"- `{name}`\n" for name in ours)
    bends = {n: j.bends for n, j in judged.items() if j.passed and j.bends}
    text += f"\n## {len(bends)} {IN_SOME}\n\n"
    return text + "".join(f"- `{name}`: {', '.join(inputs)}\n" for name, inputs in bends.items())


def _rows(judged: dict[str, Judgement]) -> list[str]:
    by_operator = defaultdict(list)
    for name, judgement in judged.items():
        by_operator[operator_of(name)].append(judgement)
    rows = []
    for operator, ones in sorted(by_operator.items()):
        outside = sum(one.verdict.outside for one in ones)
        passed = sum(one.passed for one in ones)
        numbers = (len(ones), outside, passed, len(ones) - outside - passed)
        rows.append(f"| {operator} | {' | '.join(str(n or '') for n in numbers)} |")
    return rows


def _line(name: str, judgement: Judgement) -> str:
    why = f" ({judgement.measured})" if judgement.measured else ""
    return f"- `{name}`{why}\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if (judged := recorded()) is None:  # written with versions other than those installed
            sys.exit()
        if PAGE.read_text(encoding="utf-8") != page(judged):
            sys.exit(f"{PAGE} is not current: run python docs/scripts/node_tests.py")
    else:
        text = page({name: judge(name) for name in sorted(cases())})
        PAGE.write_text(text, encoding="utf-8")
