"""Lesson 11, when to stop: the reference solution, typical wrong answers and symptoms."""

from __future__ import annotations

from collections.abc import Callable

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip
from peftcourse.exercises.observe import Case, Outcome

Look = Callable[[Case, Outcome, Outcome], bool]


def stop(losses: list[float], patience: int, min_delta: float) -> tuple[int, int]:
    kept, waited = 0, 0
    for i, loss in enumerate(losses[1:], 1):
        if loss < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
        if waited == patience:
            return kept, i
    return kept, len(losses) - 1


def _stop_minimum(losses, patience, min_delta):
    return losses.index(min(losses)), stop(losses, patience, min_delta)[1]


def _stop_around_minimum(losses, patience, min_delta):
    best = losses.index(min(losses))
    return best, min(best + patience, len(losses) - 1)


_AT_THE_STOP, _AT_THE_END = "return kept, i\n", "return kept, len(losses) - 1"

STOP = (
    slip(
        stop,
        "min-delta-ignored",
        " - min_delta",
        "",
        "any lower loss counts as an improvement, however small: min_delta is not used",
        "An improvement is a loss below the best minus min_delta",
    ),
    slip(
        stop,
        "patience-plus-one",
        "waited == patience",
        "waited == patience + 1",
        "training goes on for one evaluation too long: one too many is waited for",
        "Stop when the number of evaluations without improvement reaches the patience",
    ),
    slip(
        stop,
        "or-equal",
        "loss <",
        "loss <=",
        "a fall by exactly min_delta counts as an improvement: “more than” leaves equal out, so < "
        "and not <=",
        "Compare with <",
    ),
    slip(
        stop,
        "swapped",
        _AT_THE_STOP,
        "return i, kept\n",
        "the two results are swapped: the evaluation that is kept comes first, the last one second",
        "Return them in the order that the docstring gives",
        (_AT_THE_END, "return len(losses) - 1, kept"),
    ),
    slip(
        stop,
        "never-reset",
        "kept, waited = i, 0",
        "kept = i",
        "the patience is not renewed by an improvement: evaluations without one are counted over "
        "the whole run, not in a row",
        "Set the number of waited evaluations back to 0 at each improvement",
    ),
    slip(
        stop,
        "last-kept",
        _AT_THE_STOP,
        "return i, i\n",
        "the weights of the last evaluation are kept; the best were some evaluations before",
        "Return the index of the best evaluation beside the one at which training stops",
        (_AT_THE_END, "return len(losses) - 1, len(losses) - 1"),
    ),
    slip(
        stop,
        "min-delta-added",
        "losses[kept] - min_delta",
        "losses[kept] + min_delta",
        "a loss somewhat above the best counts as an improvement: min_delta has the wrong sign",
        "An improvement is a loss below the best minus min_delta",
    ),
    slip(
        stop,
        "min-delta-relative",
        "losses[kept] - min_delta",
        "losses[kept] * (1 - min_delta)",
        "min_delta is taken as a share of the loss, relative to it; it is a difference of losses",
        "Subtract min_delta from the loss of the kept evaluation",
    ),
    slip(
        stop,
        "against-the-previous",
        "losses[kept] -",
        "losses[i - 1] -",
        "each loss is compared with the one before it; a slow climb and a small dip look like gain",
        "Compare with the loss of the kept evaluation",
    ),
    slip(
        stop,
        "against-the-lowest",
        "losses[kept] -",
        "min(losses[:i]) -",
        "each loss is compared with the lowest so far, which small falls lower although they are "
        "not kept: slow progress never adds up to an improvement",
        "Compare with the loss of the kept evaluation",
    ),
    slip(
        stop,
        "any-lower-kept",
        "            waited += 1",
        "            kept = i if loss < losses[kept] else kept; waited += 1",
        "any lower loss is kept, also one that is not lower by more than min_delta: only the "
        "waiting heeds it",
        "Keep an evaluation only where it is an improvement",
    ),
    slip(
        stop,
        "first-wait",
        "waited == patience",
        "waited == 1",
        "training stops at the first evaluation without an improvement: patience is not used",
        "Stop when the number of evaluations without improvement reaches the patience",
    ),
    slip(
        stop,
        "never-stops",
        "waited == patience",
        "waited == -1",
        "training never stops before the losses end: patience is not used",
        "Stop when the number of evaluations without improvement reaches the patience",
    ),
    slip(
        stop,
        "worse-only",
        "        else:",
        "        elif loss > losses[kept]:",
        "only a loss above that of the kept evaluation is waited for; one that is lower, but not "
        "by more than min_delta, is no improvement either",
        "Add 1 to the waiting wherever it is no improvement: else",
    ),
    slip(
        stop,
        "small-falls-reset",
        "        else:",
        "        elif loss < losses[kept]:\n            waited = 0\n        else:",
        "a fall of less than min_delta begins the waiting anew; it is no improvement",
        "Set the waiting back to 0 at an improvement alone",
    ),
    slip(
        stop,
        "either-way",
        "loss < losses[kept] - min_delta",
        "abs(loss - losses[kept]) > min_delta",
        "a loss that is higher by more than min_delta counts as an improvement, too: the sign of "
        "the difference is lost",
        "Compare without abs",
    ),
    slip(
        stop,
        "higher-is-better",
        "loss < losses[kept] - min_delta",
        "loss > losses[kept] + min_delta",
        "a higher loss counts as an improvement: the comparison is the wrong way round",
        "An improvement is a loss below losses[kept] - min_delta",
    ),
    slip(
        stop,
        "index-of-the-slice",
        "enumerate(losses[1:], 1)",
        "enumerate(losses[1:])",
        "the index counts from the second loss, as in losses[1:]: it is one too small",
        "Use enumerate(losses[1:], 1)",
    ),
    slip(
        stop,
        "one-before-the-last",
        _AT_THE_STOP,
        "return kept, i - 1\n",
        "at a stop, the index returned is the one before the last evaluation that is made",
        "The evaluation at which the patience is used up is made, and is the last",
    ),
    slip(
        stop,
        "patience-minus-one",
        "waited == patience",
        "waited >= max(1, patience - 1)",
        "training stops one evaluation too early",
        "Stop when the number of evaluations without improvement reaches the patience",
    ),
    slip(
        stop,
        "one-after-the-last",
        _AT_THE_STOP,
        "return kept, i + 1\n",
        "the index returned is the one after the last evaluation that is made: one too many",
        "Return the index of the evaluation after which the loop ends, not of the next one",
        (_AT_THE_END, "return kept, len(losses)"),
    ),
    slip(
        stop,
        "counted-from-one",
        _AT_THE_STOP,
        "return kept + 1, i + 1\n",
        "evaluations are counted from 1, so that both indices are one too many",
        "Count from 0: the evaluation before training is number 0",
        (_AT_THE_END, "return kept + 1, len(losses)"),
    ),
    slip(
        stop,
        "length-for-the-last",
        _AT_THE_END,
        "return kept, len(losses)",
        "where the losses end, the last index is one too many: it is len(losses) - 1",
        "Count from 0",
    ),
    slip(
        stop,
        "beyond-the-end",
        _AT_THE_END,
        "return kept, kept + patience",
        "where the losses end before the patience does, the last index is kept + patience, beyond "
        "the end",
        "The last evaluation that is made is never after len(losses) - 1",
    ),
    slip(
        stop,
        "lowest-of-those-made",
        _AT_THE_STOP,
        "return losses.index(min(losses[: i + 1])), i\n",
        "the lowest loss is kept, even where it is not lower by more than min_delta",
        "Keep the evaluation of the last improvement",
        (_AT_THE_END, "return losses.index(min(losses)), len(losses) - 1"),
    ),
    Mutant(
        "lowest-of-all",
        _stop_minimum,
        "the lowest loss of the whole series is kept, though training had stopped before it",
        "Look only at evaluations up to the stop",
    ),
    Mutant(
        "around-the-lowest",
        _stop_around_minimum,
        "the lowest loss of the whole series is kept: training may have stopped before, and those "
        "evaluations were never made",
        "Go through the losses one by one, and look at none that comes later",
    ),
)

