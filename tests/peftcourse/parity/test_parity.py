"""`peftlab parity`: what it compares is equal, and what is not equal it reports."""

import dataclasses
import json

import pytest
import torch

from peftcourse import cli
from peftcourse.parity import run, table
from peftlab.methods.lora import LoRAConfig

pytestmark = pytest.mark.filterwarnings("ignore")
CASES = {case.name: case for case in run.CASES}


@pytest.mark.parametrize("name", CASES)
def test_every_method_agrees_with_its_reference(name):
    case = CASES[name]
    for family in {"llama", "gpt2"} & set(case.families):
        for dtype in run.TOLERANCE:
            row = run.compare(case, family, dtype)
            assert row.ok, row
            assert row.moved >= 0.1


def test_every_method_is_compared_on_six_families_or_says_why_not():
    assert set(run.ALL) == {"llama", "qwen3", "mistral", "gpt2", "opt", "bert"}
    partial = {case.name for case in run.CASES if set(case.families) != set(run.ALL)}
    # Without a causal model there is no cache to put a prefix into; Llama has no biases.
    assert partial == {"prefix", "prefix with MLP", "prompt", "BitFit"}


@pytest.mark.parametrize("dtype", run.TOLERANCE)
def test_qlora_agrees(dtype):
    row = run.compare_qlora("llama", dtype)
    assert row.ok, row


def test_codes_agree_and_are_counted():
    for row in run.compare_codes("nf4", 64, torch.bfloat16):
        assert row.ok, row
        assert row.compared > 1000


def test_a_wrong_scale_is_noticed(monkeypatch):
    monkeypatch.setattr(LoRAConfig, "scaling_of", lambda self, path: self.alpha)
    row = run.compare(CASES["LoRA"], "llama", torch.float64)
    assert not row.ok
    assert row.logits_error > 0.01
    assert table.line(row).startswith("FAIL")


@pytest.mark.parametrize(
    "change",
    [
        {"logits_error": 2e-5},
        {"gradient_error": 2e-5},
        {"steps_error": 2e-5},
        {"parameters_equal": False},
        {"moved": 0.05},
        {"logits_error": float("nan")},
    ],
)
def test_each_part_of_a_row_can_fail(change):
    good = run.Row("m", "llama", "peft", "float32", 0.5, 1e-7, 1e-7, 1e-7, 10, True, 1e-5)
    assert good.ok
    assert not dataclasses.replace(good, **change).ok


def test_a_difference_passes_only_where_the_reference_differs_from_itself():
    row = run.CodeRow("nf4 codes", "blocks of 64", "bitsandbytes", "float32", 100, 2, 2)
    assert row.ok
    assert "2 of 100 values differ, of them 2 where" in table.line(row)
    assert not dataclasses.replace(row, reference_differs=1).ok


def test_the_command_prints_json_and_its_exit_code_is_the_verdict(monkeypatch, capsys, tmp_path):
    good = run.Row("m", "llama", "peft", "float32", 0.5, 1e-7, 1e-7, None, 10, True, 1e-5)
    bad = dataclasses.replace(good, logits_error=1.0)
    monkeypatch.setattr(run, "rows", lambda **_: iter([good, bad]))
    out = tmp_path / "parity.json"
    assert cli.main(["parity", "--json", "--out", str(out)]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert [row["ok"] for row in printed] == [True, False]
    assert printed[0] | {"ok": True} == {**dataclasses.asdict(good), "ok": True}
    assert json.loads(out.read_text())["numbers"]["rows"] == printed
    monkeypatch.setattr(run, "rows", lambda **_: iter([good]))
    assert cli.main(["parity"]) == 0
    text = capsys.readouterr().out
    assert "1 comparisons, 0 out of tolerance" in text
    assert "Different on purpose" in text
