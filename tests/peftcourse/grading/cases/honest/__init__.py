"""What learners hand in who mean no harm, with the outcome that each exercise must have.

``CASES`` is one class. Whatever is unusual about a notebook, an answer that is right in the
learner's own Jupyter keeps its points.
"""

from grading.cases.honest import cells, company, files, kernel, progress, styles
from grading.cases.honest.base import Honest

CASES: tuple[Honest, ...] = (
    *progress.CASES,
    *cells.CASES,
    *company.CASES,
    *styles.CASES,
    *files.CASES,
    *kernel.CASES,
)

__all__ = ["CASES", "Honest"]
