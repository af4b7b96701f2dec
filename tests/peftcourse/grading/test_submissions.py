"""What a class hands in: every file gets a row, whatever it is, and nothing is written anywhere."""

import copy
import io
import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from peftcourse.exercises.registry import LESSONS
from peftcourse.grading import members, zips
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.submissions import collect
from peftlab.errors import PeftlabError

ROOT = Path(__file__).resolve().parents[3]
LESSON = LESSONS["03_lora"]
LAB = LabOutline.read(ROOT, "03_lora")
HANDED_OUT = json.loads((ROOT / "labs" / "03_lora.ipynb").read_text(encoding="utf-8"))
DELTA = "def lora_delta(A, B, alpha):\n    return alpha / A.shape[0] * B @ A\n"


def notebook(**answers: str) -> bytes:
    """The lab with some answers filled in, by name of the exercise."""
    content = copy.deepcopy(HANDED_OUT)
    for cell in content["cells"]:
        if cell["id"].removeprefix("lora-") in answers:
            cell["source"] = answers[cell["id"].removeprefix("lora-")]
    return json.dumps(content).encode()


SOLVED = notebook(delta=DELTA)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder with these files; a name that ends in a slash is an empty folder."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


def tree(folder: Path) -> dict[str, object]:
    """Every path below a folder with what it holds."""
    return {
        str(path.relative_to(folder)): path.lstat().st_mtime_ns
        if not path.is_file()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def rows(tmp_path):
    """Collect what lies in tmp_path/class, and see that nothing around it changes."""

    def collected(name: str = "class") -> dict:
        before = tree(tmp_path)
        found = collect(tmp_path / name, LESSON, LAB)
        assert tree(tmp_path) == before
        assert len({one.name for one in found}) == len(found)
        assert [one.name for one in collect(tmp_path / name, LESSON, LAB)] == [
            one.name for one in found
        ]
        return {one.name: one for one in found}

    return collected


# --- where submissions lie ------------------------------------------------------------------------

LAYOUTS = {
    "flat": ["alice.ipynb", "bob.ipynb"],
    "folder per learner": ["alice/03_lora.ipynb", "bob/03_lora.ipynb"],
    "any file name": ["alice/homework.ipynb", "bob/03_lora (1).ipynb"],
    "nbgrader": ["submitted/alice/03_lora/03_lora.ipynb", "submitted/bob/03_lora/03_lora.ipynb"],
    "nbgrader, submitted": ["alice/03_lora/03_lora.ipynb", "bob/03_lora/03_lora.ipynb"],
    "lab, then learner": ["03_lora/alice/03_lora.ipynb", "03_lora/bob/03_lora.ipynb"],
    "saved by a browser": ["alice.ipynb.txt", "bob.ipynb.json"],
}


@pytest.mark.parametrize("names", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("packed", ["folder", "zip", "zip with a folder", "folder with a zip"])
def test_usual_layouts(names, packed, tmp_path, rows):
    files = dict.fromkeys(names, SOLVED)
    if packed == "folder":
        fill(tmp_path / "class", files)
        found = rows()
    elif packed == "folder with a zip":
        fill(tmp_path / "class", {"all.zip": zipped(files)})
        found = rows()
    else:
        inside = "class/" if packed == "zip with a folder" else ""
        archive = zipped({inside + name: data for name, data in files.items()})
        (tmp_path / "class.zip").write_bytes(archive)
        found = rows("class.zip")
    if names[0].startswith("03_lora") and packed == "zip":
        assert all(one.origin.startswith("class.zip › 03_lora/") for one in found.values())
    assert list(found) == ["alice", "bob"]
    for one in found.values():
        assert one.problem is None
        assert one.answers["lora.delta"] == DELTA
        assert len(one.digest) == 64


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Ada Lovelace_12345_assignsubmission_file_/03_lora.ipynb", "Ada Lovelace_12345"),
        ("Ada Lovelace_12345_assignsubmission_file/work.ipynb", "Ada Lovelace_12345"),
        ("Ada Lovelace_12345_assignsubmission_file_03_lora.ipynb", "Ada Lovelace_12345"),
        ("lovelaceada_123_456_03_lora.ipynb", "lovelaceada_123"),
        ("lovelaceada_LATE_123_456_03_lora-1.ipynb", "lovelaceada_123"),
        ("Ада/03_lora.ipynb", "Ада"),
        ("张伟.ipynb", "张伟"),
    ],
)
def test_names_of_learning_management_systems_do_not_depend_on_others(path, name, tmp_path, rows):
    fill(tmp_path / "class", {path: SOLVED})
    assert list(rows()) == [name]
    fill(
        tmp_path / "class", {"zoe.ipynb": SOLVED, "Grace_7_assignsubmission_file_/x.ipynb": SOLVED}
    )
    found = rows()
    assert name in found and found[name].answers["lora.delta"] == DELTA
    assert len(found) == 3


