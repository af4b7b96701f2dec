"""The times of the stages of one run are kept and printed together."""

import os
import re
import subprocess
from pathlib import Path

STAGE = Path(__file__).resolve().parents[2] / "tools" / "stage.sh"


def stage(folder: Path, began: str, *arguments: str) -> str:
    done = subprocess.run(
        ["sh", str(STAGE), *arguments],
        cwd=folder,
        env=os.environ | {"BEGAN": began},
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_the_times_of_one_run_are_printed_together(tmp_path):
    stage(tmp_path, "1", "Of another run", "", "true")
    stage(tmp_path, "2", "Tests: all", "", "sleep", "1")
    stage(tmp_path, "2", "Book", "", "false")
    table = stage(tmp_path, "2")
    assert re.fullmatch(
        r" +[1-9]\d* s  done    Tests: all\n +\d+ s  FAILED  Book\n +[1-9]\d* s  in all\n", table
    ), table
