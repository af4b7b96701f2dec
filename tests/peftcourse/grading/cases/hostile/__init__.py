"""What people hand in who want points that they have not earned, or the grader to fail.

Each case is shown twice: to the plain grader in ``control.py``, where it has an effect, and to
``peftlab grade``, where it must have none. The modules of this package are sorted by what the
attack is after.
"""

from grading.cases.hostile import breaking, escaping, files, forging, gaining, reading
from grading.cases.hostile.base import BREACH, BREAKS, GAINS, Hostile

CASES: tuple[Hostile, ...] = (
    *breaking.CASES,
    *escaping.CASES,
    *gaining.CASES,
    *forging.CASES,
    *reading.CASES,
    *files.CASES,
)

__all__ = ["BREACH", "BREAKS", "CASES", "GAINS", "Hostile"]
