"""The page on the execution status takes its rows from the build and from results/."""

import json
import re
import sys
from pathlib import Path

import pytest

# docutils and Sphinx announce their own deprecations.
pytestmark = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).resolve().parents[2]

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions = ["myst_nb", "peftlab_book"]
source_suffix = {{".md": "myst-nb"}}  # Sphinx remembers that of an earlier application
nb_execution_mode = "force"
nb_execution_raise_on_error = False
html_theme = "basic"
"""
NOTEBOOK = """---
kernelspec:
  name: python3
  display_name: Python 3
jupytext:
  text_representation:
    format_name: myst
---

# A page with code

```{{code-cell}} python
name = "{name}"
{code}
```
"""


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The status page of a book of four: one that passes, one that fails, two of text."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    source = tmp_path_factory.mktemp("book")
    (source / "conf.py").write_text(CONF)
    (source / "index.md").write_text(
        "# Start\n\n```{toctree}\nstatus\npasses\nfails\n```\n", encoding="utf-8"
    )
    (source / "status.md").write_text("# Status\n\n```{execution-status}\n```\n", encoding="utf-8")
    (source / "passes.md").write_text(NOTEBOOK.format(name="myths_cpu", code="1 + 1"))
    (source / "fails.md").write_text(NOTEBOOK.format(name="no_such_record", code="1 / 0"))
    with docutils_namespace():
        Sphinx(
            source, source, source / "out", source / "trees", "html", status=None, warning=None
        ).build()
    sys.path.remove(str(ROOT / "book" / "_ext"))
    return (source / "out" / "status.html").read_text(encoding="utf-8")


def rows(html):
    found = []
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL):
        cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        found.append([" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in cells])
    return found


def test_a_page_with_code_has_its_cells_result_and_records(html):
    passed, failed = rows(html)[1:3]
    assert passed[:2] == ["A page with code", "1"]
    assert passed[4:] == ["passed", "myths_cpu"]
    assert float(passed[2]) >= 0
    assert failed[4:] == ["failed: CellExecutionError", "all live"]
    assert "2 pages with 2 code cells" in html
    assert "2 pages are text" in html


def test_a_record_has_its_hardware_date_place_and_command(html):
    record = json.loads((ROOT / "results" / "myths_cpu.json").read_text(encoding="utf-8"))
    [row] = [row for row in rows(html) if row[0] == "results/myths_cpu.json"]
    assert row[1:] == [
        record["hardware"], record["date"], "A page with code", record["command"],
    ]  # fmt: skip
    assert "results/grading.json" not in html


def test_words_of_the_tables():
    """Only quoted names of records count, and devices are counted."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        from peftlab_book.status import machines, names_in, outcome
    finally:
        sys.path.remove(str(ROOT / "book" / "_ext"))
    source = """recorded("memory_cuda"); for name in ('parity_cpu', "other"): grading"""
    known = ["parity_cpu", "memory_cuda", "grading"]
    assert names_in(source, known) == ("memory_cuda", "parity_cpu")
    assert outcome({}) == "not run"
    assert machines("NVIDIA H200, NVIDIA H200") == "2 x NVIDIA H200"
    assert machines("x86_64 CPU, 2 cores") == "x86_64 CPU, 2 cores"
