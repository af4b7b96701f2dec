"""What a public repository needs: workflows, a citation, and a guide that names real files."""

import re
from pathlib import Path

import pytest
import yaml

import peftlab

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def steps(workflow: Path) -> list[dict]:
    """The steps of all jobs of a workflow."""
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def targets(text: str) -> set[str]:
    """The targets of the calls of make in a text."""
    return set(re.findall(r"\bmake ([a-z-]+)", text))


def test_the_two_commands_the_book_and_a_release_have_workflows():
    called = {path.stem: targets(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
    assert called == {"tests": {"test", "book"}, "book": {"book"}, "release": {"wheel", "book"}}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_no_more_than_it_says_and_runs_pinned_actions(workflow):
    read = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert read["permissions"]
    for job in read["jobs"].values():
        assert job["timeout-minutes"] <= 90
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]), step["uses"]


@pytest.mark.parametrize("document", [*WORKFLOWS, ROOT / "CONTRIBUTING.md"], ids=lambda p: p.stem)
def test_only_targets_that_exist_are_called(document):
    for target in targets(document.read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == peftlab.__version__
    assert citation["license"] == "MIT"
    assert {"message", "title", "authors"} <= citation.keys()


def test_the_guide_for_contributors_names_files_that_exist():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./-]+)`", guide) if "/" in name or "." in name}
    names = {name for name in named if not name.startswith((".venv/", "lora", "registry"))}
    assert len(names) > 20
    assert not {name for name in names if not (ROOT / name).exists()}
