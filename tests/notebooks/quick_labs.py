"""A pytest plugin with which unsolved labs run on a model that trains in a fraction of the time.

    python -m pytest -p tests.notebooks.quick_labs --nbval solutions labs

All cells of a lab but the answers stand in its solution too, and run there on the bundled model.
What is left to see is that a lab runs to its end although every answer is missing. For this the
model may be random, a fourth as wide as the bundled one and no deeper than the last layer that a
lab names; asserts, which say what holds for the bundled model, are left out. `make test-full` runs
the labs as they are.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

ROOT = Path(__file__).resolve().parents[2]
LABS = ROOT / "labs"
BASE = ROOT / "_build" / "narrow-base"
LAYERS = 5  # of the bundled model's eight


def save_narrow_base(folder: Path) -> None:
    """Save a random model with the bundled one's kind of layers and tokenizer, but smaller."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    from peftcourse.experiments import models

    disable_progress_bar()
    config = AutoConfig.from_pretrained(models.path("tiny"))
    config.hidden_size, config.intermediate_size = 64, 192
    config.num_attention_heads, config.num_key_value_heads = 4, 2
    config.num_hidden_layers = LAYERS
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(models.path("tiny")).save_pretrained(folder)


def without_asserts(source: str) -> str:
    """A cell with `pass` in place of its asserts; its other lines keep their numbers."""
    try:
        statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
    except SyntaxError:  # magics of IPython
        return source
    lines = source.splitlines()
    for node in statements:
        lines[node.lineno - 1] = " " * node.col_offset + "pass"
        for number in range(node.lineno, node.end_lineno):
            lines[number] = ""
    return "\n".join(lines)


def pytest_configure(config: pytest.Config) -> None:
    """Make the model once, before there are workers."""
    if not hasattr(config, "workerinput"):
        save_narrow_base(BASE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _of_a_lab(item):
            item.cell.source = without_asserts(item.cell.source)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before nbval starts a notebook's kernel, which inherits the environment."""
    if _of_a_lab(item):
        os.environ["PEFTLAB_MODEL"] = str(BASE)
    else:
        os.environ.pop("PEFTLAB_MODEL", None)


def _of_a_lab(item: pytest.Item) -> bool:
    return isinstance(item, IPyNbCell) and item.path.parent == LABS