def test_file_names_that_are_no_text(tmp_path, rows):
    fill(tmp_path / "class", {os.fsdecode(b"jos\xe9.ipynb"): SOLVED, "a\nb.ipynb": SOLVED})
    found = rows()
    assert list(found) == ["a_b", "jos_"]
    assert all(one.origin.isprintable() and one.problem is None for one in found.values())


def test_a_zip_for_each_learner(tmp_path, rows):
    inner = zipped({"03_lora.ipynb": SOLVED})
    files = {
        "alice.zip": inner,
        "bob.zip": zipped({"bob/03_lora.ipynb": SOLVED, "__MACOSX/bob/._03_lora.ipynb": b"x"}),
        "lovelaceada_1_234_work.zip": inner,
        "Grace_7_assignsubmission_file_/work.zip": inner,
    }
    fill(tmp_path / "class", files)
    assert list(rows()) == ["Grace_7", "alice", "bob", "lovelaceada_1"]
    (tmp_path / "class.zip").write_bytes(zipped(files))
    found = rows("class.zip")
    assert list(found) == ["Grace_7", "alice", "bob", "lovelaceada_1"]
    assert all(one.answers["lora.delta"] == DELTA for one in found.values())
    assert found["alice"].origin == "class.zip › alice.zip › 03_lora.ipynb"
    fill(tmp_path / "deep", {"class.zip": zipped({"a/b.zip": zipped({"c.zip": inner})})})
    (deep,) = rows("deep").values()
    assert "no notebook" in deep.problem and "zip in a zip" in deep.problem


def test_one_notebook(tmp_path, rows):
    fill(tmp_path, {"alice.ipynb": SOLVED})
    assert list(rows("alice.ipynb")) == ["alice"]
    fill(tmp_path / "grace", {"03_lora.ipynb": SOLVED, "data/": b""})
    assert list(rows("grace")) == ["grace"]
    (tmp_path / "bob.zip").write_bytes(zipped({"03_lora.ipynb": SOLVED}))
    assert list(rows("bob.zip")) == ["bob"]


def test_of_several_notebooks_the_labs_own_counts(tmp_path, rows):
    other = notebook()
    fill(
        tmp_path / "class",
        {
            "alice/03_lora.ipynb": SOLVED,
            "alice/.ipynb_checkpoints/03_lora-checkpoint.ipynb": other,
            "alice/03_lora-Copy1.ipynb": other,
            "alice/old/03_lora.ipynb": other,
            "bob/02_start/02_start.ipynb": other,
            "bob/03_lora/03_lora.ipynb": SOLVED,
            "carol/one.ipynb": SOLVED,
            "carol/two.ipynb": other,
        },
    )
    found = rows()
    assert list(found) == ["alice", "bob", "carol-one", "carol-two"]
    assert found["alice"].answers["lora.delta"] == found["bob"].answers["lora.delta"] == DELTA
    assert found["alice"].notes == ("2 other notebooks were not looked at",)
    assert found["bob"].notes == ("1 other notebook was not looked at",)
    assert "one of 2 in carol" in found["carol-one"].notes[0]


def test_a_class_zip_beside_a_late_submission_loses_nobody(tmp_path, rows):
    for inside in (["alice.ipynb", "bob.ipynb"], ["alice/03_lora.ipynb", "bob/my.ipynb"]):
        archive = zipped(dict.fromkeys(inside, SOLVED))
        fill(tmp_path / "class", {"class.zip": archive, "zoe.ipynb": SOLVED})
        assert list(rows()) == ["class-alice", "class-bob", "zoe"]


