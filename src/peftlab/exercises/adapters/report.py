"""Lesson 07: the report on what to deploy, marked by a person.

Its numbers are those of section 8 of the lab; a test compares them with the stored solution.
"""

from __future__ import annotations

from peftlab.exercises.core import Criterion, Written

REPORT = Written(
    id="adapters.report",
    title="merge, or not?",
    objective="decide from measurements which adapter to deploy, and in which form.",
    points=3,
    difficulty=3,
    minutes=15,
    section="What to deploy",
    hints=(
        "Which of the three changed the loss when they were merged, or when an affine map stood "
        "in for them?",
        "“Cannot be merged” and “must not be used” are two things. What does each cost at run "
        "time, and for whom does that matter?",
        "One model for one task is another case than one model for fifty. What does a merged "
        "weight do to the second?",
    ),
    prompt="",
    model_answer="",
    rubric=(Criterion(3, "x"),),
)
