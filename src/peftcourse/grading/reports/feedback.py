"""The page that a learner receives: what was seen, what it means, what to do next."""

from __future__ import annotations

from peftcourse.exercises.feedback import RAISED
from peftcourse.exercises.registry import Lesson
from peftcourse.grading.reports.tables import final
from peftcourse.grading.reports.text import render
from peftcourse.grading.rows import AWAITS, GRADED, MARKED, STATES, UNJUDGED, Row


def feedback_html(row: Row, lesson: Lesson) -> str:
    """One self-contained page. Everything that the submission wrote is escaped and bounded."""
    parts = {part.id: part for part in lesson.parts}
    return render(
        "feedback.html",
        row=row,
        lesson=lesson,
        items=[(parts[result.exercise], result) for result in row.results],
        final=final(row),
        waiting=sum(result.status in (AWAITS, UNJUDGED) for result in row.results),
        readable=row.state == GRADED,
        MARKED=MARKED,
        RAISED=RAISED,
        STATES=STATES,
    )
