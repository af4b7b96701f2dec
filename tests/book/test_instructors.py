"""The pages for instructors name commands, options and attacks that exist."""

import re
import shlex

import pytest
from grading.cases.hostile import CASES

from book import execution
from peftcourse.cli import parser

PAGES = ("instructors", "writing-exercises", "threat-model")


def page(name: str) -> str:
    return (execution.BOOK / f"{name}.md").read_text(encoding="utf-8")


def test_the_commands_that_are_run_exist():
    commands = re.findall(r'^run\("(.+)"\)$', page("instructors"), re.MULTILINE)
    assert {command.split()[0] for command in commands} == {"release", "grade"}
    for command in commands:
        if "--help" not in command:
            parser().parse_args(shlex.split(command))


@pytest.mark.parametrize("name", PAGES)
def test_the_options_in_the_text_exist(name, capsys):
    known = set()
    for command in ("grade", "release"):
        with pytest.raises(SystemExit):
            parser().parse_args([command, "--help"])
        known |= set(re.findall(r"--[a-z]+", capsys.readouterr().out))
    # Whatever stands between back quotes, apart from other programs' commands.
    quoted = re.findall(r"(?<!`)`([^`\n]*--[a-z][^`\n]*)`(?!`)", page(name))
    options = {option for text in quoted for option in re.findall(r"--[a-z]+", text)}
    assert options <= known, options - known


def test_every_attack_that_is_named_is_tested():
    cells = re.findall(r"^\| [^|]+\| [^|]+\| (`.+`) \|$", page("threat-model"), re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)}
    assert len(named) > 40
    assert named <= {case.name for case in CASES}


def test_the_pages_are_in_the_table_of_contents():
    contents = (execution.ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert all(f"- file: {name}\n" in contents for name in PAGES)
