"""Lesson 04, LoRA+'s two rates: reference solution, typical wrong answers, symptoms."""

from __future__ import annotations

from typing import Any

from torch import nn

from peftcourse.exercises.core import Mutant, Symptom, slip


def ratio(model: nn.Module, rate: float, factor: float) -> list[dict[str, Any]]:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    fast = [p for name, p in named if name.split(".")[-1] == "B"]
    slow = [p for name, p in named if name.split(".")[-1] != "B"]
    return [{"params": slow, "lr": rate}, {"params": fast, "lr": factor * rate}]


TRAINS = " if p.requires_grad"
FAST = 'if name.split(".")[-1] == "B"'
SLOW = 'if name.split(".")[-1] != "B"'
HIGH = '"lr": factor * rate'
LAST_PART = "Look at the last part of the name: name.split('.')[-1] == 'B'"
RATES = "B gets factor · rate, and everything else that trains gets rate"
UNFROZEN = "Keep only parameters with requires_grad, in both groups"


def _named(id: str, test: str, diagnosis: str) -> Mutant:
    """Another test on the name decides what a B is."""
    return slip(ratio, id, FAST, f"if {test}", diagnosis, LAST_PART, (SLOW, f"if not ({test})"))


RATIO: tuple[Mutant, ...] = (
    slip(
        ratio,
        "fast-a",
        FAST,
        'if name.split(".")[-1] == "A"',
        "A has the high rate, factor · rate, and B the low one: they are swapped",
        "B starts at zero and gets factor · rate",
        (SLOW, 'if name.split(".")[-1] != "A"'),
    ),
    _named(
        "b-anywhere",
        '"B" in name',
        "whatever has a B anywhere in its name is fast, also A in a module called Blocks; only the "
        "last part counts",
    ),
    slip(
        ratio,
        "the-rest-is-missing",
        SLOW,
        'if name.split(".")[-1] == "A"',
        "what trains besides A and B (norms, biases, heads) is in no group, so it never moves",
        "Everything that requires a gradient and is not a B belongs to the slow group",
    ),
    slip(
        ratio,
        "frozen-too",
        TRAINS,
        "",
        "the frozen weights are in a group: with weight decay and a gradient they would move",
        UNFROZEN,
    ),
    slip(
        ratio,
        "slower-b",
        HIGH,
        '"lr": rate / factor',
        "B's rate is divided by the factor; it learns more slowly than A",
        "Multiply: factor · rate",
    ),
    slip(
        ratio,
        "swapped",
        HIGH,
        '"lr": rate',
        "the rates are swapped: the rest gets factor · rate, and B the low one",
        RATES,
        ('slow, "lr": rate', 'slow, "lr": factor * rate'),
    ),
    slip(
        ratio,
        "slower-rest",
        'slow, "lr": rate',
        'slow, "lr": rate / factor',
        "the rest is slowed down to rate / factor, and B has rate: B gets factor · rate, the rest "
        "rate",
        RATES,
        (HIGH, '"lr": rate '),
    ),
    slip(
        ratio,
        "factor-alone",
        HIGH,
        '"lr": factor',
        "B's lr is the factor alone: it is factor · rate",
        RATES,
    ),
    slip(
        ratio,
        "factor-added",
        HIGH,
        '"lr": factor + rate',
        "the factor is added to B's rate: it is factor · rate",
        RATES,
    ),
    slip(
        ratio,
        "one-rate",
        HIGH,
        '"lr": rate',
        "B has the same rate as the rest: it gets factor · rate",
        RATES,
    ),
    slip(
        ratio,
        "factor-for-both",
        'slow, "lr": rate',
        'slow, "lr": factor * rate',
        "the rest has the high rate, too: only B gets factor · rate",
        RATES,
    ),
    _named(
        "name-ends-in-b",
        'name.endswith("B")',
        "a name that only ends in B, such as proj_B, is taken for a B (endswith): the whole last "
        "part, behind the dot, is B",
    ),
    _named(
        "b-behind-a-dot",
        'name.endswith(".B")',
        "a parameter whose whole name is B has no dot before it, and is not taken for a B: its "
        "last part is B, too",
    ),
    _named(
        "b-in-the-path",
        '"B" in name.split(".")',
        "a B in any part of the path is taken, also a module called B: only the last part of the "
        "name counts",
    ),
    _named(
        "any-case",
        'name.split(".")[-1].upper() == "B"',
        "a parameter called b is taken for a B: upper and lower case differ",
    ),
    _named(
        "first-part",
        'name.split(".")[0] == "B"',
        "the first part of the name is looked at: the last one, behind the last dot, is B",
    ),
    _named(
        "whole-name",
        'name == "B"',
        "the whole name is compared with B: its last part counts, as in Blocks.0.B",
    ),
    _named(
        "ends-in-lora-b",
        'name.split(".")[-1] in ("B", "lora_B")',
        "other names than B are taken, too, such as lora_B: the last part is exactly B",
    ),
    slip(
        ratio,
        "frozen-b-kept",
        "for name, p in named " + FAST,
        'for name, p in model.named_parameters() if name.split(".")[-1] == "B"',
        "a frozen B is in a group: only the rest is filtered by requires_grad",
        UNFROZEN,
    ),
    slip(
        ratio,
        "frozen-in-the-rest",
        "for name, p in named " + SLOW,
        'for name, p in model.named_parameters() if name.split(".")[-1] != "B"',
        "frozen parameters are in the rest: only B is filtered by requires_grad",
        UNFROZEN,
    ),
    slip(
        ratio,
        "b-in-both",
        " " + SLOW,
        "",
        "B is in both groups: it is twice in the optimizer, once with the rate of the rest",
        "Leave B out of the slow group",
    ),
    slip(
        ratio,
        "b-alone",
        '[{"params": slow, "lr": rate}, ',
        '[{"params": [], "lr": rate}, ',
        "the rest is in no group, so it never moves: only B is there",
        RATES,
    ),
    slip(
        ratio,
        "no-b",
        '{"params": fast, ',
        '{"params": [], ',
        "B is in no group, so it never moves",
        RATES,
    ),
    slip(
        ratio,
        "all-of-the-layer",
        FAST,
        'if hasattr(model.get_submodule(name.rpartition(".")[0]), "B")',
        "A and other parameters of a layer that has a B are fast, too: only the parameter named B "
        "itself is",
        LAST_PART,
        (SLOW, 'if not hasattr(model.get_submodule(name.rpartition(".")[0]), "B")'),
    ),
    slip(
        ratio,
        "with-a-gradient",
        "if p.requires_grad",
        "if p.grad is not None",
        "no parameter is in a group: p.grad is None before the first backward(), requires_grad is "
        "meant",
        UNFROZEN,
    ),
    slip(
        ratio,
        "only-frozen",
        "if p.requires_grad",
        "if not p.requires_grad",
        "the frozen parameters are in the groups and those that train in none: requires_grad is "
        "the wrong way round",
        UNFROZEN,
    ),
)