def test_a_learner_cannot_flood_the_class(tmp_path, rows):
    flood = {f"{i}.ipynb": b"{}" for i in range(80)} | {f"../{i}.ipynb": b"" for i in range(80)}
    files = {"alice.zip": zipped(flood), "bob.ipynb": SOLVED}
    fill(tmp_path / "class", files)
    found = rows()
    assert list(found) == ["alice", "bob"]
    assert "holds 160 files" in found["alice"].problem and found["bob"].problem is None


def test_every_submission_gets_a_row(tmp_path, rows):
    fill(
        tmp_path / "class",
        {
            "empty.ipynb": b"",
            "malformed.ipynb": b'{"cells": [',
            "no_notebook.ipynb": b'{"a": 1}',
            "nobody/": b"",
            "essay/essay.pdf": b"%PDF",
            "script.py": b"print(1)",
            "broken.zip": b"PK\x03\x04 nothing",
            "inside/broken.zip": b"PK",
            "empty_zip.zip": zipped({}),
            "honest.ipynb": SOLVED,
            "roster.csv": b"name,mark",
            ".DS_Store": b"x",
        },
    )
    found = rows()
    expected = {
        "empty": "is empty",
        "malformed": "not a notebook, or a damaged one",
        "no_notebook": "JSON, but no notebook",
        "nobody": "holds no notebook",
        "essay": "holds no notebook",
        "script": "not a notebook",
        "broken": "no zip, or a damaged one",
        "inside": "no zip, or a damaged one",
        "empty_zip": "holds no notebook",
    }
    problems = {name: one.problem for name, one in found.items() if one.problem}
    assert {name.removesuffix(".py") for name in problems} == set(expected)
    for name, problem in problems.items():
        assert expected[name.removesuffix(".py")] in problem and problem.endswith(".")
        assert not found[name].answers
    assert found["honest"].answers["lora.delta"] == DELTA
    assert len(found["malformed"].digest) == 64 and found["nobody"].digest == ""


def test_what_is_not_there_is_the_instructors_mistake(tmp_path):
    fill(tmp_path / "class", {"roster.csv": b""})
    for name in ("class", "nowhere", "class/roster.csv"):
        with pytest.raises(PeftlabError, match=r"holds no subm|does not exist|is not a notebook"):
            collect(tmp_path / name, LESSON, LAB)


# --- what is dangerous to open --------------------------------------------------------------------


def test_links_and_pipes_are_never_opened(tmp_path, rows):
    fill(tmp_path / "elsewhere", {"03_lora.ipynb": SOLVED})
    folder = fill(tmp_path / "class", {"honest.ipynb": SOLVED, "carol/": b""})
    (folder / "alice.ipynb").symlink_to(tmp_path / "elsewhere" / "03_lora.ipynb")
    (folder / "bob").symlink_to(tmp_path / "elsewhere")
    (folder / "carol" / "03_lora.ipynb").symlink_to(folder / "honest.ipynb")
    (folder / "loop").symlink_to(folder)
    (folder / "zipped.zip").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.ipynb")
    os.mkfifo(folder / "pipe.zip")
    found = rows()
    names = ["alice", "bob", "carol", "honest", "loop", "pipe", "zipped"]
    assert sorted({name.partition("-")[0] for name in found}) == names and len(found) == 8
    for name, one in found.items():
        if name.startswith("pipe"):
            assert "a device or a pipe" in one.problem
        elif name != "honest":
            assert "links are not followed" in one.problem and not one.answers


def test_a_folder_that_cannot_be_read(tmp_path, rows, monkeypatch):
    folder = fill(tmp_path / "class", {"alice/03_lora.ipynb": SOLVED, "bob.ipynb": SOLVED})
    scan = os.scandir

    def refuse(path):
        if path == folder / "alice":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr("peftcourse.grading.disk.os.scandir", refuse)
    found = {one.name: one for one in collect(folder, LESSON, LAB)}
    assert "Permission denied" in found["alice"].problem
    assert found["bob"].problem is None


