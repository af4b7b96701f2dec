"""Names are data: whose a file is comes from the LMS's own place, never from what a learner chose.

Of every spoof here an earlier reader, or a plausible one, made another learner's line or nobody's.
"""

import csv
import io
import time
import zipfile
from pathlib import Path

import pytest
from graded import LESSON, row
from grading.cases.notebooks import RIGHT, ROOT, Notebook, solved

from peftcourse.exercises import EXERCISES
from peftcourse.grading.names import safe
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.people import CANVAS, MOODLE, Person, split
from peftcourse.grading.reports.tables import lms_csv
from peftcourse.grading.rows import Row
from peftcourse.grading.submissions import Submission, collect

LAB = LabOutline.read(ROOT, "03_lora")
SOLVED = solved().bytes()
ALICE, MALLORY = "Alice Smith_2001_assignsubmission_file_", "Mallory Q_2009_assignsubmission_file_"


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def handed_in(source: Path) -> list[Submission]:
    return collect(source, LESSON, LAB)


def owners(source: Path) -> list[str]:
    """The numbers that an LMS gave to the learners, "" where it gave none."""
    return sorted(one.person.number if one.person else "" for one in handed_in(source))


def lines(rows, lms: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lms_csv(rows, LESSON, lms))))


# --- the beginning of a name ----------------------------------------------------------------------


ADA, ANY, M = ("moodle", "Ada L", "7"), ("moodle", "Participant", "7"), ("canvas", "mallory", "9")


@pytest.mark.parametrize(
    ("person", "systems", "theirs"),
    [
        (ADA, "Ada L_7_assignsubmission_file_", "03_lora.ipynb"),
        (ADA, "Ada L_7_assignsubmission_file_", ""),
        (ADA, "Ada L_7_assignsubmission_file_", f"{ALICE}03_lora.ipynb"),
        (ADA, "Ada L_7_assignsubmission_onlinetext_", "onlinetext.html"),
        (ANY, "Participant_7_assignsubmission_file_", "a.ipynb"),
        (M, "mallory_9_123_", "alice_1_222_a.ipynb"),
        (M, "mallory_LATE_9_123_", "LATE_1_222_a.ipynb"),
        (M, "mallory_9_123_", " › alice_1_222_a.ipynb"),
        (M, "mallory_9_123_", "\\alice_1_222_a.ipynb"),
        (M, "mallory_9_123_", "\nalice_1_222_a.ipynb"),
        (None, "", "03_lora.ipynb"),
        (None, "", "my_homework_2001_assignsubmission_file_a"),
        # Digits of other scripts are no system's numbers.
        (None, "", "Alice_٢٠٠١_assignsubmission_file_a.ipynb"),
        (None, "", "a_١_٢٢٢_b.ipynb"),
    ],
)
def test_only_the_beginning_of_a_name_is_believed(person, systems, theirs):
    assert split(systems + theirs) == (person and Person(*person), theirs)


# --- whole classes --------------------------------------------------------------------------------


def test_a_spoofed_participant_of_moodle_is_nobody_else(tmp_path):
    """One file each, as the two lie in a class's zip: the second hopes for the first one's line."""
    files = {f"{ALICE}03_lora.ipynb": SOLVED, f"{MALLORY}{ALICE}03_lora.ipynb": Notebook().bytes()}
    (tmp_path / "class.zip").write_bytes(zipped(files))
    alice, mallory = handed_in(tmp_path / "class.zip")
    assert (alice.name, mallory.name) == ("Alice Smith_2001", "Mallory Q_2009")
    rows = [
        row(one.name, 10 * (one is alice), answer="", person=one.person) for one in (alice, mallory)
    ]
    identifiers = [line["Identifier"] for line in lines(rows, "moodle")]
    assert identifiers == ["Participant 2001", "Participant 2009"]


SPOOFS = {
    "moodle, folders in the learner's folder": [
        f"{ALICE}/03_lora.ipynb", f"{MALLORY}/{ALICE}/03_lora.ipynb",
    ],
    "moodle, the learner's own file beside": [
        f"{ALICE}/03_lora.ipynb", f"{MALLORY}/{ALICE}a.ipynb", f"{MALLORY}/x/{ALICE}b.ipynb",
    ],
    "moodle, arrows as in our own origins": [
        f"{ALICE}03_lora.ipynb", f"{MALLORY} › {ALICE}03_lora.ipynb",
    ],
    "moodle, a backslash": [f"{ALICE}03_lora.ipynb", f"{MALLORY}\\{ALICE}03_lora.ipynb"],
    "moodle, a line end": [f"{ALICE}03_lora.ipynb", f"{MALLORY}\n{ALICE}03_lora.ipynb"],
}  # fmt: skip
CANVAS_SPOOFS = [
    "mallory_2009_123_alice_2001_222_a.ipynb",
    "mallory_LATE_2009_123_alice_2001_222_a.ipynb",
    "mallory_2009_123_\\alice_2001_222_a.ipynb",
    "mallory_2009_123_x\\alice_2001_222_a.ipynb",
    "mallory_2009_123_ › alice_2001_222_a.ipynb",
    "mallory_2009_123_x › alice_2001_222_a.ipynb",
    "mallory_2009_123_" + "x" * 150 + " › alice_2001_222_a.ipynb",
    "mallory_2009_123_\u202ealice_2001_222_a.ipynb",
]
SPOOFS |= {
    f"canvas {i}": ["alice_2001_444_03_lora.ipynb", name] for i, name in enumerate(CANVAS_SPOOFS)
}


