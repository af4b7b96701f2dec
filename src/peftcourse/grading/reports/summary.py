"""What the rows of a class say together: totals, difficulty, misconceptions, time."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter

from peftcourse.exercises.core import Exercise, Mutant, Written
from peftcourse.exercises.feedback import CORRECT, NOT_ATTEMPTED
from peftcourse.exercises.registry import Lesson
from peftcourse.grading.rows import AWAITS, MARKED, MISSING, STOPPED, UNJUDGED, Result, Row

# Below this a correlation says more about chance than about an exercise.
FEW = 10
# Longer than this is a progress file that somebody edited, or a clock that was set.
MONTH = 30 * 24 * 60.0

# --- totals ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """Totals from ``low`` up to, not including, ``high``; the last bar includes it."""

    low: float
    high: float
    count: int


def histogram(totals: Sequence[float], most: float) -> list[Bar]:
    """At most twelve bars, from 0 to the most that could be earned."""
    width = max(1, math.ceil(most / 12))
    lows = range(0, max(1, math.ceil(most)), width)
    counts = Counter(min(int(total // width), len(lows) - 1) for total in totals)
    return [Bar(low, min(low + width, most), counts[i]) for i, low in enumerate(lows)]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of ``count`` values."""

    count: int
    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread | None:
    """None if there are no values; of one value, all three are that value."""
    if not values:
        return None
    if len(values) == 1:
        return Spread(1, values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(len(values), low, median, high)


# --- exercises ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difficulty:
    """How one exercise went.

    Attributes:
        solved: submissions with all its points.
        wrong: submissions with an answer that earned less.
        unattempted: submissions without an answer.
        waiting: submissions whose answer nobody has judged yet.
        mean: points, over the submissions that are judged; None if there are none.
        discrimination: point-biserial correlation of solving it with the points of the other
            exercises that the grader checks; near 1 if those who solve it do well elsewhere.
        obstacle: why there is no such correlation.
    """

    part: Exercise | Written
    solved: int
    wrong: int
    unattempted: int
    waiting: int
    mean: float | None
    discrimination: float | None
    obstacle: str


def difficulty(rows: Sequence[Row], lesson: Lesson) -> list[Difficulty]:
    """One for each exercise, over the rows of submissions that could be read."""
    return [_difficulty(rows, part, lesson) for part in lesson.parts]


def _difficulty(rows: Sequence[Row], part: Exercise | Written, lesson: Lesson) -> Difficulty:
    groups = Counter(
        _group(result) for row in rows for result in row.results if result.exercise == part.id
    )
    judged = [
        (row, result)
        for row in rows
        for result in row.results
        if result.exercise == part.id and result.status not in (AWAITS, UNJUDGED)
    ]
    checked = {exercise.id for exercise in lesson.exercises} - {part.id}
    solved = [float(_group(result) == "solved") for _, result in judged]
    rest = [
        sum(other.points for other in row.results if other.exercise in checked) for row, _ in judged
    ]
    value, obstacle = _correlation(solved, rest)
    return Difficulty(
        part,
        groups["solved"],
        groups["wrong"],
        groups["unattempted"],
        groups["waiting"],
        statistics.fmean(result.points for _, result in judged) if judged else None,
        value,
        obstacle,
    )


def _group(result: Result) -> str:
    if result.status in (AWAITS, UNJUDGED):
        return "waiting"
    if result.status in (NOT_ATTEMPTED, MISSING):
        return "unattempted"
    if result.status in (CORRECT, MARKED) and result.points >= result.max_points:
        return "solved"
    return "wrong"


def _correlation(solved: Sequence[float], rest: Sequence[float]) -> tuple[float | None, str]:
    if len(solved) < FEW:
        return None, f"fewer than {FEW} submissions"
    if len(set(solved)) == 1:
        return None, "all solved it" if solved[0] else "nobody solved it"
    if len(set(rest)) == 1:
        return None, "equal points elsewhere"
    return statistics.correlation(solved, rest), ""


# --- misconceptions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Misconception:
    """A known wrong answer, and in how many submissions it was seen."""

    exercise: Exercise
    mutant: Mutant
    count: int
    share: float

    @property
    def words(self) -> str:
        """The diagnosis for a whole class: each number of a single case is left open."""
        pieces = Formatter().parse(self.mutant.diagnosis)
        return "".join(text + ("…" if field is not None else "") for text, field, _, _ in pieces)


@dataclass(frozen=True)
class Mistakes:
    """One line of the map: an exercise's misconceptions, the most frequent first.

    Attributes:
        other: submissions that are wrong in a way that no known wrong answer explains.
    """

    exercise: Exercise
    known: tuple[Misconception, ...]
    other: int
    other_share: float


def mistakes(rows: Sequence[Row], lesson: Lesson) -> list[Mistakes]:
    """The map of misconceptions, one line for each exercise that code can judge."""
    seen = Counter((result.exercise, result.mutant) for row in rows for result in row.results)
    wrong = Counter(
        result.exercise
        for row in rows
        for result in row.results
        if result.mutant is None and _group(result) == "wrong" and result.status != STOPPED
    )
    everyone = max(1, len(rows))
    found = []
    for exercise in lesson.exercises:
        known = [
            Misconception(exercise, mutant, count, count / everyone)
            for mutant in exercise.mutants
            for count in [seen[exercise.id, mutant.id]]
        ]
        known.sort(key=lambda one: -one.count)
        other = wrong[exercise.id]
        found.append(Mistakes(exercise, tuple(known), other, other / everyone))
    return found


# --- time -----------------------------------------------------------------------------------------


def minutes(rows: Sequence[Row], lesson: Lesson) -> list[tuple[Exercise | Written, Spread | None]]:
    """What learners took for each exercise, as far as their progress files say."""
    return [
        (part, spread([row.times[part.id] for row in rows if plausible(row, part.id)]))
        for part in lesson.parts
    ]


def plausible(row: Row, exercise: str) -> bool:
    """Whether the row carries a time for this exercise that can be one: nobody checked it."""
    value = row.times.get(exercise)
    return isinstance(value, int | float) and 0 <= value <= MONTH


# --- what a person has to look at -----------------------------------------------------------------


def with_status(rows: Sequence[Row], status: str) -> list[tuple[Row, list[Result]]]:
    """The rows that hold results of this status, with these results."""
    found = [(row, [one for one in row.results if one.status == status]) for row in rows]
    return [(row, results) for row, results in found if results]


def identical(rows: Sequence[Row]) -> list[list[Row]]:
    """Groups of submissions whose files are equal byte for byte, the largest first."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.digest:
            groups[row.digest].append(row)
    return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)
