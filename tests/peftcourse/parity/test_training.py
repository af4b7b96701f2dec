"""The same method here and in PEFT: the same losses, and the same settings under other names."""

import copy
import dataclasses
import statistics

import peft
import pytest
import torch

from peftcourse.experiments import models, results, tasks
from peftcourse.experiments.evaluate import next_token_loss
from peftcourse.parity import fields, training

SAME = 1e-4  # nats
SAME_IN_64_BIT = 1e-6


@pytest.fixture(scope="module")
def tiny():
    base, tokenizer = models.load("tiny", device="cpu", dtype=torch.float32)
    return base, tasks.encode(tasks.load("voice", voice="pirate").train, tokenizer, 16)


def test_lora_has_the_same_losses_for_twenty_steps(tiny):
    """Live, on the bundled model; the other methods are recorded below."""
    ours, theirs = training.twin_losses(tiny[0], "LoRA", tiny[1], steps=20)
    assert len(ours) == 20 and ours[-1] < ours[0] - 1
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < SAME


@pytest.mark.parametrize("name", ["AdaLoRA", "norms", "prefix", "prompt"])
def test_two_steps_are_the_same(tiny, name):
    ours, theirs = training.twin_losses(tiny[0], name, tiny[1], steps=4)
    assert ours == pytest.approx(theirs, abs=SAME) and ours[0] != ours[-1]


@pytest.mark.parametrize(
    ("record", "apart"), [("library_twins", set()), ("library_twins_cuda", {"DoRA"})]
)
def test_the_recorded_losses_are_the_same_for_every_method(record, apart):
    """In 32 bit but for those named; in 64 bit for all, so these differ by rounding alone."""
    runs = {run["method"]: run for run in results.recorded(record)["numbers"]["runs"]}
    assert set(runs) == set(training.methods(20))
    for run in runs.values():
        gaps = [abs(a - b) for a, b in zip(run["peftlab"], run["peft"], strict=True)]
        assert len(gaps) == 20 and run["gap"] == max(gaps)
        assert run["gap_64_bit"] < SAME_IN_64_BIT and 0 < run["rounding"] < 1e-3
        assert run["peftlab"][-1] < run["peftlab"][0] - 0.5
    assert {name for name, run in runs.items() if run["gap"] >= SAME} == apart


@pytest.mark.parametrize("name", ["LoRA", "IA³"])
def test_rounding_the_start_moves_our_own_code_a_little(tiny, name):
    assert 0 < training.rounding_gap(tiny[0], name, tiny[1], steps=4) < 1e-3


@pytest.mark.parametrize("name", ["DoRA", "AdaLoRA"])
def test_in_64_bit_only_transformers_still_rounds_to_32(tiny, monkeypatch, name):
    """Its norms do, and its loss, from which PEFT's AdaLoRA penalty is read."""
    base = copy.deepcopy(tiny[0]).double()

    def gap():
        ours, theirs = training.twin_losses(base, name, tiny[1], steps=4)
        return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))

    def norm(self, hidden):
        mean = hidden.pow(2).mean(-1, keepdim=True)
        return self.weight * hidden * torch.rsqrt(mean + self.variance_epsilon)

    def penalty(self, model, read=training.Peft.penalty):
        self.model.base_model.model.loss_function = lambda logits, labels, **_: next_token_loss(
            logits, labels
        )
        return read(self, model)

    assert gap() < SAME_IN_64_BIT
    monkeypatch.setattr(type(base.model.norm), "forward", norm)
    monkeypatch.setattr(training.Peft, "penalty", penalty)
    assert gap() < 1e-11


@pytest.mark.parametrize("name", ["LoRA", "PiSSA", "prefix", "prompt", "norms"])
def test_pefts_own_start_trains_as_many_parameters(tiny, name):
    method = training.methods(20)[name].method
    counts = [
        sum(p.numel() for p in side(tiny[0], method).parameters() if p.requires_grad)
        for side in (training.ours, training.own_start)
    ]
    assert counts[0] == counts[1] > 0


def test_without_a_task_type_peft_leaves_adaloras_penalty_out(tiny):
    method = training.methods(20)["AdaLoRA"].method
    ours = training.ours(tiny[0], method)
    twin = training.same_start(tiny[0], method, ours)
    ids = torch.tensor([[5, 9, 7]])
    assert twin.model.peft_config["default"].task_type is None
    wrapper, tuner = twin.model(ids, labels=ids).loss, twin.model.base_model(ids, labels=ids).loss
    assert (tuner - wrapper).item() == pytest.approx(twin.penalty(ours).item(), rel=1e-5)
    assert tuner > wrapper + 1


def test_every_field_has_its_twin():
    """Each of ours is mapped, and what it is mapped to exists in PEFT."""
    for config, (name, names) in fields.FIELDS.items():
        theirs = {field.name for field in dataclasses.fields(getattr(peft, name))}
        assert list(names) and set(names) == {field.name for field in dataclasses.fields(config)}
        assert {other for other in names.values() if other} <= theirs
        for row in fields.rows(config):
            assert row.our_default and row.their_default


def test_defaults_that_differ_are_seen():
    lora = {row.ours: row for row in fields.rows(next(iter(fields.FIELDS)))}
    assert (lora["alpha"].our_default, lora["alpha"].their_default) == ("16.0", "8")
    assert lora["rank"].our_default == lora["rank"].their_default == "8"


def test_both_libraries_end_equally_well():
    """Each from its own start: where both draw from the same distribution, means are closer than
    twice the standard error of their difference; one of many may be outside by chance."""
    losses = {}
    for run in results.recorded("library_quality")["numbers"]["runs"]:
        sides = losses.setdefault((run["task"], run["method"]), {})
        sides.setdefault(run["library"], []).append(run["loss"])
    inside = []
    for (task, method), sides in losses.items():
        if method == "prefix":  # PEFT's starts with another standard deviation
            continue
        ours = sides.get("peftlab") or losses[task, "prefix"]["peftlab"]
        theirs = sides["peft"]
        assert len(ours) == len(theirs) == 5
        error = ((statistics.variance(ours) + statistics.variance(theirs)) / 5) ** 0.5
        inside.append(abs(statistics.fmean(ours) - statistics.fmean(theirs)) <= 2 * error + SAME)
    assert len(inside) == 2 * len(training.methods(100)) and sum(inside) >= 0.85 * len(inside)
