"""Einsum: the gradient of a sum of products is one, with the cotangent in the operand's place."""

from __future__ import annotations

from collections import Counter
from string import ascii_letters

from ortcam_export.gradient.blocks.unbroadcast import summed_to
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Dim, Tensor


@rule("Einsum")
def einsum(n: Node, g: Tensor) -> Tensor:
    """y = sum A B ..: g_A = sum g B .., repeated along the letters that only A has."""
    terms, result = _letters(n)
    n.y.ranked(len(result))
    own = terms[n.index]
    factors, given = [], []
    for i, (operand, term) in enumerate(zip(n.inputs, terms, strict=True)):
        if i != n.index:
            factors.append(operand)
            given.append(term)
    found = {letter for term in (result, *given) for letter in term}
    letters = list(dict.fromkeys(letter for letter in own if letter in found))
    asked = next(letter for letter in ascii_letters if letter not in {*found, *own})
    equation = f"{','.join([asked + result, *given])}->{asked}{''.join(letters)}"
    full = n.tape.op("Einsum", g.asked(), *factors, lead=1, equation=equation).ranked(len(letters))
    extents = _extents(n, terms, result)
    full.stamped([n.tape.questions, *(extents[letter] for letter in letters)])
    return _laid_out(n, full, letters, own, extents)


def _laid_out(
    n: Node, full: Tensor, letters: list[str], own: str, extents: dict[str, Dim]
) -> Tensor:
    """A cotangent over some letters of an operand as one of its shape."""
    order = [letter for letter in dict.fromkeys(own) if letter in letters]
    full = full.transpose([letters.index(letter) for letter in order])
    missing = [i for i, letter in enumerate(own) if letter not in letters or letter in own[:i]]
    full = full.unsqueeze(missing)
    for i, letter in enumerate(own):  # a letter that is there twice: the diagonal
        first = own.index(letter)
        if first < i:
            places = n.tape.arange(extents[letter])
            diagonal = places.unsqueeze([1]).equals(places)
            others = [axis for axis in range(len(own)) if axis not in (first, i)]
            full = full.masked(diagonal.unsqueeze(others))
    full = full.expand([extents[letter] for letter in own])
    return summed_to(full, full.dims, n.here)


def _letters(n: Node) -> tuple[list[str], str]:
    """The operands' letters and the result's, those of an ellipsis among them."""
    equation = n.attribute("equation").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    if not arrow:  # the letters that are there once, in the order of the alphabet
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
    """The extent of each letter: the result's, as of an ellipsis's an operand may have 1."""
    pairs = zip([*n.inputs, n.y], [*terms, result], strict=True)
    return {letter: x.dim(axis) for x, term in pairs for axis, letter in enumerate(term)}
