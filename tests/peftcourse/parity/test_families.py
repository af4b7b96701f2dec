"""The matrix of methods and architectures: a slice of it here, all of it in the record."""

import json
from pathlib import Path

import pytest
import torch

import peftlab
from peftcourse import cli
from peftcourse.parity import families
from peftcourse.parity.architectures import ARCHITECTURES
from peftlab import PeftlabError
from peftlab.methods.lora import LoRALinear

RECORD = Path(__file__).parents[3] / "results" / "parity_families.json"
BY_NAME = {architecture.name: architecture for architecture in ARCHITECTURES}


def test_a_quick_matrix_has_no_wrong_cell(capsys):
    assert cli.main(["parity", "--families", "--quick", "--json"]) == 0
    cells = {(c["architecture"], c["method"]): c for c in json.loads(capsys.readouterr().out)}
    assert {name for name, _ in cells} == set(families.QUICK)
    assert cells["Mamba", "prompt"]["verdict"] == "works"
    refused = cells["Mamba", "prefix"]
    assert refused["verdict"] == "refused"
    assert "one self-attention with a cache in each of its 2 layers" in refused["reason"]
    assert cells["Mistral (sliding)", "prefix"]["checks"]["left padding"] == "ok"


PROPER = LoRALinear.forward


@pytest.mark.parametrize(
    ("break_it", "seen"),
    [
        (
            lambda layer, x: layer.base(x) if x.shape[-1] == 48 else PROPER(layer, x),
            "no gradient in 2 adapters: model.layers.0.mlp.down_proj",
        ),
        (lambda layer, x: layer.base(x) + 0.1 + 0 * layer.branch(x), "apply changes nothing"),
    ],
)
def test_a_silent_wrong_is_a_failure(break_it, seen, monkeypatch):
    monkeypatch.setattr(LoRALinear, "forward", break_it)
    found = families.cell(BY_NAME["Llama (grouped)"], "LoRA")
    assert found.verdict == families.WRONG
    assert seen in found.reason


def test_refusing_what_peft_trains_is_a_failure(monkeypatch):
    def refuse(*_, **__):
        raise PeftlabError("no reason")

    monkeypatch.setattr(peftlab, "apply", refuse)
    found = families.cell(BY_NAME["GPT-2"], "LoRA")
    assert (found.verdict, found.reason) == ("wrong", "refused, and PEFT trains it: no reason")
    assert families.cell(BY_NAME["GPT-2"], "bottleneck").verdict == "refused"


def test_models_are_seeded_and_have_no_dropout():
    for name in ("BERT", "LLaVA"):
        architecture = BY_NAME[name]
        model = architecture.build().train()
        inputs = architecture.batch()
        logits = model(**inputs).logits
        assert torch.equal(logits, model(**inputs).logits)
        assert torch.equal(logits, architecture.build()(**inputs).logits)


def test_the_record_is_complete_and_refuses_little():
    cells = json.loads(RECORD.read_text(encoding="utf-8"))["numbers"]["cells"]
    pairs = [(cell["architecture"], cell["method"]) for cell in cells]
    assert pairs == [(a.name, method) for a in ARCHITECTURES for method in families.METHODS]
    assert len(ARCHITECTURES) >= 28
    assert len(families.METHODS) >= 12
    verdicts = [cell["verdict"] for cell in cells]
    assert verdicts.count("refused") <= 0.15 * len(cells)
    # What PEFT trains and peftlab refuses: virtual tokens on an encoder with a decoder.
    wrong = {pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict == "wrong"}
    assert wrong == {
        (name, m) for name in ("T5", "BART") for m in ("prefix", "prefix, MLP", "prompt")
    }
