"""Rotary position embeddings."""

from __future__ import annotations

from ortcam_export.gradient.blocks.scatter_add import added
from ortcam_export.gradient.node import Node
from ortcam_export.gradient.table import rule
from ortcam_export.gradient.tensor import Tensor


@rule("RotaryEmbedding", inputs=[0])
def rotary_embedding(n: Node, g: Tensor) -> Tensor:
    """y = x rotated: g_x = g_y rotated back, by the same cosine and the negative sine."""
    cosine, sine, positions = n.input(1), -n.input(2), None
    if n.has(3):
        positions = n.input(3).asked().folded()
    else:
        cosine, sine = cosine.asked().folded(), sine.asked().folded()
    rotated = n.tape.op(
        "RotaryEmbedding",
        g.folded(),
        cosine.revealed(),
        sine.revealed(),
        positions,
        interleaved=n.attribute("interleaved", 0),
        num_heads=n.attribute("num_heads", 0),
        rotary_embedding_dim=n.attribute("rotary_embedding_dim", 0),
    )
    return rotated.unfolded(n.x.dim(0))


@rule("RotaryEmbedding", inputs=[1])
def rotary_embedding_cosine(n: Node, g: Tensor) -> Tensor:
    """y = (a cos - b sin, a sin + b cos): g_cos = g_a a + g_b b."""
    (ga, gb), (a, b) = _pairs(n, g), _pairs(n, n.x)
    return _cached(n, ga * a + gb * b)


@rule("RotaryEmbedding", inputs=[2])
def rotary_embedding_sine(n: Node, g: Tensor) -> Tensor:
    """y = (a cos - b sin, a sin + b cos): g_sin = g_b a - g_a b."""
    (ga, gb), (a, b) = _pairs(n, g), _pairs(n, n.x)
    return _cached(n, gb * a - ga * b)


def _pairs(n: Node, t: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs that are rotated, each half [pictures, tokens, heads, rotated / 2]."""
    if t.rank == 4:
        t = t.transpose([0, 2, 1, 3])
    else:
        heads = n.attribute("num_heads")
        t = t.reshape([t.dim(0), t.dim(1), heads, t.dim(2) // heads])
    rotated = n.attribute("rotary_embedding_dim", 0) or t.dim(3)
    t = t.slice(3, 0, rotated)
    if n.attribute("interleaved", 0):
        t = t.reshape([*t.dims[:3], rotated // 2, 2]).moved(4, 3)
    else:
        t = t.reshape([*t.dims[:3], 2, rotated // 2])
    return t.slice(3, 0, 1).squeeze([3]), t.slice(3, 1, 2).squeeze([3])


def _cached(n: Node, g: Tensor) -> Tensor:
    """The cotangent of a cache, of which each token read the row of its position, or its own."""
    g = g.sum([2])
    g = g.pad(2, 0, n.here.dim(-1) - g.dim(2))
    if not n.has(3):
        return g.reshape(n.here.dims)
    places = n.input(3).reshape([-1])
    rows = g.reshape([1, places.dim(0), n.here.dim(-1)])
    return added(rows, places, n.here.dim(0)).reshape(n.here.dims)
