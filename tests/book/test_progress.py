"""What a build of the book shows of itself: each page on a terminal, two counts in a log."""

from __future__ import annotations

import sys

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from book.progress import CLEAR_LINE

# docutils and Sphinx announce their own deprecations.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def build(tmp_path, capsys):
    """Build two pages, those that changed; returns what was printed."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.rst").write_text("One\n===\n\n.. toctree::\n\n   two\n")
    (source / "two.rst").write_text("Two\n===\n")
    (source / "conf.py").write_text('extensions = ["book.progress"]\nhtml_theme = "basic"\n')

    def run() -> str:
        with docutils_namespace():
            folders = (source, source, tmp_path / "out", tmp_path / "doctrees")
            Sphinx(*folders, "html", status=None, warning=None).build()
        return capsys.readouterr().out

    return run, source


def test_a_log_has_one_line_with_what_was_done(build):
    run, source = build
    written = 2 + len(("genindex", "search"))
    assert run() == f"   2 pages read, {written} written\n"
    assert run() == "   0 pages read, 0 written\n"
    (source / "two.rst").write_text("Two\n===\n\nMore.\n")
    assert run().startswith("   1 pages read, ")


def test_a_terminal_has_a_line_that_names_each_page(build, monkeypatch):
    run, _ = build
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = run().split(CLEAR_LINE)
    assert lines[:3] == ["", "   reading 1 of 2: index", "   reading 2 of 2: two"]
    assert "   writing 1: index" in lines and "   writing 2: two" in lines
    assert lines[-1].startswith("   2 pages read, ") and "\n" not in "".join(lines[:-1])
