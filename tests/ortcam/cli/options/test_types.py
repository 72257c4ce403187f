"""Values of options, converted or rejected."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from ortcam.cli.options import types


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (types.size, "480x360", (480, 360)),
        (types.size_or_native, "480x360", (480, 360)),
        (types.size_or_native, "native", "native"),
        (types.numbers, "0.5, -1,2e3", (0.5, -1.0, 2000.0)),
        (types.numbers, "127.5", (127.5,)),
        (types.numbers, "1,2", (1.0, 2.0)),
        (types.numbers, ",".join("0" * 13), (0.0,) * 13),
        (types.factor, "1/255", 1 / 255),
        (types.factor, "0.5", 0.5),
    ],
)
def test_values(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (types.size, "480", "as in 480x360"),
        (types.size, "0x360", "as in 480x360"),
        (types.size, "native", "as in 480x360"),
        (types.size, "9999999x1", "as in 480x360"),
        (types.numbers, "1,", "one number per channel"),
        (types.numbers, "a,b,c", "one number per channel"),
        (types.numbers, "nan,0,0", "one number per channel"),
        (types.factor, "1/0", "a number or a fraction"),
        (types.factor, "0", "a number or a fraction"),
        (types.factor, "1/2/3", "a number or a fraction"),
        (types.named_input, "a", "is not NAME=FILE, with a .npy file or a picture"),
        (types.named_input, "=a.npy", "is not NAME=FILE, with a .npy file or a picture"),
        (types.named_input, "a=not-there.npy", "There is no file 'not-there.npy'"),
    ],
)
def test_invalid_values(read: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        read(text)


def test_an_array_with_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a=b.npy", np.arange(3))
    name, array = types.named_input(f"tokens={tmp_path}/a=b.npy")
    assert name == "tokens"
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, [0, 1, 2])


def test_a_picture_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "b.png"
    path.touch()
    assert types.named_input(f"ct={path}") == ("ct", path)


def test_pickles_and_archives_are_refused_in_one_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([1]))
    for name in ("objects.npy", "pickle.npy"):
        with pytest.raises(click.BadParameter) as caught:
            types.named_input(f"a={tmp_path}/{name}")
        assert caught.value.message == (
            f"{tmp_path}/{name} cannot be read as a NumPy array of numbers; write it by numpy.save."
        )
    np.savez(tmp_path / "several.npz", a=1, b=2)
    with pytest.raises(click.BadParameter, match="holds several arrays"):
        types.named_input(f"a={tmp_path}/several.npz")


def test_several_pictures_for_one_input_are_one_for_each_picture() -> None:
    a, b = Path("a.png"), Path("b.png")
    assert types.by_name([("ct", a), ("ct", b), ("mr", a)]) == {"ct": [a, b], "mr": a}
    with pytest.raises(click.BadParameter, match=r"'age' has several values\."):
        types.by_name([("age", np.ones(1)), ("age", np.ones(1))])
