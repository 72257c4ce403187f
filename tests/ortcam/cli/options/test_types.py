"""What is typed after an option, read or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from ortcam.cli.options import types as parameters


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (parameters.size, "480x360", (480, 360)),
        (parameters.size_or_native, "480x360", (480, 360)),
        (parameters.size_or_native, "native", "native"),
        (parameters.numbers, "0.5, -1,2e3", (0.5, -1.0, 2000.0)),
        (parameters.numbers, "127.5", (127.5,)),
        (parameters.scale, "1/255", 1 / 255),
        (parameters.scale, "0.5", 0.5),
    ],
)
def test_values(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (parameters.size, "480", "as in 480x360"),
        (parameters.size, "0x360", "as in 480x360"),
        (parameters.size, "native", "as in 480x360"),
        (parameters.size, "9999999x1", "as in 480x360"),
        (parameters.numbers, "1,2", "one number a channel"),
        (parameters.numbers, "a,b,c", "one number a channel"),
        (parameters.numbers, "nan,0,0", "one number a channel"),
        (parameters.scale, "1/0", "a number or a fraction"),
        (parameters.scale, "0", "a number or a fraction"),
        (parameters.scale, "1/2/3", "a number or a fraction"),
        (parameters.named_array, "a", "is not NAME=FILE.npy"),
        (parameters.named_array, "=a.npy", "is not NAME=FILE.npy"),
        (parameters.named_array, "a=not-there.npy", "cannot be read as a NumPy array"),
    ],
)
def test_refusals(read: Callable[[str], object], text: str, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        read(text)


def test_an_array_with_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a=b.npy", np.arange(3))
    name, array = parameters.named_array(f"tokens={tmp_path}/a=b.npy")
    assert name == "tokens"
    np.testing.assert_array_equal(array, [0, 1, 2])


def test_pickles_and_archives_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(click.BadParameter, match="cannot be read as a NumPy array"):
        parameters.named_array(f"a={tmp_path}/objects.npy")
    np.savez(tmp_path / "several.npz", a=1, b=2)
    with pytest.raises(click.BadParameter, match="holds several arrays"):
        parameters.named_array(f"a={tmp_path}/several.npz")
