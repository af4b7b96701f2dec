"""How nbval is set up: what it replaces before comparing, and that runs leave nothing behind."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from peftcourse.labs.execute import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]


def sanitized(text: str) -> str:
    """What nbval does with each output."""
    rules = Path(__file__).with_name("sanitize.cfg").read_text(encoding="utf-8")
    patterns = get_sanitize_patterns(rules)
    assert len(patterns) == rules.count("regex:")
    for regex, replacement in patterns:
        text = re.sub(regex, replacement, text)
    return text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<object at 0x7f0a11bc>", "<object at 0x7fffab12c0>"),
        ("took 12.3 s", "took 9 s"),
        ("in /tmp/a1b2/pirate", "in /tmp/zzz"),
        ("torch 2.13.0", "torch 2.11.0+cu130"),
    ],
)
def test_what_differs_between_machines_is_replaced(one, other):
    assert one != other and sanitized(one) == sanitized(other)


@pytest.mark.parametrize("text", ["loss 2.31", "65,536 of 16,777,216", "status  correct", "r = 8"])
def test_results_are_not_replaced(text):
    assert sanitized(text) == text


def test_unattended_runs_have_the_environment_of_the_build():
    assert {name: os.environ.get(name) for name in ENVIRONMENT} == ENVIRONMENT


@pytest.mark.parametrize("path", sorted((ROOT / "solutions").glob("*.ipynb")), ids=str)
def test_stored_outputs_show_nothing_of_the_machine_they_were_made_on(path):
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", output.text
            text = str(output.get("text", "")) + str(output.get("data", ""))
            assert not re.search(r"0x[0-9a-f]{6,}|/tmp/|/home/|site-packages", text), text