def test_a_notebook_that_is_too_large(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(members, "MAX_NOTEBOOK", 2 * 2**20)
    fill(tmp_path / "class", {"alice.ipynb": b" " * (2 * 2**20 + 1), "bob.ipynb": SOLVED})
    found = rows()
    assert "larger than 2 MiB" in found["alice"].problem
    assert found["bob"].problem is None


@pytest.mark.parametrize("name", ["../evil.ipynb", "/etc/evil.ipynb", "..\\evil.ipynb"])
@pytest.mark.parametrize("prefix", ["", "x/../../", "C:\\", "C:"])
def test_zip_slip(name, prefix, tmp_path, rows):
    members = {"alice/03_lora.ipynb": SOLVED, prefix + name: SOLVED, "bob/03_lora.ipynb": SOLVED}
    (tmp_path / "class.zip").write_bytes(zipped(members))
    found = rows("class.zip")
    assert len(found) == 3
    assert found["alice"].problem is found["bob"].problem is None
    (evil,) = (one for key, one in found.items() if key not in ("alice", "bob"))
    assert "leads out of the zip" in evil.problem and not evil.answers


def test_backslashes_of_old_windows_programs_are_separators(tmp_path, rows):
    (tmp_path / "class.zip").write_bytes(
        zipped({"alice\\03_lora.ipynb": SOLVED, "bob\\03_lora.ipynb": SOLVED})
    )
    assert list(rows("class.zip")) == ["alice", "bob"]


def test_a_link_in_a_zip(tmp_path, rows):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("alice/03_lora.ipynb")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("bob/03_lora.ipynb", SOLVED)
    (tmp_path / "class.zip").write_bytes(buffer.getvalue())
    found = rows("class.zip")
    assert "links are not followed" in found["alice"].problem
    assert found["bob"].problem is None


def test_an_encrypted_or_unusually_compressed_member_harms_no_other(tmp_path, rows):
    archive = bytearray(zipped({"alice.ipynb": SOLVED, "bob.ipynb": SOLVED}))
    directory = archive.index(b"PK\x01\x02")
    archive[directory + 8] |= 1  # the first member's flags
    (tmp_path / "class.zip").write_bytes(archive)
    found = rows("class.zip")
    assert "encrypted" in found["alice"].problem and found["bob"].problem is None

    archive[directory + 8] &= ~1
    archive[directory + 10] = zipfile.ZIP_BZIP2
    (tmp_path / "class.zip").write_bytes(archive)
    found = rows("class.zip")
    assert "unusual" in found["alice"].problem and found["bob"].problem is None

    archive[directory + 10] = zipfile.ZIP_DEFLATED
    archive[60] ^= 0xFF  # in the first member's data
    (tmp_path / "class.zip").write_bytes(archive)
    found = rows("class.zip")
    assert "damaged" in found["alice"].problem and found["bob"].problem is None


def test_a_bomb_is_stopped_whatever_its_header_claims(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(members, "MAX_NOTEBOOK", 32 * 2**20)
    bomb = bytearray(zipped({"alice/03_lora.ipynb": b" " * 2**26, "bob/03_lora.ipynb": SOLVED}))
    assert len(bomb) < 2**18
    (tmp_path / "class.zip").write_bytes(bomb)
    found = rows("class.zip")
    assert "larger than 32 MiB" in found["alice"].problem
    assert found["bob"].problem is None

    directory = bomb.index(b"PK\x01\x02")
    bomb[directory + 24 : directory + 28] = (100).to_bytes(4, "little")  # the size it claims
    (tmp_path / "class.zip").write_bytes(bomb)
    found = rows("class.zip")
    assert found["alice"].problem and found["bob"].problem is None


def test_all_that_a_zip_unpacks_to_is_bounded(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(zips, "MAX_UNPACKED", 2**20)
    files = {f"{i}.ipynb": b" " * 2**20 for i in range(9)}
    fill(tmp_path / "class", {"bomb.zip": zipped(files), "bob.ipynb": SOLVED})
    found = rows()
    stopped = [one for one in found.values() if "unpacks to more" in (one.problem or "")]
    assert 6 <= len(stopped) < 9
    assert found["bob"].problem is None


def test_too_many_members_or_too_long_a_table_of_contents(tmp_path, rows, monkeypatch):
    archive = zipped({f"{i}.ipynb": b"" for i in range(20)})
    fill(tmp_path / "class", {"many.zip": archive, "bob.ipynb": SOLVED})
    for name in ("MAX_MEMBERS", "MAX_DIRECTORY"):
        with monkeypatch.context() as patch:
            patch.setattr(zips, name, 10 if name == "MAX_MEMBERS" else 500)
            found = rows()
        assert list(found) == ["bob", "many"]
        assert "no zip, or a damaged one" in found["many"].problem


def test_members_that_share_their_bytes_are_refused(tmp_path, rows):
    archive = zipped({"alice.ipynb": SOLVED, "bob.ipynb": SOLVED})
    entries = archive[archive.index(b"PK\x01\x02") : archive.index(b"PK\x05\x06")]
    second = entries.index(b"PK\x01\x02", 4)
    at = int.from_bytes(entries[42:46], "little")
    assert at == 0
    twice = entries[:second].replace(b"alice.ipynb", b"clone.ipynb") + entries
    end = bytearray(archive[archive.index(b"PK\x05\x06") :])
    end[8:12] = (3).to_bytes(2, "little") * 2
    end[12:16] = len(twice).to_bytes(4, "little")
    forged = archive[: archive.index(b"PK\x01\x02")] + twice + bytes(end)
    (tmp_path / "class.zip").write_bytes(forged)
    found = rows("class.zip")
    assert list(found) == ["alice", "bob", "clone"]
    assert "shares its bytes" in found["clone"].problem
    assert found["bob"].answers["lora.delta"] == DELTA


def test_a_name_twice_in_a_zip(tmp_path, rows):
    buffer = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer, "w") as archive:
        for data in (notebook(), SOLVED, b"{"):
            archive.writestr("alice/03_lora.ipynb", data)
        archive.writestr("bob.ipynb", SOLVED)
        archive.writestr("bob.ipynb", SOLVED)
    (tmp_path / "class.zip").write_bytes(buffer.getvalue())
    found = rows("class.zip")
    assert found["alice"].answers["lora.delta"] == DELTA
    assert len(found) == 3 and sum(name.startswith("bob-") for name in found) == 2


def test_folders_nested_without_end(tmp_path, rows):
    deep = "/".join("a" * 500) + "/03_lora.ipynb"
    (tmp_path / "class.zip").write_bytes(zipped({deep: SOLVED, "bob.ipynb": SOLVED}))
    found = rows("class.zip")
    assert found.pop("bob").problem is None
    (one,) = found.values()
    assert "nested" in one.problem
    fill(tmp_path / "class", {"/".join("a" * 40) + "/03_lora.ipynb": SOLVED, "bob.ipynb": SOLVED})
    found = rows()
    assert list(found) == ["a", "bob"] and "no notebook" in found["a"].problem


# --- the progress file ----------------------------------------------------------------------------


def test_minutes_of_the_progress_file(tmp_path, rows):
    entry = {"first": "2030-01-01T10:00:00+00:00", "solved": "2030-01-01T10:12:30+00:00"}
    odd = {
        "lora.delta": entry,
        "lora.init": {**entry, "solved": None},
        "lora.forward": {**entry, "solved": "2029-01-01T10:00:00+00:00"},
        "lora.inject": {**entry, "solved": "2031-01-01T10:00:00+00:00"},
        "lora.count": {**entry, "solved": "2030-01-01T10:12:30"},
        "lora.loss": 7,
        "lora.save": {"first": [], "solved": {}},
        "lora.unknown": entry,
    }
    progress = json.dumps({"version": 1, "exercises": odd}).encode()
    fill(
        tmp_path / "class",
        {
            "alice/03_lora.ipynb": SOLVED,
            "alice/progress.json": progress,
            "lovelaceada_123_456_03_lora.ipynb": SOLVED,
            "lovelaceada_123_457_progress.json": progress,
            "bob/03_lora.ipynb": SOLVED,
            "bob/progress.json": b"[" * 100_000,
            "carol/03_lora.ipynb": SOLVED,
            "carol/progress.json": b'{"exercises": []}',
            "dan/03_lora.ipynb": SOLVED,
            "dan/progress.json": b" " * (2**20 + 1),
        },
    )
    found = rows()
    assert len(found) == 5
    assert found["alice"].times == found["lovelaceada_123"].times == {"lora.delta": 12.5}
    assert found["bob"].times == found["carol"].times == found["dan"].times == {}
    assert all(one.problem is None for one in found.values())
