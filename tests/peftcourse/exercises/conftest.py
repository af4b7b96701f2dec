"""Exercises write their progress to a file; tests keep it in memory."""

import pytest

from peftcourse.exercises import record


@pytest.fixture(autouse=True)
def no_progress_file(monkeypatch):
    monkeypatch.setenv("PEFTLAB_PROGRESS", record.OFF)
    monkeypatch.delenv("PEFTLAB_SEED", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr(record, "_memory", {})