@pytest.mark.parametrize("names", SPOOFS.values(), ids=SPOOFS)
@pytest.mark.parametrize("packed", ["folder", "zip", "a zip in a zip"])
def test_no_text_of_a_learner_makes_another_line(names, packed, tmp_path):
    files = dict.fromkeys(names, SOLVED)
    source = tmp_path / "class"
    if packed == "folder":
        fill(source, files)
    else:
        # Its own name is the instructor's, even if it looks like Canvas's.
        source = tmp_path / "submissions_2024_1234_all.zip"
        inner = zipped(files)
        source.write_bytes(zipped({"all.zip": inner}) if packed == "a zip in a zip" else inner)
    found = owners(source)
    assert set(found) == {"2001", "2009"} and found.count("2001") == 1


def test_names_in_a_plain_learners_folder_are_nobodys_number(tmp_path):
    files = {"alice/03_lora.ipynb": SOLVED, f"mallory/{ALICE}03_lora.ipynb": SOLVED}
    assert owners(fill(tmp_path / "class", files)) == ["", ""]
    files = {"submitted/bob/x/03_lora.ipynb": SOLVED, f"submitted/mallory/{ALICE}/a.ipynb": SOLVED}
    assert owners(fill(tmp_path / "nbgrader", files)) == ["", ""]


def test_sections_of_a_class_keep_their_learners_numbers(tmp_path):
    section = [f"G {n}_{n}_assignsubmission_file_/03_lora.ipynb" for n in range(1, 4)]
    files = {
        f"{day}/{name.replace('G', day)}": SOLVED for day in ("mon", "tue") for name in section
    }
    assert owners(fill(tmp_path / "class", files)) == ["1", "1", "2", "2", "3", "3"]
    late = {"all.zip": zipped(dict.fromkeys(section, SOLVED)), f"{ALICE}03_lora.ipynb": SOLVED}
    assert owners(fill(tmp_path / "late", late)) == ["1", "2", "2001", "3"]


def test_two_names_with_one_number_have_one_line_and_no_grade_yet():
    """Sections that are courses of their own in Moodle count from one each."""
    rows = [
        row(name, person=Person(MOODLE, name, "7"), results=row("x").results[:-1])
        for name in ("mon", "tue")
    ]
    [line] = lines(rows, "moodle")
    assert (
        line["Grade"] == "" and "2 submissions under different names" in line["Feedback comments"]
    )


def test_the_other_systems_names_are_no_participants():
    one = row("ann", person=Person(CANVAS, "ann", "77"))
    assert [line["Identifier"] for line in lines([one], "moodle")] == ["ann"]
    assert [line["ID"] for line in lines([one], "canvas")] == ["", "77"]


def test_a_file_called_as_a_participant_is_none():
    rows = [row("Participant 2001", 10), row("participant 2001-3fa9c1"), row("ann")]
    rows.append(row("x", person=Person(MOODLE, "Alice Smith", "2001")))
    found = [line["Identifier"] for line in lines(rows, "moodle")]
    assert sorted(found) == ["", "", "Participant 2001", "ann"]


def test_a_row_keeps_its_person_in_the_journal():
    one = row("ann", person=Person(MOODLE, "Ann", "7"))
    assert Row.from_json(one.as_json()) == one
    older = {key: value for key, value in one.as_json().items() if key != "person"}
    assert Row.from_json(older).person is None


# --- long and strange names -----------------------------------------------------------------------

LONG = {
    "blanks": "03_lora" + " " * 30_000 + "x",
    "underscores": "03_lora" + "_" * 60_000 + "x",
    "digits": "03_lora(" + "1" * 60_000 + "x",
    "copies": "03_lora" + "-copy" * 12_000 + "x",
    "numbers": "a" + "_1" * 30_000,
    "participants": "a_1_assignsubmission_" * 3_000,
    "one long number": "Ada_" + "1" * 60_000 + "_assignsubmission_file_x",
    "marks": "a" + "\u0301\u0323" * 15_000,
    "points": "." * 60_000 + "x",
    "backslashes": "x\\" * 11,
}


@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_reading_a_long_name_takes_no_time(name, tmp_path):
    """30,000 blanks took fourteen seconds of everybody's."""
    files = {f"{name}.ipynb": SOLVED, "bob/03_lora.ipynb": SOLVED, f"carol/{name}.ipynb": SOLVED}
    (tmp_path / "class.zip").write_bytes(zipped(files))
    fill(tmp_path / "plain", {"bob/03_lora.ipynb": SOLVED})
    started = time.process_time()
    handed_in(tmp_path / "plain")
    usual = time.process_time() - started
    found = handed_in(tmp_path / "class.zip")
    # Three notebooks instead of one, and less than a second for the name.
    assert time.process_time() - started - usual < 3 * usual + 1
    assert all(len(one.name) <= 100 and len(one.origin) < 500 for one in found)
    assert "bob" in {one.name for one in found}


def test_names_that_differ_far_behind_stay_apart_and_the_same():
    one, other = (safe("a" * 40_000 + end) for end in "xy")
    assert one != other and safe("a" * 40_000 + "x") == one


def test_a_hidden_part_of_a_name_hides_no_submission(tmp_path):
    files = {f"{MALLORY}\\.x\\03_lora.ipynb": SOLVED, f"{ALICE}/03_lora.ipynb": SOLVED}
    (tmp_path / "class.zip").write_bytes(zipped(files))
    assert owners(tmp_path / "class.zip") == ["2001", "2009"]


def test_points_of_the_lab_are_what_this_file_takes_them_for():
    assert sum(EXERCISES[exercise].points for exercise in RIGHT) == 30
