"""A class of Moodle's whose names and words want to be more than that, from zip to reports."""

import csv
import io
import time
import zipfile

import pytest
from grading.cases.notebooks import LAB, ROOT, Notebook, solved

from peftcourse.exercises.feedback import WRONG_VALUE
from peftcourse.grading.run import grade

SPOOFS_ALICE = "Alice Smith_2001_assignsubmission_file_"
CLASS = {
    f"{SPOOFS_ALICE}{LAB}.ipynb": solved(),
    # Hopes for the line of the one above, and for a formula in a file with semicolons.
    f"Mallory Q_2009_assignsubmission_file_{SPOOFS_ALICE}{LAB}.ipynb": Notebook(
        {
            "lora.delta": "raise ValueError(\"x;=HYPERLINK('http://evil.example');+1\")\n"
            "def lora_delta(A, B, alpha):\n    return A.new_zeros(len(B), A.shape[1])\n"
        }
    ),
    # Numbers that no judge can divide by, under a name that takes long to read.
    f"Eve_2010_assignsubmission_file_{LAB}{' ' * 30_000}.ipynb": Notebook(
        {
            "lora.init": "def lora_init(d_in, d_out, rank, generator):\n"
            "    A = torch.randn(rank, d_in, generator=generator) * 3e38\n"
            "    return A, torch.zeros(d_out, rank)\n",
            "lora.loss": "def next_token_loss(logits, labels):\n"
            "    return torch.tensor(1e-320, dtype=torch.float64)\n",
        }
    ),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory, bubblewrap):
    folder = tmp_path_factory.mktemp("names")
    with zipfile.ZipFile(folder / "lora_1_2024_all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, notebook in CLASS.items():
            archive.writestr(name, notebook.bytes())
    options = {"root": ROOT, "seed": 3, "jobs": 1, "say": lambda _: None}

    def again():
        return grade(folder / "lora_1_2024_all.zip", LAB, folder / "out", **options)

    return again(), folder / "out", again


def lms(out) -> dict[str, str]:
    with open(out / "lms.csv", encoding="utf-8", newline="") as file:
        return {line["Identifier"]: line["Grade"] for line in csv.DictReader(file)}


def test_everybody_has_one_line_with_their_own_points(graded):
    _, out, _ = graded
    expected = {"Participant 2001": "30", "Participant 2009": "0", "Participant 2010": "0"}
    assert lms(out) == expected


def test_no_cell_of_a_semicolon_file_is_a_formula(graded):
    _, out, _ = graded
    for path in out.glob("*.csv"):
        text = path.read_text(encoding="utf-8-sig")
        for separator in ",;\t":
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
            cells = [cell.strip() for line in lines for cell in line]
            assert not [cell for cell in cells if cell.startswith(tuple("=+-@"))], path
    assert "in its own words: “ValueError: x;'=HYPERLINK" in (out / "grades.csv").read_text(
        encoding="utf-8"
    )


def test_extreme_numbers_are_wrong_values(graded):
    rows, _, _ = graded
    (eve,) = (row for row in rows if row.person.number == "2010")
    seen = {result.exercise: result.status for result in eve.results}
    assert seen["lora.init"] == seen["lora.loss"] == WRONG_VALUE


def test_graded_once_more_every_line_stays_and_reading_is_quick(graded):
    rows, out, again = graded
    before, started = lms(out), time.process_time()
    assert again() == rows and lms(out) == before
    assert time.process_time() - started < 5


def test_rows_of_an_older_run_get_their_people(graded):
    rows, out, again = graded
    journal = out / "journal.jsonl"
    text = journal.read_text(encoding="utf-8")
    journal.write_text(text.replace('"number": "2009"', '"number": "2001"'), encoding="utf-8")
    assert again() == rows
    assert lms(out)["Participant 2009"] == "0"
