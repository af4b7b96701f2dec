"""The class report: who needs a person, what was hard, which misconceptions, how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peftcourse.exercises.registry import Lesson
from peftcourse.grading.reports import copies, summary
from peftcourse.grading.reports.marks import Key, Mark, unused_marks
from peftcourse.grading.reports.text import number, render
from peftcourse.grading.rows import AWAITS, GRADED, STOPPED, UNJUDGED, Row

# Misconceptions that the report spells out.
SPELLED_OUT = 10


def classroom_html(rows: Sequence[Row], lesson: Lesson, marks: Mapping[Key, Mark]) -> str:
    """``report.html``: one self-contained page for the instructor.

    Args:
        rows: With the marks applied, by name.
        lesson: What was graded.
        marks: What ``written.csv`` holds.
    """
    graded = [row for row in rows if row.state == GRADED]
    totals = [row.points for row in graded]
    bars = summary.histogram(totals, lesson.points)
    mistakes = summary.mistakes(graded, lesson)
    known = [one for line in mistakes for one in line.known if one.count]
    known.sort(key=lambda one: -one.count)
    return render(
        "classroom.html",
        lesson=lesson,
        rows=rows,
        graded=graded,
        unreadable=[row for row in rows if row.state != GRADED],
        unjudged=summary.with_status(graded, UNJUDGED),
        stopped=summary.with_status(graded, STOPPED),
        awaiting=summary.with_status(graded, AWAITS),
        unused=unused_marks(rows, marks),
        totals=summary.spread(totals),
        bars=bars,
        fullest=max(bars, key=lambda bar: bar.count),
        difficulty=summary.difficulty(graded, lesson),
        mistakes=mistakes,
        columns=max((len(line.known) for line in mistakes), default=0),
        top_share=max((one.share for one in known), default=0.0),
        known=known[:SPELLED_OUT],
        minutes=summary.minutes(graded, lesson),
        with_times=sum(any(summary.plausible(row, id) for id in row.times) for row in graded),
        seconds=summary.spread([row.seconds for row in rows]),
        all_seconds=sum(row.seconds for row in rows),
        slowest=max(rows, key=lambda row: row.seconds, default=None),
        identical=summary.identical(rows),
        cut_off=[row for row in rows if row.stopped],
        stopped_cells=sum(len(row.stopped) for row in rows),
        alike=_alike(rows, lesson),
        percent=_percent,
        duration=_duration,
    )


def _alike(rows: Sequence[Row], lesson: Lesson) -> list[tuple[Row, str, str]]:
    """Submission, exercise and whose words are alike, for each written answer that has its like."""
    names = {row.submission: row.learner for row in rows}
    by_part = [(part.id, copies.alike(rows, part)) for part in lesson.written]
    return [
        (row, exercise, copies.in_words(found[row.submission], names))
        for exercise, found in by_part
        for row in rows
        if row.submission in found
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _duration(seconds: float) -> str:
    """``0.21 s``, ``48 s``, ``3 min 20 s``."""
    if seconds < 60:
        return f"{number(seconds)} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
