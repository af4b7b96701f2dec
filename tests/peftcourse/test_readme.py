"""The README's commands for a user's own data, as they stand there, in an empty folder."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import peftlab
from peftcourse import cli
from peftcourse.cli import training
from peftcourse.compare import plan, run
from peftcourse.compare.carry_out import carry_out
from peftcourse.experiments import models
from tests.peftcourse.compare.small import InProcess

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("Fine-tune on **your own examples**") :]
SECTION = SECTION[: SECTION.index("Ask whether a model fits")]
COMMAND = ".venv/bin/peftlab "
JOBS = "baker builder farmer doctor teacher police cook tailor".split()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)


@pytest.fixture
def quick(monkeypatch):
    """Few steps, and a comparison without processes."""
    monkeypatch.setattr(training, "PASSES", 2)
    monkeypatch.setattr(plan, "QUICK", replace(plan.QUICK, steps=3, stories=2, cost_rounds=1))
    monkeypatch.setattr(run, "_engine", lambda name, plan, *_: InProcess(plan, carry_out))


def as_in_the_readme(row: dict, number: int) -> dict:
    """Another example with the fields of the one that is shown."""
    question = f"I look for number {number}. Who can help?"
    answer = JOBS[number % len(JOBS)]
    if "messages" not in row:
        return dict(zip(row, (question, answer), strict=True))
    contents = (question, f"A {answer}.")
    return {
        "messages": [
            turn | {"content": content}
            for turn, content in zip(row["messages"], contents, strict=True)
        ]
    }


@pytest.mark.parametrize("kind", [0, 1], ids=["questions", "chats"])
def test_the_commands_run_as_they_stand_there(kind, tmp_path, monkeypatch, capsys, quick):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEFTLAB_MODEL", "tiny")
    shown, commands = json.loads(blocks("json")[kind]), blocks("sh")[kind].splitlines()
    name = ("questions", "chats")[kind]
    assert f"`{name}.jsonl`" in SECTION
    rows = [shown, *(as_in_the_readme(shown, number) for number in range(48))]
    Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    printed = {}
    for command in commands:
        arguments = shlex.split(command.removeprefix(COMMAND))
        assert command.startswith(COMMAND) and cli.main(arguments) == 0, command
        printed[arguments[0]] = capsys.readouterr().out
    assert list(printed) == ["train", "generate", "ship", "compare"]
    assert "with the lowest validation loss" in printed["train"]
    for told in ("Loaded again: the same", "Hugging Face PEFT: the same", "merging: unchanged"):
        assert told in printed["ship"]
    assert f"tiny, {name}.jsonl: score =" in printed["compare"]
    assert "Failed" not in printed["compare"]

    if kind == 1:
        [snippet] = blocks("python")
        scope: dict = {}
        exec(snippet, scope)  # PEFT, as a user writes it
        ours = peftlab.load(models.load("tiny").model, "adapters/chats")
        merged = models.load("models/chats").model
        ids = scope["tokenizer"]("Who mends a roof?", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = ours(ids.to(ours.device)).logits
            assert not torch.allclose(logits, models.load("tiny").model(ids.to(ours.device)).logits)
            torch.testing.assert_close(scope["model"](ids.to(ours.device)).logits, logits)
            torch.testing.assert_close(
                merged(ids.to(ours.device)).logits, logits, rtol=1e-3, atol=1e-3
            )
