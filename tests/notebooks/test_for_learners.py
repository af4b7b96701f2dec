"""What a learner finds beside the labs: nothing that is for those who teach."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_labs_folder_holds_labs_alone():
    listed = subprocess.run(["git", "ls-files", "labs"], cwd=ROOT, capture_output=True, text=True)
    assert all(name.endswith(".ipynb") for name in listed.stdout.split())


def test_nbgrader_s_menus_are_off_where_labs_are_opened():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    folder = re.search(r'JUPYTER_CONFIG_PATH="\$\(CURDIR\)/(\S+)" \S+/jupyter lab ', makefile)[1]
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": str(ROOT / folder)}
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list"],
        env=environment,
        capture_output=True,
        text=True,
    )
    # Each extension with a version, and whether it is on.
    states = re.findall(
        r"@jupyter/nbgrader v\S+ (?:\x1b\[\d+m)?(\w+)", listed.stdout + listed.stderr
    )
    assert set(states) <= {"disabled"}, listed.stderr
