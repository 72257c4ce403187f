"""Einsum: the gradient of a sum of products is one, with the cotangent in place of the operand."""

from __future__ import annotations

from collections import Counter
from string import ascii_letters

from ortcam_export.gradient.blocks.unbroadcast import summed_to
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Dim, Tensor


@rule("Einsum")
def einsum(n: Node, g: Tensor) -> Tensor:
    """y = sum A B ...: g_A = sum g B ..., repeated along the letters that only A has."""
    terms, result = _letters(n)
    n.y.ranked(len(result))
    here = terms[n.index]
    factors, others = [], []
    for i, (operand, term) in enumerate(zip(n.inputs, terms, strict=True)):
        if i != n.index:
            factors.append(operand)
            others.append(term)
    summed = {letter for term in (result, *others) for letter in term}
    letters = list(dict.fromkeys(letter for letter in here if letter in summed))
    k = next(letter for letter in ascii_letters if letter not in {*summed, *here})
    equation = f"{','.join([k + result, *others])}->{k}{''.join(letters)}"
    full = n.tape.op("Einsum", g.asked(), *factors, lead=1, equation=equation).ranked(len(letters))
    extents = _extents(n, terms, result)
    full.stamped([n.tape.questions, *(extents[letter] for letter in letters)])
    return _laid_out(n, full, letters, here, extents)


def _laid_out(
    n: Node, full: Tensor, letters: list[str], here: str, extents: dict[str, Dim]
) -> Tensor:
    """A cotangent over some letters of an operand, laid out over all of them."""
    order = [letter for letter in dict.fromkeys(here) if letter in letters]
    full = full.transpose([letters.index(letter) for letter in order])
    missing = [i for i, letter in enumerate(here) if letter not in letters or letter in here[:i]]
    full = full.unsqueeze(missing)
    for i, letter in enumerate(here):  # a letter that occurs twice: the diagonal
        first = here.index(letter)
        if first < i:
            places = n.tape.arange(extents[letter])
            diagonal = places.unsqueeze([1]).equals(places)
            others = [axis for axis in range(len(here)) if axis not in (first, i)]
            full = full.masked(diagonal.unsqueeze(others))
    full = full.expand([extents[letter] for letter in here])
    return summed_to(full, full.dims, n.here)


def _letters(n: Node) -> tuple[list[str], str]:
    """The letters of the operands and the result, including those of an ellipsis."""
    equation = n.attribute("equation").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if not arrow:  # the letters that occur once, in alphabetical order
        counts = Counter(left.replace(",", "").replace(".", ""))
        once = "".join(sorted(letter for letter, count in counts.items() if count == 1))
        result = ("..." if "..." in left else "") + once
    unused = [letter for letter in ascii_letters if letter not in equation]
    ranks = [x.rank - len(t.replace("...", "")) for x, t in zip(n.inputs, terms, strict=True)]
    most = max((r for r, term in zip(ranks, terms, strict=True) if "..." in term), default=0)
    spare = "".join(unused[:most])
    explicit = [
        term.replace("...", spare[len(spare) - rank :] if rank else "")
        for term, rank in zip(terms, ranks, strict=True)
    ]
    return explicit, result.replace("...", spare)


def _extents(n: Node, terms: list[str], result: str) -> dict[str, Dim]:
    """The extent of each letter: the result's, since an operand may have 1 for an ellipsis."""
    pairs = zip([*n.inputs, n.y], [*terms, result], strict=True)
    return {letter: x.dim(axis) for x, term in pairs for axis, letter in enumerate(term)}
