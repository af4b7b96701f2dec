"""What a notebook's cells leave, run here as they run in the sandbox, but without forks."""

import importlib
import sys
from pathlib import Path

import pytest

import peftcourse.exercises.observe
import peftcourse.grading.wire

SOURCE = Path(peftcourse.grading.wire.__file__).parent


@pytest.fixture(scope="module")
def kernel():
    """The module as the worker imports it: its neighbours lie beside it, under short names."""
    names = {"observe": peftcourse.exercises.observe, "wire": peftcourse.grading.wire}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in names.items():
            patch.setitem(sys.modules, name, module)
        patch.syspath_prepend(SOURCE)
        for name in ("kernel", "stand_ins", "lockdown"):
            patch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module("kernel")
        for name in ("kernel", "stand_ins", "lockdown"):
            sys.modules.pop(name, None)


@pytest.fixture
def run(kernel, monkeypatch):
    """Runs cells; returns the notebook, with all that it said in ``said``."""
    for name in ("__main__", "peftcourse", "peftcourse.exercises", "IPython", "IPython.display"):
        if name in sys.modules:
            monkeypatch.setitem(sys.modules, name, sys.modules[name])

    def ran(*cells, setup="", absent=("model", "history")):
        said = []
        asked = {"cells": [], "setup": setup, "absent": list(absent), "seconds": 5.0}
        notebook = kernel.Notebook(asked, {}, said.append)
        for number, source in enumerate(cells, 1):
            cell = {"number": number, "kind": "own", "source": source, "exercise": "double"}
            notebook._step(cell | (source if isinstance(source, dict) else {}))
        notebook.said = said
        return notebook

    return ran


def answer(notebook):
    found = notebook._answer("double", "double")
    return None if found is None else found[0]


RIGHT = "def double(x):\n    return 2 * x\n"


@pytest.mark.parametrize(
    "cells",
    [
        (RIGHT,),
        ("double = lambda x: 2 * x",),
        ("print('so far')\nmodel.train()\n" + RIGHT + "double(model)\nraise SystemExit",),
        ("%matplotlib inline\n!ls\ndouble?\nfiles = !ls\n" + RIGHT,),
        ("%%time\n" + RIGHT,),
        ("%%capture out\n" + RIGHT,),
        ("%time y = 21\n" + RIGHT + "assert y == 21",),
        (RIGHT + "%time _ = double(2)  # here, or before?\nz = 1  # is it so?",),
        (RIGHT + "assert double(2) == 5",),
        ("if True:\n    def double(x):\n        return 2 * x",),
        ("if 'google.colab' in __import__('sys').modules:\n    !pip install einops\n" + RIGHT,),
        ("try:\n    import no_such_package\nexcept ImportError:\n    factor = 2",
         "def double(x):\n    return factor * x"),
        ("from peftcourse.exercises import check\n" + RIGHT + "check('x', double)",),
        ("from IPython.display import Markdown, display\ndisplay(Markdown('x'))\n" + RIGHT,),
        ("get_ipython().run_line_magic('load_ext', 'autoreload')\n" + RIGHT,),
        ("def twice(x):\n    return 2 * x",),
        ("def twice(x):\n    return 2 * x", "check('double', twice)", "other = 1"),
        ("class double:\n    def __new__(cls, x):\n        return 2 * x",),
        ("from __future__ import annotations", "def double(x: Unknown):\n    return 2 * x"),
        ("import dataclasses\n\n@dataclasses.dataclass\nclass Factor:\n    value: int = 2",
         "def double(x):\n    return Factor().value * x"),
        (">>> def double(x):\n...     return 2 * x\n",),
        ("In [3]: def double(x):\n   ...:     return 2 * x\n",),
        ("    def double(x):\n        return 2 * x\n",),
        ("from math import *", "def double(x):\n    return sqrt(4) * x"),
        ("factor = 1", "factor += 1", "def double(x):\n    return factor * x"),
        ("def factor():\n    return 3", "def factor():\n    return 2",
         "def double(x):\n    return factor() * x"),
        ("for factor in (1, 2):\n    pass", "double = lambda x: factor * x"),
        ("with open('/dev/null') as f:\n    factor = 2\n1 / 0\nfactor = 3",
         "def double(x):\n    return factor * x"),
        ("def double(x):\n    raise ValueError", RIGHT),
        ("from functools import partial\nfrom operator import mul", "double = partial(mul, 2)"),
        ("class Doubling:\n    pass", "Doubling.__call__ = lambda self, x: 2 * x",
         "double = Doubling()"),
        ("import no_such_plots.pyplot as plt\nplt.figure()\n" + RIGHT,),
        ("from no_such_package import Model\n\ndef double(x: Model | None):\n"
         "    return 2 * x",),
        ("best = min(history.validation)", "double = lambda x: 2 * x if x else best"),
        ("exec('factor = 2')\nglobals()['double'] = lambda x: factor * x",),
    ],
    ids=range(35),
)  # fmt: skip
def test_an_answer_is_what_a_kernel_would_have(run, cells):
    assert answer(run(*cells))(21) == 42


