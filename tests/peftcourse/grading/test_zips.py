"""Arbitrary zips: whatever the names and bytes, members stay inside and nothing is raised."""

import io
import zipfile

from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.grading.zips import read_zip

PARTS = st.sampled_from(["..", ".", "", "a", "C:", "03_lora.ipynb", "\\", "progress.json", "b.zip"])
NAMES = st.lists(PARTS | st.text(max_size=6), min_size=1, max_size=6).map("/".join)
GOOD = b'{"cells": []}'


def zipped(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name or "x"), GOOD)
        archive.writestr("good/03_lora.ipynb", GOOD)
    return buffer.getvalue()


def encodable(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name) and len(name) < 200


@given(st.sets(NAMES.filter(encodable), max_size=5))
def test_arbitrary_names_lead_nowhere(names):
    names.discard("good/03_lora.ipynb")
    data = zipped(sorted(names))
    members = list(read_zip(io.BytesIO(data), len(data), ("class.zip",), "class.zip"))
    for member in members:
        assert member.path[0] == "class.zip"
        for part in member.path[1:]:
            assert part not in ("", ".", "..") and "/" not in part and "\\" not in part
        assert member.origin.isprintable()
    assert any(member.path[1:] == ("good", "03_lora.ipynb") and member.data for member in members)


@settings(max_examples=200)
@given(st.data())
def test_damaged_zips_raise_nothing(data):
    archive = bytearray(zipped(["a/03_lora.ipynb", "b.zip"]))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(archive) - 1))
        archive[place] = data.draw(st.integers(0, 255))
    archive = archive[data.draw(st.integers(0, 20)) :]
    for member in read_zip(io.BytesIO(bytes(archive)), len(archive), (), "class.zip"):
        assert member.path and member.origin.isprintable() and member.problem.isprintable()


@given(st.binary())
def test_arbitrary_bytes_are_one_problem(data):
    (member,) = read_zip(io.BytesIO(data), len(data), (), "class.zip")
    assert member.problem and member.path == ("class.zip",)
