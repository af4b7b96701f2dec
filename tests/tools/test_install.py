"""Set-up counts the packages that pip finds and puts in place, and shows what failed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.install import Watch, found, pins

ROOT = Path(__file__).resolve().parents[2]


def test_each_pin_is_counted_once():
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert len(pins(text)) == sum("==" in line.split("#")[0] for line in text.splitlines())
    assert pins("Sphinx_Design==1\n# a==1\n-e .\n") == {"sphinx-design"}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Collecting ruamel.yaml==1.0 (from -r requirements.txt (line 3))", "ruamel-yaml"),
        ("Requirement already satisfied: numpy==2.4.6 in ./lib", "numpy"),
        ("Processing /wheels/sphinx_design-0.6-py3-none-any.whl (from -r r.txt)", "sphinx-design"),
        ("Processing ./torch-2.13.0.tar.gz", "torch"),
        ("  Downloading numpy-2.4.6.whl (9 MB)", None),
        ("Installing collected packages: numpy", None),
    ],
)
def test_what_pip_says_it_has_found(line, name):
    assert found(line) == name


def test_what_pip_says_is_read_to_its_end():
    watch = Watch(["Collecting a\n", "nothing\n", "Collecting a\n", "Collecting b>=1\n"])
    watch.start()
    watch.join()
    assert watch.found == {"a", "b"}
    assert len(watch.said) == 4


def test_when_pip_fails_all_that_it_said_is_shown(tmp_path):
    (tmp_path / "requirements.txt").write_text("./nowhere\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "install.py")],
        cwd=tmp_path,
        env=os.environ | {"PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "nowhere" in done.stderr