RATIO_SYMPTOMS = (
    Symptom(
        "entries that are no parameters of the model",
        "the groups do not hold the model's parameters themselves but something else: names, pairs "
        "of a name and a parameter, or copies (.data), which an optimizer cannot train",
        "Put the objects of named_parameters() into the lists, as they are",
        decides=True,
    ),
    Symptom(
        "parameters that train afterwards",
        "requires_grad of some parameters has changed: what was frozen trains now, or the other "
        "way round",
        "Only read requires_grad",
        decides=True,
    ),
    Symptom(
        "parameters in two groups",
        "some parameters are in more than one group, or twice in one: an optimizer refuses that",
        "Put each parameter into one group",
        decides=True,
    ),
    Symptom(
        "frozen parameters in groups",
        "frozen parameters, whose requires_grad is False, are in a group",
        UNFROZEN,
    ),
    Symptom(
        "groups",
        "the number of groups is wrong: two groups are asked for, one for every B and one for the "
        "rest",
        "Return a list of two dictionaries",
        decides=True,
    ),
    Symptom(
        "rates of B, of a parameter named B alone",
        "the parameter whose whole name is B, directly in the model without a dot, does not get "
        "B's rate",
        LAST_PART,
    ),
    Symptom(
        "rates of names that only end in B",
        "a parameter whose name only ends in B (proj_B) does not get the rate of the rest: the "
        "whole last part is to be B",
        LAST_PART,
    ),
    Symptom(
        "rates of parameters in a module named B",
        "a parameter of a module called B does not get the rate of the rest: only the last part of "
        "its name counts",
        LAST_PART,
    ),
    Symptom(
        "rates of the others",
        "parameters that train besides A and B (norm, bias) are in no group or have a wrong rate",
        RATES,
    ),
    Symptom(
        "rates of b",
        "a parameter named b does not get the rate of the rest: upper and lower case differ",
        LAST_PART,
    ),
    Symptom("rates of A", "A is in no group or has another rate than the rest", RATES),
    Symptom("rates of B", "B is in no group or has another rate than factor · rate", RATES),
)
