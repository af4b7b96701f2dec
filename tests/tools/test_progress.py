"""What a run of tests shows: how far it is, what fails, and pytest's own closing words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest

def test_right(): pass
def test_wrong(): assert 1 + 1 == 3
@pytest.mark.skip(reason="no time")
def test_skipped(): pass
"""


def shown(folder: Path, *options: str) -> str:
    (folder / "test_one.py").write_text(TESTS, encoding="utf-8")
    (folder / "test_two.py").write_text("def test_other(): pass\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "tools.progress", *options]
    command += ["-p", "no:cacheprovider", "-p", "xdist", "--rootdir", str(folder)]
    command += ["-c", "/dev/null", str(folder)]
    # Of the plugins that are installed it needs one; to load them all takes longer than the tests.
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return done.stdout


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["here", "in a worker"])
def test_a_failure_is_named_at_once_and_shown_in_full(tmp_path, workers):
    text = shown(tmp_path, *workers)
    first, *_ = text.splitlines()
    assert first.strip() == "FAILED test_one.py::test_wrong"
    for part in ("assert (1 + 1) == 3", "SKIPPED [1]", "no time", "FAILED test_one.py::test_wrong"):
        assert part in text
    assert text.splitlines()[-1].startswith("1 failed, 2 passed, 1 skipped in ")
    assert "bringing up" not in text and "[100%]" not in text


def test_a_long_run_says_how_far_it_is(tmp_path, monkeypatch):
    (tmp_path / "conftest.py").write_text(
        "from tools import progress\nprogress.LINE_EVERY = -1.0\n", encoding="utf-8"
    )
    lines = [line.strip() for line in shown(tmp_path).splitlines()]
    counts = [line.split(",")[0] for line in lines if re.search(r" of 4 tests, \d", line)]
    assert counts == [f"{number} of 4 tests" for number in (1, 2, 3, 4)]
