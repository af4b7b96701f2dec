"""Grade a class: read it, mark what is not marked yet, write every report."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from peftcourse.exercises.registry import LESSONS, Lesson
from peftcourse.grading import local, on_ray, pictures, reports
from peftcourse.grading.in_kernel import differences
from peftcourse.grading.journal import Journal
from peftcourse.grading.marking import Marker, References, Task
from peftcourse.grading.moves import follow
from peftcourse.grading.rows import GRADED, Row
from peftcourse.grading.sandbox import Limits
from peftcourse.grading.submissions import LabOutline, Submission, collect
from peftlab.errors import PeftlabError

ALL = "all"
LOCAL, RAY = "local", "ray"
# Seconds between two writings of the reports while a class is graded.
REFRESH = 60.0


def grade(
    source: Path,
    lesson_name: str,
    out: Path,
    *,
    root: Path,
    seed: int | None = None,
    jobs: int = 2,
    timeout: float = 10.0,
    budget: float = 60.0,
    unsafe: bool = False,
    lms: str = "moodle",
    regrade: Collection[str] = (),
    only: Collection[str] = (),
    engine: str = LOCAL,
    compare_kernel: bool = False,
    say: Callable[[str], None] = print,
    progress: bool = False,
) -> list[Row]:
    """Grade a folder, a zip archive or a single notebook, and write every report.

    Submissions that ``out`` has a row for are not graded again unless they have changed. A row
    whose file was renamed moves with it; one whose file is not there any more goes. Killed at any
    moment, the same call goes on where it stopped and ends with the same ``grades.csv``.

    Args:
        source: the submissions.
        lesson_name: the lab, such as ``"03_lora"``.
        out: the folder for the results.
        root: the course's repository.
        seed: of the inputs on which answers are tried. If left out, that of the earlier run in
            ``out``, or a secret one that is drawn and kept there.
        jobs: how many sandboxes run side by side.
        timeout: seconds that one cell or one answer may take.
        budget: seconds that all cells and answers of a submission may take.
        unsafe: grade without bubblewrap where there is none.
        lms: the format of ``lms.csv``.
        regrade: ids of exercises to mark again in all submissions, or ``"all"``.
        only: names of the submissions to grade; the rows of all others are kept as they are.
        compare_kernel: whether to run each notebook in IPython as well, experiments included, and
            to say where ``check`` judges otherwise there. It takes a minute or more for each.
        engine: ``"local"``, or ``"ray"`` for a Ray cluster.
        say: is told what the instructor should know.
        progress: whether to show a progress bar on standard error.

    Returns:
        All rows of ``out``, marks of written answers included, by name.

    Raises:
        PeftlabError: an argument cannot be used, or the sandbox cannot be started. What was graded
            until then is kept.
    """
    lesson = _lesson(lesson_name)
    if engine not in (LOCAL, RAY):
        raise PeftlabError(f'there is no engine "{engine}"; take "{LOCAL}" or "{RAY}".')
    if jobs < 1:
        raise PeftlabError(f"{jobs} jobs cannot grade anything; take 1 or more.")
    if not 0 < timeout <= 3600:
        raise PeftlabError(f"a time limit of {timeout:g} s is of no use; take 1 to 3600.")
    if not timeout <= budget <= 86400:
        raise PeftlabError(
            f"a budget of {budget:g} s for a submission is of no use; take {timeout:g}, which one "
            "answer may take, to 86400."
        )
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise PeftlabError(
            f"{out} lies in the folder of submissions and would be taken for one; choose an --out "
            "elsewhere."
        )
    again = _exercises(lesson, regrade)
    outline = LabOutline.read(root, lesson.name)
    limits = Limits(seconds=timeout, budget=budget)
    with Journal(out) as journal:
        for note in journal.settle(lesson, seed):
            say(f"note: {note}")
        rows = journal.read()
        # Before anything is graded: what is wrong with a file of marks shows at once.
        reports.write_all(rows.values(), lesson, out, lms=lms, pages_of=())
        handed_in = collect(source, lesson, outline, out / pictures.FOLDER)
        moves = follow(handed_in, rows)
        rows = moves.rows
        for note in moves.notes():
            say(f"note: {note}.")
        # Marks move before the journal knows: killed in between, the next run does both again.
        reports.move(out, lesson, moves.renamed, moves.dropped)
        chosen = _choose(handed_in, only)
        tasks = list(_tasks(chosen, rows, again))
        kept = len(chosen) - len(tasks)
        if kept:
            say(f"{kept} of {len(chosen)} submissions are graded already and have not changed.")
        if engine == RAY:
            seed = journal.settings["seed"]
            marked = on_ray.mark_all(tasks, lesson.name, outline, seed, limits, unsafe)
        else:
            references = References(lesson, journal.settings["seed"])

            def marker() -> Marker:
                return Marker(lesson, outline, references, limits=limits, unsafe=unsafe)

            marked = local.mark_all(tasks, marker, min(jobs, max(1, len(tasks))))
        written, new = time.monotonic(), set()
        with journal.writing() as add:
            for change in (*moves.changed, *moves.dropped):
                add(change)
            for row in _bar(marked, len(tasks), progress):
                whole = _merge(row, rows.get(row.submission), lesson)
                add(whole)
                rows[row.submission] = whole
                new.add(row.submission)
                if time.monotonic() - written > REFRESH:
                    reports.write_all(rows.values(), lesson, out, lms=lms, pages_of=new)
                    written, new = time.monotonic(), set()
        if compare_kernel:
            found = 0
            for line in differences(rows, chosen, lesson, outline):
                found += 1
                say(line)
            say(f"compared with IPython: {found} differences in {len(chosen)} submissions")
        return reports.write_all(rows.values(), lesson, out, lms=lms)


def _lesson(name: str) -> Lesson:
    if name not in LESSONS:
        raise PeftlabError(f'no lab is called "{name}"; there are {", ".join(LESSONS)}.')
    return LESSONS[name]


def _exercises(lesson: Lesson, regrade: Collection[str]) -> set[str]:
    """The ids of the exercises to mark again."""
    known = {part.id for part in lesson.parts}
    if ALL in regrade:
        return known
    for name in regrade:
        if name not in known:
            raise PeftlabError(
                f'{lesson.name} has no exercise "{name}"; there are {", ".join(sorted(known))} '
                f'and "{ALL}".'
            )
    return set(regrade)


def _choose(submissions: list[Submission], only: Collection[str]) -> list[Submission]:
    names = {submission.name for submission in submissions}
    for name in only:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f'did you mean "{close[0]}"?' if close else f"there are {len(names)} others."
            raise PeftlabError(f'no submission is called "{name}"; {hint}')
    return [s for s in submissions if not only or s.name in only]


def _tasks(
    submissions: Iterable[Submission], rows: Mapping[str, Row], again: set[str]
) -> Iterator[Task]:
    """What is left to do."""
    for submission in submissions:
        row = rows.get(submission.name)
        unreadable = submission.problem is not None or (row and row.state != GRADED)
        if row is None or row.digest != submission.digest or unreadable:
            yield submission, None
        elif again:
            yield submission, again


def _merge(new: Row, old: Row | None, lesson: Lesson) -> Row:
    """A row with a result for each exercise: the new ones, and the old ones of the rest."""
    if len(new.results) == len(lesson.parts) or old is None:
        return new
    results = {result.exercise: result for result in (*old.results, *new.results)}
    notes = tuple(dict.fromkeys((*old.notes, *new.notes)))
    ordered = tuple(results[part.id] for part in lesson.parts if part.id in results)
    return replace(new, results=ordered, notes=notes)


def _bar(rows: Iterator[Row], total: int, show: bool) -> Iterator[Row]:
    from tqdm import tqdm

    yield from tqdm(rows, total=total, desc="submissions", disable=not show, smoothing=0.05)
