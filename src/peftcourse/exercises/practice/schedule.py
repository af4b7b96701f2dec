"""Lesson 04, warm-up and cosine: reference solution, typical wrong answers, symptoms."""

from __future__ import annotations

import math

from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip


def schedule(step: int, steps: int, peak: float, warmup: float) -> float:
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


RISING = "math.ceil(warmup * steps)"
UP = "peak * step / rising"
PROGRESS = "(step - 1 - rising) / (steps - rising)"
DOWN = "peak * 0.5 * (1 + math.cos(math.pi * progress))"
RISE = "In the warm-up the rate is peak · step / rising, with rising = ⌈warmup · steps⌉"
FALL = "progress = (step - 1 - rising) / (steps - rising), from 0 to just below 1"
HALF = "Half a cosine: peak · ½ (1 + cos(π · progress))"


SCHEDULE: tuple[Mutant, ...] = (
    slip(
        schedule,
        "no-warm-up",
        "step <= rising",
        "step <= 0",
        "the rate starts at its peak: there is no warm-up",
        "Let the rate rise linearly over the first ⌈warmup · steps⌉ steps",
        (PROGRESS, "(step - 1) / steps"),
    ),
    slip(
        schedule,
        "first-step-wasted",
        UP,
        "peak * (step - 1) / rising",
        "the first step has a rate of zero and changes nothing: the rise is one step late",
        "In the warm-up use step / rising: 1 / rising in the first step",
    ),
    slip(
        schedule,
        "last-step-wasted",
        "step - 1 - rising",
        "step - rising",
        "the cosine is one step ahead: the last step has a rate of zero, and the first step after "
        "the warm-up has not the peak again",
        "Progress is (step - 1 - rising) / (steps - rising): 0 in the first step after the warm-up",
    ),
    slip(
        schedule,
        "linear-decay",
        DOWN,
        "peak * (1 - progress)",
        "the rate falls along a straight line, not along a cosine",
        HALF,
    ),
    slip(
        schedule,
        "cosine-over-all-steps",
        PROGRESS,
        "(step - 1) / steps",
        "the cosine counts from the first step, so the rate jumps down where the warm-up ends: "
        "its progress starts after the warm-up",
        "Count progress from the end of the warm-up",
    ),
    slip(
        schedule,
        "comes-back-up",
        "math.pi * progress",
        "2 * math.pi * progress",
        "a whole period of the cosine: the rate is back at its peak at the end",
        "Half a period: cos(π · progress)",
    ),
    slip(
        schedule,
        "warm-up-rounded-down",
        RISING,
        "int(warmup * steps)",
        "the warm-up is rounded down: ⌈warmup · steps⌉ is rounded up (ceil)",
        RISE,
    ),
    slip(
        schedule,
        "warm-up-rounded",
        RISING,
        "round(warmup * steps)",
        "the warm-up is rounded to the nearest number: ⌈warmup · steps⌉ is rounded up (ceil)",
        RISE,
    ),
    slip(
        schedule,
        "warm-up-rounded-up-always",
        RISING,
        "int(warmup * steps) + 1",
        "the warm-up has one step too many where warmup · steps is whole: ⌈…⌉ (ceil) leaves whole "
        "numbers alone, int(…) + 1 does not",
        RISE,
    ),
    slip(
        schedule,
        "warm-up-not-rounded",
        RISING,
        "warmup * steps",
        "the warm-up is a fraction of a step long: ⌈warmup · steps⌉ is rounded up (ceil)",
        RISE,
    ),
    slip(
        schedule,
        "zero-at-the-last-step",
        "(steps - rising)",
        "(steps - rising - 1)",
        "the fall is one step too short: the last step has a rate of zero, which the cosine would "
        "reach one step after the last",
        FALL,
    ),
    slip(
        schedule,
        "peak-not-reached",
        "step / rising",
        "step / (rising + 1)",
        "the warm-up does not reach the peak: its last step has it, step / rising and not "
        "step / (rising + 1)",
        RISE,
    ),
    slip(
        schedule,
        "from-zero-to-peak",
        UP,
        "peak * (step - 1) / max(1, rising - 1)",
        "the first step has a rate of zero and changes nothing: the rise goes from 0, and not from "
        "1 / rising, to the peak",
        RISE,
    ),
    slip(
        schedule,
        "warm-up-one-step-short",
        "step <= rising",
        "step < rising",
        "the last step of the warm-up is in the cosine already, one step before its start: < "
        "where ≤ is needed (off by one)",
        "Use step <= rising",
    ),
    slip(
        schedule,
        "quarter-of-a-cosine",
        DOWN,
        "peak * math.cos(math.pi / 2 * progress)",
        "a quarter of a cosine, cos(π/2 · progress), where half of one is asked for, "
        "(1 + cos(π · progress)) / 2",
        HALF,
    ),
    slip(
        schedule,
        "bare-cosine",
        DOWN,
        "peak * math.cos(math.pi * progress)",
        "the bare cosine falls below zero, to a negative rate: ½ (1 + cos) is missing",
        HALF,
    ),
    slip(
        schedule,
        "not-halved",
        "peak * 0.5",
        "peak",
        "the cosine is not halved: after the warm-up the rate starts at twice the peak; 0.5 is "
        "missing",
        HALF,
    ),
    slip(
        schedule,
        "no-pi",
        "math.pi * progress",
        "progress",
        "π is missing in the cosine, so the rate hardly falls",
        HALF,
    ),
    slip(
        schedule,
        "degrees",
        "math.pi * progress",
        "180 * progress",
        "the cosine gets degrees: math.cos takes radians, π · progress",
        HALF,
    ),
    slip(
        schedule,
        "rises-again",
        "(1 + math.cos",
        "(1 - math.cos",
        "after the warm-up the rate rises from zero: the sign of the cosine is wrong, 1 − cos "
        "where 1 + cos is needed",
        HALF,
    ),
    slip(
        schedule,
        "fall-as-long-as-all-steps",
        "(steps - rising)",
        "steps",
        "the fall is too slow: progress is divided by all steps, and only steps − rising are left "
        "after the warm-up",
        FALL,
    ),
    slip(
        schedule,
        "progress-of-all-steps",
        PROGRESS,
        "step / steps",
        "progress counts all steps from the start (step / steps), so the rate jumps down where the "
        "warm-up ends: it starts after the warm-up, and no step has zero",
        FALL,
    ),
    slip(
        schedule,
        "late-start",
        "step - 1 - rising",
        "step - 2 - rising",
        "the cosine is one step late (off by one): progress is 0 in the first step after the "
        "warm-up",
        FALL,
    ),
    slip(
        schedule,
        "number-of-steps",
        RISING,
        "math.ceil(warmup)",
        "warmup is taken as a number of steps, or as per cent: it is a share (fraction) of them, "
        "⌈warmup · steps⌉",
        RISE,
    ),
    slip(
        schedule,
        "share-of-the-way",
        "step <= rising",
        "step <= warmup",
        "warmup is compared with a step number: it is a share (fraction) of the steps, "
        "⌈warmup · steps⌉",
        RISE,
    ),
    slip(
        schedule,
        "whole-rise",
        "peak * step / rising",
        "peak * (step // rising)",
        "// is an integer division: the rate is zero until the last step of the warm-up, and does "
        "not rise linearly",
        RISE,
    ),
    slip(
        schedule,
        "fall-without-peak",
        "return peak * 0.5",
        "return 0.5",
        "the cosine is not multiplied by the peak: after the warm-up the rate starts at 1",
        HALF,
    ),
    slip(
        schedule,
        "rise-without-peak",
        UP,
        "step / rising",
        "the warm-up is not multiplied by the peak: it rises to 1",
        RISE,
    ),
    slip(
        schedule,
        "no-peak",
        UP,
        "step / rising",
        "nothing is multiplied by the peak: these are shares of it",
        "Multiply both pieces by peak",
        ("return peak * 0.5", "return 0.5"),
    ),
    slip(
        schedule,
        "never-below-a-tenth",
        "return " + DOWN,
        "return max(0.1 * peak, " + DOWN + ")",
        "the rate never falls below a tenth of the peak: a minimum is asked for nowhere, the "
        "cosine goes on towards zero",
        HALF,
    ),
    slip(
        schedule,
        "down-to-a-tenth",
        DOWN,
        "peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))",
        "the cosine falls to a tenth of the peak, and not to zero: a minimum is asked for nowhere",
        HALF,
    ),
    slip(
        schedule,
        "constant",
        DOWN,
        "peak",
        "after the warm-up the rate stays at the peak: it has to fall along half a cosine",
        HALF,
    ),
    slip(
        schedule,
        "constant-warm-up",
        UP,
        "peak",
        "the rate does not rise in the warm-up: it has the peak from the first step on",
        RISE,
    ),
    slip(
        schedule,
        "squared-rise",
        UP,
        "peak * (step / rising) ** 2",
        "the rise is not linear: the share of the warm-up is squared",
        RISE,
    ),
    slip(
        schedule,
        "cosine-rise",
        UP,
        "peak * 0.5 * (1 - math.cos(math.pi * step / rising))",
        "the rise is a cosine, where a line is asked for: it is linear",
        RISE,
    ),
)