@pytest.mark.parametrize(
    ("cells", "error", "text"),
    [
        (("def double(x)\n    return x",), "SyntaxError", "expected ':'"),
        (("def double(x=unknown):\n    return x",), "NameError", "unknown"),
        (("double = 1 / 0",), "ZeroDivisionError", "division"),
        (("# nothing yet",), "NotImplementedError", ""),
        (("1 / 0\n" + RIGHT,), "ZeroDivisionError", "division"),
        ((RIGHT + "\0",), "ValueError", "null byte"),
    ],
)
def test_a_cell_without_an_answer_says_why(run, cells, error, text):
    notebook = run(*cells)
    assert answer(notebook) is None
    why = notebook._observe({"exercise": "double", "target": "double"})["error"]
    kinds = {error, "SyntaxError"} if error == "ValueError" else {error}
    assert why["type"] in kinds and text in why["message"]


@pytest.mark.parametrize("cells", [("x = 1",), (), ("def f(x): ...\ndef g(x): ...",)])
def test_nothing_that_could_be_the_answer(run, cells):
    notebook = run(*cells)
    assert notebook._observe({"exercise": "double", "target": "double"}) == {}


def test_what_an_experiment_would_have_given_costs_its_statement_alone(run):
    notebook = run("start = 1\nloss = history.loss[0]\nend = 3", "print(loss + 1)\nlast = 4")
    assert [notebook.space[name] for name in ("start", "end", "last")] == [1, 3, 4]
    assert [(said["cell"], said["line"], said["whole"]) for said in notebook.said] == [
        (1, 2, False),
        (2, 1, False),
    ]
    assert "`history` is not there" in notebook.said[0]["said"]


def test_what_went_wrong_is_said_once_with_its_line(run):
    notebook = run("x = 1\ny = x / 0\nz = 2")
    assert notebook.said == [
        {"cell": 1, "line": 2, "said": "ZeroDivisionError: division by zero", "whole": True}
    ]
    assert notebook.space["x"] == 1 and "z" not in notebook.space


def test_the_labs_own_cells_come_from_the_trusted_source(run):
    stub = {"kind": "lab", "source": "def double(x):\n    raise NotImplementedError"}
    untouched = run({**stub, "target": "double"})
    with pytest.raises(NotImplementedError):
        answer(untouched)(1)
    # Who wrote the answer above the stub has not run the stub.
    assert answer(run(RIGHT, {**stub, "target": "double"}))(21) == 42
    lab = run(
        "factor = 5", {"kind": "lab", "source": "factor = 2"}, "double = lambda x: factor * x"
    )
    assert answer(lab)(21) == 42
    assert run(setup="factor = 2\nbroken = model.x").space["factor"] == 2


def test_a_number_without_end_is_a_number(kernel):
    assert kernel._bounded(10**400) == float("inf") and kernel._bounded(-(10**20)) < -1e300
    assert kernel._bounded(2**63 - 1) == 2**63 - 1
