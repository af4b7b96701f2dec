"""From the text of a cell to the answer in it, run here as it runs in the sandbox."""

import importlib
import sys
from pathlib import Path

import pytest

import peftcourse.exercises.observe
import peftcourse.grading.wire

SOURCE = Path(peftcourse.grading.wire.__file__).parent


@pytest.fixture(scope="module")
def answers():
    """The module as the worker imports it: its neighbours lie beside it, under short names."""
    names = {"observe": peftcourse.exercises.observe, "wire": peftcourse.grading.wire}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in names.items():
            patch.setitem(sys.modules, name, module)
        patch.syspath_prepend(SOURCE)
        patch.delitem(sys.modules, "answers", raising=False)
        yield importlib.import_module("answers")
        sys.modules.pop("answers", None)


@pytest.fixture
def build(answers, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def built(code, *helpers, notes=None):
        return answers.build(code, "double", list(helpers), [] if notes is None else notes)

    return built


RIGHT = "def double(x):\n    return 2 * x\n"


@pytest.mark.parametrize(
    "code",
    [
        RIGHT,
        "double = lambda x: 2 * x",
        "print('so far')\nmodel.train()\n" + RIGHT + "double(model)\nraise SystemExit",
        "%time 1\n!ls\ndouble?\n" + RIGHT,
        "%%time\n" + RIGHT,
        RIGHT + "assert double(2) == 5",
        "if True:\n    def double(x):\n        return 2 * x",
        "from peftcourse.exercises import check\n" + RIGHT + "check('x', double)",
        "def twice(x):\n    return 2 * x",
        "class double:\n    def __new__(cls, x):\n        return 2 * x",
        "from __future__ import annotations\nimport dataclasses\n\n@dataclasses.dataclass\n"
        "class Factor:\n    value: int = 2\n\ndef double(x):\n    return Factor().value * x",
    ],
    ids=range(11),
)
def test_an_answer_is_found_whatever_stands_around_it(build, code):
    assert build(code)(21) == 42


def test_names_come_from_other_cells_the_most_trusted_first(build):
    code = "def double(x: Number):\n    return factor() * x"
    helpers = (
        "from numbers import Number",
        "def factor():\n    return two",
        "two = 2\nfactor = None",
    )
    assert build(code, *helpers)(21) == 42


def test_what_an_answer_does_not_need_is_not_run(build):
    """A local variable, an attribute and an argument are not names of other cells."""
    code = "def double(x):\n    rank = 2\n    return rank * x.real"
    assert build(code, "rank = 1 / 0\nx = 1 / 0\nreal = 1 / 0", "raise SystemExit")(21) == 42


def test_a_loop_in_another_cell_defines_nothing(build):
    with pytest.raises(NameError, match="step"):
        build("def double(x):\n    return step * x", "for step in [1, 2]:\n    pass")(21)


def test_what_went_wrong_beside_the_answer_is_noted(build):
    notes = []
    build("model.train()\n" + RIGHT, notes=notes)
    assert notes == ["line 1: NameError: name 'model' is not defined"]
    notes = []
    build("def twice(x):\n    return 2 * x", notes=notes)
    assert notes == ["`double` is called `twice` here"]


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        ("def double(x)\n    return x", SyntaxError, "expected ':'"),
        ("x = 1", Exception, "nothing called `double`"),
        ("def f(x): ...\ndef g(x): ...", Exception, "nothing called `double`"),
        ("def double(x=unknown):\n    return x", NameError, "unknown"),
        ("double = 1 / 0", ZeroDivisionError, "division"),
        ("\0", Exception, "null byte"),
    ],
    ids=["syntax", "none", "two", "default", "value", "nul"],
)
def test_a_cell_without_an_answer_says_why(build, code, error, text):
    with pytest.raises(error, match=text):
        build(code)