def _rates(case, expected, observed) -> tuple[Tensor, Tensor, int]:
    """The right rates, those of an answer, and how many of them are in the warm-up."""
    return expected["rates"], observed["rates"], math.ceil(case["warmup"] * case["steps"])


def _rises_rightly(case, expected, observed) -> bool:
    right, seen, rising = _rates(case, expected, observed)
    return agree(right[:rising], seen[:rising])


def _falls_rightly(case, expected, observed) -> bool:
    right, seen, rising = _rates(case, expected, observed)
    return agree(right[rising:], seen[rising:])


def _negative(case, expected, observed) -> bool:
    return bool((observed["rates"] < 0).any())


def _first_is_zero(case, expected, observed) -> bool:
    return abs(float(observed["rates"][0])) < 1e-9 * case["peak"]


def _last_is_zero(case, expected, observed) -> bool:
    return abs(float(observed["rates"][-1])) < 1e-9 * case["peak"]


def _above_the_peak(case, expected, observed) -> bool:
    return float(observed["rates"].max()) > 1.001 * case["peak"]


SCHEDULE_SYMPTOMS = (
    Symptom(
        "rates",
        "the first step has a rate of zero and is wasted",
        "In the warm-up use step / rising: 1 / rising in the first step",
        _first_is_zero,
    ),
    Symptom(
        "rates",
        "the last step has a rate of zero and is wasted: the cosine would reach zero one step "
        "after the last",
        FALL,
        _last_is_zero,
    ),
    Symptom("rates", "some rates are negative, below zero", HALF, _negative),
    Symptom("rates", "some rates are above the peak", HALF, _above_the_peak),
    Symptom(
        "rates",
        "the warm-up is right, and the fall after it is not: half a cosine from the peak, whose "
        "progress goes from 0 in the first step after the warm-up to just below 1 in the last",
        f"{FALL}. {HALF}",
        _rises_rightly,
    ),
    Symptom(
        "rates",
        "the fall is right, and the warm-up is not: it rises linearly, and the last of its "
        "⌈warmup · steps⌉ steps has the peak",
        RISE,
        _falls_rightly,
    ),
)
