"""What the tests of honest and hostile classes share."""

from __future__ import annotations

import pytest

from peftcourse.grading.sandbox import why_no_bubblewrap


@pytest.fixture(scope="session")
def no_bubblewrap() -> str:
    """Why there is no bubblewrap here, or an empty string."""
    why = why_no_bubblewrap()
    return f"bubblewrap {why}" if why else ""


@pytest.fixture(scope="session")
def bubblewrap(no_bubblewrap) -> None:
    """For tests that run hostile code."""
    if no_bubblewrap:
        pytest.skip(f"{no_bubblewrap}: hostile code is not run without it")
