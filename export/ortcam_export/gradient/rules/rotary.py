"""Rotary position embeddings."""

from __future__ import annotations

from ortcam_export.gradient.table import Node, rule
from ortcam_export.gradient.tensor import Tensor


@rule("RotaryEmbedding", inputs=[0])
def rotary_embedding(n: Node, g: Tensor) -> Tensor:
    """y is x turned by angles: g_x is g_y turned back, by the same cosine and minus the sine."""
    cosine, sine, positions = n.input(1), -n.input(2), None
    if n.has(3):
        positions = n.input(3).asked().folded()
    else:
        cosine, sine = cosine.asked().folded(), sine.asked().folded()
    turned = n.tape.op(
        "RotaryEmbedding",
        g.folded(),
        cosine.revealed(),
        sine.revealed(),
        positions,
        interleaved=n.attribute("interleaved", 0),
        num_heads=n.attribute("num_heads", 0),
        rotary_embedding_dim=n.attribute("rotary_embedding_dim", 0),
    )
    return turned.unfolded(n.x.dim(0))
