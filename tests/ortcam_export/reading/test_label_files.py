from __future__ import annotations

import json
from pathlib import Path

import pytest

from ortcam.errors import InputError
from ortcam_export.reading.label_files import read_colors, read_labels


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.txt"


@pytest.mark.parametrize(
    "text",
    [
        "Sky\nRoad\nParked car\n",
        "\ufeffSky\r\nRoad\r\n\r\n  Parked car  ",
        '["Sky", "Road", "Parked car"]',
        '{"0": "Sky", "2": "Parked car", "1": "Road"}',
        '{"Road": 1, "Sky": 0, "Parked car": 2}',
    ],
)
def test_labels(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="")
    assert read_labels(file) == ("Sky", "Road", "Parked car")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "labels.txt names no class; write one per line"),
        ("[1, 2]", "labels.txt is JSON, but not a list of class names"),
        ("[", "labels.txt is not valid JSON"),
        ('{"0": "a", "2": "b"}', "labels.txt does not number its 2 classes from 0"),
        ('{"a": "b"}', "labels.txt does not give an index for each class name"),
        ("Sky\n\x1b[31mred", "not printable"),
        ("a" * 301, "over 300 characters"),
        ("[" * 100_000, "labels.txt is not valid JSON"),
    ],
)
def test_labels_that_are_none(file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_labels(file)
    assert sentence in str(caught.value)


def test_a_file_that_is_no_label_file(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_labels(file)
    with pytest.raises(InputError, match="there is no file"):
        read_labels(tmp_path)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        read_labels(file)
    with file.open("wb") as f:
        f.truncate(5 * 2**20)
    with pytest.raises(InputError, match="is larger than 4 MB"):
        read_labels(file)


SKY, ROAD = (128, 128, 128), (128, 64, 128)


@pytest.mark.parametrize(
    "text",
    [
        "128,128,128\n128,64,128\n",
        "128 128 128 Sky\n128 64 128 Road\n",
        "128, 128, 128, Sky\n128, 64, 128, Road\n",
        "name,r,g,b\nSky,128,128,128\nRoad,128,64,128\n",
        "Road;128;64;128\nSky;128;128;128\n",
        '"Road",128,64,128\n"Sky",128,128,128\n',
        "[[128, 128, 128], [128, 64, 128]]",
        '["#808080", "#804080"]',
        '{"road": [128, 64, 128], "sky": [128, 128, 128]}',
        '{"1": [128, 64, 128], "0": "#808080"}',
    ],
)
def test_colors(file: Path, text: str) -> None:
    file.write_text(text)
    assert read_colors(file, ["Sky", "Road"]) == (SKY, ROAD)


def test_names_count_only_where_they_are_all_there(file: Path) -> None:
    file.write_text("128,64,128 Road\n128,128,128 Sky\n")
    assert read_colors(file, ["Sky", "Car"]) == (ROAD, SKY)
    assert read_colors(file) == (ROAD, SKY)


def test_a_name_may_have_blanks_and_numbers(file: Path) -> None:
    file.write_text("128,64,128 Lane 2\n128,128,128 Sky above\n")
    assert read_colors(file, ["Sky above", "Lane 2"]) == (SKY, ROAD)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no colour"),
        ("128,128,128\nred\n", "line 2 is not a colour: 'red'; write it as r,g,b"),
        ("0,0,256", "line 1 has the colour ['0', '0', '256'], whose numbers must be from 0 to 255"),
        ("[[1, 2]]", "has [1, 2] for a colour, which is three numbers"),
        (json.dumps(["#12345"]), "has '#12345' for a colour, which is three numbers"),
    ],
)
def test_colors_that_are_none(file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_colors(file)
    assert sentence in str(caught.value)
