"""The formulas, place by place in float64, and what some of them prove equal."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ortcam.methods import cam_formulas as formulas

Array = NDArray[Any]

K, C, H, W = 3, 5, 7, 6


def drawn(seed: int = 0) -> tuple[Array, Array]:
    """Features that a ReLU left, and gradients."""
    r = np.random.default_rng(seed)
    features = np.maximum(r.normal(size=(C, H, W)), 0).astype(np.float32)
    return features, r.normal(size=(K, C, H, W)).astype(np.float32)


def close(found: Array, expected: Array) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def everywhere(of: Callable[[int, int, int], float]) -> Array:
    """[K, H, W], the value at each question and place."""
    return np.array([[[of(k, y, x) for x in range(W)] for y in range(H)] for k in range(K)])


def test_hires_cam() -> None:
    a, g = drawn()
    sums = everywhere(lambda k, y, x: sum(float(g[k, c, y, x]) * a[c, y, x] for c in range(C)))
    close(formulas.hires_cam(a, g), sums)


def test_layer_cam() -> None:
    a, g = drawn()
    sums = everywhere(
        lambda k, y, x: sum(max(float(g[k, c, y, x]), 0) * a[c, y, x] for c in range(C))
    )
    close(formulas.layer_cam(a, g), sums)


def test_grad_cam_plus_plus() -> None:
    a, g = (v.astype(np.float64) for v in drawn())
    weights = np.zeros((K, C))
    for k, c, y, x in product(range(K), range(C), range(H), range(W)):
        s = g[k, c, y, x]
        weights[k, c] += max(s, 0) * s**2 / (2 * s**2 + s**3 * a[c].sum() + 1e-6)
    close(formulas.grad_cam_plus_plus(*drawn()), weights)


def test_xgrad_cam() -> None:
    a, g = (v.astype(np.float64) for v in drawn())
    weights = [[(g[k, c] * a[c]).sum() / a[c].sum() for c in range(C)] for k in range(K)]
    close(formulas.xgrad_cam(*drawn()), np.array(weights))


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize("block", [1, 2, 3, 4, 20])
def test_seg_xres_cam(block: int, pool: str) -> None:
    a, g = drawn()
    reductions: dict[str, Callable[[Array], Any]] = {"max": np.max, "mean": np.mean}
    of = reductions[pool]

    def pooled(k: int, c: int, y: int, x: int) -> float:
        top, left = y // block * block, x // block * block
        return float(of(g[k, c, top : top + block, left : left + block].astype(np.float64)))

    sums = everywhere(lambda k, y, x: sum(pooled(k, c, y, x) * a[c, y, x] for c in range(C)))
    close(formulas.seg_xres_cam(a, g, block, pool), sums)


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 20])
def test_stretched_blocks(block: int, pool: str) -> None:
    """block_reduce of scikit-image, then scipy's zoom, as its resize calls it."""
    ndimage = pytest.importorskip("scipy.ndimage")
    a, g = drawn()
    high, wide = -(-H // block), -(-W // block)
    filled = np.zeros((K, C, high * block, wide * block))
    filled[..., :H, :W] = g
    blocks = filled.reshape(K, C, high, block, wide, block)
    pooled = blocks.max(axis=(3, 5)) if pool == "max" else blocks.mean(axis=(3, 5))
    stretched = ndimage.zoom(
        pooled, (1, 1, H / high, W / wide), order=0, mode="mirror", grid_mode=True
    )
    found = formulas.seg_xres_cam(a, g, block, pool, "stretched")
    close(found, (stretched * a).sum(axis=1))
    alike = np.allclose(found, formulas.seg_xres_cam(a, g, block, pool), rtol=1e-4)
    assert alike == (block == 1 or (block, pool) == (20, "max"))


def test_blocks_lead_from_hires_cam_to_grad_cam() -> None:
    a, g = drawn()
    close(formulas.seg_xres_cam(a, g, 1), formulas.hires_cam(a, g))
    grad_cam = np.einsum("kc,chw->khw", g.mean(axis=(2, 3)), a)
    close(formulas.seg_xres_cam(a, g, 20, "mean"), grad_cam)


def test_hires_cam_is_grad_cam_where_gradients_are_the_same_all_over() -> None:
    """As before a global average pool and a linear layer."""
    a, g = drawn()
    flat = np.broadcast_to(g[:, :, :1, :1], g.shape)
    sums = np.einsum("kc,chw->khw", flat.mean(axis=(2, 3)), a)
    close(formulas.hires_cam(a, flat), sums)
    close(np.einsum("kc,chw->khw", formulas.xgrad_cam(a, flat), a), sums)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("channels", [5, 60])
def test_the_sign_of_the_decomposition(channels: int, seed: int) -> None:
    """That of all of U, which the formula does not compute."""
    r = np.random.default_rng(seed)
    a = np.maximum(r.normal(size=(channels, H, W)), 0).astype(np.float32)
    cells = a.reshape(channels, -1).T
    cells = cells - cells.mean(axis=0)
    projection = cells @ np.linalg.svd(cells, full_matrices=True)[2][0]
    found = formulas.eigen_cam(a, "svd")
    close(found, projection.reshape(H, W))
    close(np.abs(found), np.abs(formulas.eigen_cam(a)))


@pytest.mark.parametrize("channels", [5, 60])
def test_eigen_cam(channels: int) -> None:
    """By a singular value decomposition, for more cells than channels and for fewer."""
    r = np.random.default_rng(1)
    a = np.maximum(r.normal(size=(channels, H, W)), 0).astype(np.float32)
    cells = a.reshape(channels, -1).T.astype(np.float64)
    u, s, v = np.linalg.svd(cells - cells.mean(axis=0), full_matrices=False)
    first = (u[:, 0] * s[0]).reshape(H, W)
    sign = np.sign(cells.mean(axis=0) @ v[0])
    assert sign != 0
    close(formulas.eigen_cam(a), sign * first)
    g = r.normal(size=(K, channels, H, W)).astype(np.float32)
    for own, found in zip(g, formulas.eigen_grad_cam(a, g), strict=True):
        np.testing.assert_array_equal(found, formulas.eigen_cam(own * a))


def test_places_without_evidence_are_dark() -> None:
    """Also where most of what there is speaks against the class."""
    a, g = drawn()
    g[:, :, :3] = 0
    for direction in (1, -1):
        found = formulas.eigen_grad_cam(a, direction * np.abs(g))
        assert (found[:, :3] < 0).all()
        assert (found > 0).any(axis=(1, 2)).all()
    a[:, 4:] = 0
    assert (formulas.eigen_cam(a)[4:] < 0).all()


def test_principal_components_of_what_is_no_number() -> None:
    a, g = drawn()
    a[0, 0, 0] = np.nan
    assert np.isnan(formulas.eigen_cam(a)).all()
    assert np.isnan(formulas.eigen_grad_cam(a, g)).all()


def test_volumes_are_as_pictures() -> None:
    r = np.random.default_rng(2)
    a = np.maximum(r.normal(size=(C, 4, H, W)), 0).astype(np.float32)
    g = r.normal(size=(K, C, 4, H, W)).astype(np.float32)
    rows = (a.reshape(C, 4 * H, W), g.reshape(K, C, 4 * H, W))
    for formula in (
        formulas.hires_cam,
        formulas.layer_cam,
        formulas.eigen_grad_cam,
        formulas.grad_cam_plus_plus,
        formulas.xgrad_cam,
    ):
        found, flat = formula(a, g), formula(*rows)
        close(found.reshape(flat.shape), flat)
    assert formulas.seg_xres_cam(a, g, 3).shape == (K, 4, H, W)


@pytest.mark.parametrize("channels", ["max", "sum"])
@pytest.mark.parametrize("sign", ["absolute", "positive", "negative"])
def test_gradient(channels: str, sign: str) -> None:
    _, g = drawn()
    parts: dict[str, Callable[[float], float]] = {
        "absolute": abs,
        "positive": lambda v: max(v, 0),
        "negative": lambda v: max(-v, 0),
    }
    reductions: dict[str, Callable[[list[float]], float]] = {"max": max, "sum": sum}
    part, of = parts[sign], reductions[channels]
    expected = everywhere(lambda k, y, x: of([part(float(g[k, c, y, x])) for c in range(C)]))
    close(formulas.gradient(g, channels, sign), expected)


def test_score_cam() -> None:
    r = np.random.default_rng(4)
    y, nothing = r.normal(size=(K, C)), r.normal(size=K)
    increase = np.array([[y[k, c] - nothing[k] for c in range(C)] for k in range(K)])
    close(formulas.score_cam(y, nothing, "increase"), increase)
    close(
        formulas.score_cam(1000 + y, nothing, "softmax"),
        np.exp(increase) / np.exp(increase).sum(axis=1)[:, None],
    )


def test_ablation_cam() -> None:
    y = np.array([[2.0, -4.0], [0.0, 0.5]])
    drops = np.array(
        [[[1, 1], [-2, -2]], [[3, 3], [0, 1]]], np.float32
    )  # [questions, channels, pictures]
    expected = [[[0.5, 0.25], [-1, -0.5]], [[3, 6], [0, 2]]]
    close(formulas.ablation_cam(y, drops), np.array(expected))
    expected = [[[0.5, -0.25], [-1, 0.5]], [[3, 6], [0, 2]]]
    close(formulas.ablation_cam(y, drops, "score"), np.array(expected))