_KEPT, _LAST = "all evaluations kept", "all last evaluations"
# So many kinds of series may be wrong if what is special about them is to be said.
_FEW = 4


def _special(kind: str, cause: str, action: str) -> Symptom:
    """What it shows when this kind of series is wrong, and only a few others are."""

    def few(case: Case, right: Outcome, seen: Outcome) -> bool:
        return sum(not agree(right[name], seen[name]) for name in case["series"]) <= _FEW

    return Symptom(kind, cause, action, few)


def _and_right(part: str) -> Look:
    return lambda case, right, seen: agree(right[part], seen[part])


def _all_wrong(case: Case, right: Outcome, seen: Outcome) -> bool:
    return not agree(right[_KEPT], seen[_KEPT]) and not agree(right[_LAST], seen[_LAST])


def _kept_right_and(side: int) -> Look:
    """Where what is kept is right and training stops too late (1) or too early (-1)."""

    def look(case: Case, right: Outcome, seen: Outcome) -> bool:
        difference = side * (seen[_LAST] - right[_LAST])
        return agree(right[_KEPT], seen[_KEPT]) and bool((difference >= 0).all())

    return look


STOP_SYMPTOMS = (
    Symptom(
        "kept evaluations that are no index",
        "what is returned first is no index of the losses: a loss itself, or beyond the end",
        "Return the index i of the evaluation, not its loss",
        decides=True,
    ),
    Symptom(
        "last evaluations that are no index",
        "the last index is not one of the losses that there are: it is beyond their end, or a loss",
        "The last evaluation that is made is never after len(losses) - 1",
        decides=True,
    ),
    _special(
        "one loss alone",
        "with a single loss, that evaluation is kept and is the last one; yours says otherwise",
        "Begin with evaluation 0 as the kept one",
    ),
    _special(
        "falls by exactly min_delta",
        "a fall by exactly min_delta is judged wrong: “more than” leaves equal out, so < and not "
        "<=",
        "Compare with <",
    ),
    _special(
        "small falls that add up",
        "falls that are each smaller than min_delta and add up to more are judged wrong: compare "
        "with the kept evaluation, not with the one before or the lowest so far",
        "Compare with losses[kept]",
    ),
    _special(
        "small falls only",
        "falls of less than min_delta in all are taken for an improvement, or the lowest is kept",
        "An improvement is a loss below losses[kept] - min_delta",
    ),
    _special(
        "losses that end early",
        "where the losses end before the patience does, the result is wrong: the last evaluation "
        "is then len(losses) - 1",
        "Return after the loop, too",
    ),
    _special(
        "patience that ends with the losses",
        "where the patience is used up by the very last loss, the result is wrong",
        "Try it with as many losses as the patience + 1",
    ),
    _special(
        "a lower loss after the stop",
        "a lower loss that comes after the stop changes the result; that evaluation is never made",
        "Return at the stop, and look at no later loss",
    ),
    _special(
        "large and small losses",
        "whether an improvement is seen depends on how large the losses are: min_delta is a "
        "difference, not a share of the loss",
        "Subtract min_delta from the loss of the kept evaluation",
    ),
    _special(
        "improvements between waits",
        "an improvement after some waiting is handled wrong: evaluations without one count in a "
        "row, from 0 again after it",
        "Set the number of waited evaluations back to 0 at each improvement",
    ),
    _special(
        "a patience of 1",
        "with a patience of 1, training stops at the first evaluation without an improvement",
        "Count the evaluation that does not improve, and compare then",
    ),
    Symptom(
        _KEPT,
        "training stops where it should, and another evaluation is kept than that of the last "
        "improvement",
        "Set kept at each improvement, and nowhere else",
        _and_right(_LAST),
    ),
    Symptom(
        _LAST,
        "the right evaluation is kept, and training goes on for too long, in some series at least",
        "Stop after `patience` evaluations in a row without an improvement",
        _kept_right_and(1),
    ),
    Symptom(
        _LAST,
        "the right evaluation is kept, and training stops too early, in some series at least",
        "Stop after `patience` evaluations in a row without an improvement",
        _kept_right_and(-1),
    ),
    Symptom(
        _KEPT,
        "both are wrong in many series: look at what counts as an improvement, a loss below "
        "losses[kept] - min_delta, and at where the waiting begins anew",
        "Follow a series of four losses by hand",
        _all_wrong,
    ),
)
