"""Everything that is written from rows: tables, pages, and the queue of written answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from peftcourse.exercises.registry import Lesson
from peftcourse.grading.reports.classroom import classroom_html
from peftcourse.grading.reports.feedback import feedback_html
from peftcourse.grading.reports.files import write
from peftcourse.grading.reports.gradescope import results_json
from peftcourse.grading.reports.marks import Mark, apply_marks, read_marks, rename
from peftcourse.grading.reports.queue import written_csv, written_html
from peftcourse.grading.reports.tables import LMS, grades_csv, lms_csv
from peftcourse.grading.rows import Row

__all__ = ["LMS", "Mark", "apply_marks", "move", "read_marks", "write_all"]

WRITTEN = "written.csv"


def write_all(
    rows: Iterable[Row],
    lesson: Lesson,
    out: Path,
    *,
    lms: str = "moodle",
    pages_of: Collection[str] | None = None,
) -> list[Row]:
    """Write every report, each file in one step and only if it changes.

    Marks that ``out/written.csv`` holds are applied first, and all of them are kept.

    Args:
        rows: What is graded so far, one for each submission.
        lesson: What they are graded against.
        out: The folder.
        lms: The format of ``lms.csv``, one of ``LMS``.
        pages_of: The submissions whose own pages are written too; all if left out.

    Returns:
        The rows with the marks in them, by name.

    Raises:
        PeftlabError: ``written.csv`` or ``lms`` cannot be used. Nothing was written.
    """
    marks = read_marks(out / WRITTEN)
    rows = sorted(apply_marks(rows, marks), key=lambda row: row.submission)
    pages = {
        "lms.csv": lms_csv(rows, lesson, lms),
        "grades.csv": grades_csv(rows, lesson),
        "report.html": classroom_html(rows, lesson, marks),
        "written.html": written_html(rows, lesson, marks),
    }
    if lesson.written or marks:
        pages[WRITTEN] = written_csv(rows, lesson, marks)
    for name, text in pages.items():
        write(out / name, text)
    for row in rows:
        if pages_of is not None and row.submission not in pages_of:
            continue
        write(out / "feedback" / f"{row.submission}.html", feedback_html(row, lesson))
        write(out / "gradescope" / f"{row.submission}.json", results_json(row, lesson))
    return rows


def move(out: Path, lesson: Lesson, renamed: Mapping[str, str], dropped: Iterable[str]) -> None:
    """Give marks to the new names of submissions, and take away the files of rows that are gone.

    Args:
        out: The folder.
        lesson: What the rows are graded against.
        renamed: Old name → new name.
        dropped: Names that no row has any more.
    """
    if renamed and (marks := read_marks(out / WRITTEN)):
        write(out / WRITTEN, written_csv((), lesson, rename(marks, renamed)))
    for name in dropped:
        (out / "feedback" / f"{name}.html").unlink(missing_ok=True)
        (out / "gradescope" / f"{name}.json").unlink(missing_ok=True)
