"""What explains an answer: known mistakes on the same inputs, simple changes, and two at once.

Where nothing does, symptoms say what its wrong parts show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, islice
from typing import Any

from torch import Tensor

from peftcourse.exercises import slips
from peftcourse.exercises.changes import changes
from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Exercise, Mutant, Symptom, Verdict
from peftcourse.exercises.explanation import Explanation
from peftcourse.exercises.observe import Case, Observation, Outcome, observe
from peftcourse.exercises.parts import by_parts, different_places

# More explanations than this say nothing.
_MOST_CAUSES = 3


class Reference:
    """What is right on the cases of one seed, and what each known wrong answer does there.

    Computed once, when first needed, however many answers are compared with it.
    """

    def __init__(self, exercise: Exercise, seed: int) -> None:
        self.exercise = exercise
        self.seed = seed
        described = exercise.described_cases(seed)
        self.cases = [case for case, _ in described]
        self.abouts = [about for _, about in described]

    @cached_property
    def expected(self) -> list[Outcome]:
        """The reference solution's outcome for each case."""
        return self._outcomes(self.exercise.solution) or []

    @cached_property
    def _mutant_runs(self) -> list[tuple[Mutant, list[Observation]]]:
        return [(mutant, self._runs(mutant.answer)) for mutant in self.exercise.mutants]

    @cached_property
    def mistakes(self) -> list[tuple[Mutant, list[Outcome]]]:
        """The known wrong answers that run, with their outcomes."""
        return [
            (mutant, [run["outcome"] for run in runs])
            for mutant, runs in self._mutant_runs
            if not any(run["error"] for run in runs)
        ]

    @cached_property
    def raising(self) -> list[tuple[Mutant, list[Observation]]]:
        """The known wrong answers that raise an error in some cases and run in others."""
        return [
            (mutant, runs)
            for mutant, runs in self._mutant_runs
            if 0 < sum(bool(run["error"]) for run in runs) < len(runs)
        ]

    @cached_property
    def broken(self) -> dict[str, frozenset[tuple[int, str]]]:
        """Where each known wrong answer that runs is wrong: case and part."""
        return {
            mutant.id: different_places(self.expected, theirs) for mutant, theirs in self.mistakes
        }

    @cached_property
    def pairs(self) -> list[Pair]:
        """Two known mistakes at once, where both are changes of the solution's words."""
        made = [mutant for mutant in self.exercise.mutants if mutant.edits]
        places = sorted(combinations(range(len(made)), 2), key=sum)
        pairs = (Pair(self, made[one], made[other]) for one, other in places)
        return list(islice(filter(Pair.possible, pairs), self.exercise.most_pairs))

    def judge(self, outcomes: Sequence[Outcome]) -> list[Verdict]:
        """A verdict for each case."""
        return [
            self.exercise.judge(case, outcome, expected)
            for case, outcome, expected in zip(self.cases, outcomes, self.expected, strict=True)
        ]

    def _runs(self, answer: Any) -> list[Observation]:
        return [observe(self.exercise.probe, answer, case) for case in self.cases]

    def _outcomes(self, answer: Any) -> list[Outcome] | None:
        runs = self._runs(answer)
        return None if any(run["error"] for run in runs) else [run["outcome"] for run in runs]


@dataclass
class Pair:
    """Two known mistakes at once: each case is run when it is first needed.

    Most pairs differ from an answer on the first case, so that the others are seldom run.
    """

    reference: Reference
    one: Mutant
    other: Mutant
    _outcomes: dict[int, Outcome | None] = field(default_factory=dict, repr=False)

    def possible(self) -> bool:
        """Whether the two change different words."""
        return slips.compatible(self.reference.exercise.solution, self.one.edits, self.other.edits)

    @cached_property
    def _answer(self) -> Any | None:
        solution = self.reference.exercise.solution
        return slips.combined(solution, self.one.edits, self.other.edits)

    def gives(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether it does the same as an answer did, on every case."""
        return all(
            (mine := self._outcome(i)) is not None and _same(mine, theirs)
            for i, theirs in enumerate(outcomes)
        )

    def _outcome(self, i: int) -> Outcome | None:
        if i not in self._outcomes:
            run = self._answer and observe(
                self.reference.exercise.probe, self._answer, self.reference.cases[i]
            )
            self._outcomes[i] = None if run is None or run["error"] else run["outcome"]
        return self._outcomes[i]


def explain(
    reference: Reference, outcomes: Sequence[Outcome], *, decided: bool = False
) -> tuple[str | None, list[Explanation]]:
    """What does the same as an answer did, on every case; the simplest that does.

    Args:
        reference: what is right, and what known mistakes do.
        outcomes: what an answer did on each case.
        decided: whether only known mistakes count, no simple changes of results.

    Returns:
        The id of the known wrong answer, if exactly one does the same; and the explanations, none
        where nothing is known or too much would fit.
    """
    exercise, cases = reference.exercise, reference.cases
    if exercise.special_judge is not None:
        return _explain_by_fault(reference, outcomes)
    if _equal(reference.expected, outcomes):  # right values of another dtype
        return None, []
    same = [mutant for mutant, theirs in reference.mistakes if _equal(theirs, outcomes)]
    if same:
        return (same[0].id if len(same) == 1 else None), _few([explanation_of(m) for m in same])
    if any(isinstance(v, str) and v == "NoneType" for out in outcomes for v in out.values()):
        return None, []  # nothing was returned: no change of a result gives that
    # A mistake that gets something wrong that is right in the answer has no part in it: a second
    # one would have to take it back there.
    wrong = different_places(reference.expected, outcomes)
    ruled_out = {id for id, places in reference.broken.items() if not places <= wrong}
    possible = [known for known in reference.mistakes if known[0].id not in ruled_out]
    if not decided:
        if found := changes(cases, reference.expected, outcomes, exercise.symbols):
            return None, _few(found)
        known = [(explanation_of(mutant), theirs) for mutant, theirs in possible]
        if pairs := by_parts(cases, reference.expected, known, outcomes, exercise.symbols):
            return None, _few([_both(*pair) for pair in pairs])
    pairs = [
        pair
        for pair in reference.pairs
        if not {pair.one.id, pair.other.id} & ruled_out and pair.gives(outcomes)
    ]
    both = [_both(explanation_of(pair.one), explanation_of(pair.other)) for pair in pairs]
    if not decided:
        # A change beside a mistake that is in a pair would only name the pair's other half again.
        named = {mutant.id for pair in pairs for mutant in (pair.one, pair.other)}
        both += [
            _both(explanation_of(mutant), change)
            for mutant, theirs in possible
            if mutant.id not in named
            for change in changes(cases, theirs, outcomes, exercise.symbols)
        ]
    return None, _few(both)


def _explain_by_fault(
    reference: Reference, outcomes: Sequence[Outcome]
) -> tuple[str | None, list[Explanation]]:
    """Random values cannot be compared: the known mistake that is judged alike is named."""
    verdicts = reference.judge(outcomes)
    same = [
        mutant
        for mutant, theirs in reference.mistakes
        if [_fault(v) for v in reference.judge(theirs)] == [_fault(v) for v in verdicts]
    ]
    return (same[0].id if len(same) == 1 else None), _few([explanation_of(m) for m in same])


def _fault(verdict: Verdict) -> tuple[str, str, tuple[str, ...]]:
    return verdict.status, verdict.fault, verdict.wrong


def explanation_of(mutant: Mutant) -> Explanation:
    return Explanation(mutant.id, mutant.diagnosis, mutant.action)


def _both(one: Explanation, other: Explanation) -> Explanation:
    return Explanation(
        f"{one.id} + {other.id}",
        f"two things at once: {one.cause}; and {other.cause}",
        f"{one.action}. {other.action}",
    )


def _few(found: list[Explanation]) -> list[Explanation]:
    """Those with different texts, if they are few enough to tell a learner anything."""
    different = list({one.cause: one for one in found}.values())
    return different if len(different) <= _MOST_CAUSES else []


def _equal(theirs: Sequence[Outcome], ours: Sequence[Outcome]) -> bool:
    return all(map(_same, theirs, ours))


def _same(theirs: Outcome, ours: Outcome) -> bool:
    return theirs.keys() == ours.keys() and all(
        agree(value, ours[name]) for name, value in theirs.items()
    )


def raise_alike(theirs: Observation, ours: Observation) -> bool:
    """Whether two answers raise the same kind of error in a case, or do the same there."""
    if theirs["error"] and ours["error"]:
        return theirs["error"]["type"] == ours["error"]["type"]
    return not (theirs["error"] or ours["error"]) and _same(theirs["outcome"], ours["outcome"])


def symptom_causes(
    reference: Reference,
    outcomes: Sequence[Outcome],
    failed: Sequence[int],
    verdicts: Sequence[Verdict],
) -> list[Explanation]:
    """What the wrong parts show, in the order of the exercise.

    Those that hold in all failed cases; if none does, two that hold in one or the other.
    """
    holding = holding_symptoms(reference, outcomes, failed, verdicts)
    if holding:
        return [Explanation(symptom.part, symptom.cause, symptom.action) for symptom in holding]
    each = [holding_symptoms(reference, outcomes, [i], verdicts) for i in failed]
    first = list(dict.fromkeys(symptoms[0] for symptoms in each if symptoms))
    if not all(each):
        return []
    return [Explanation(one.part, f"in some cases, {one.cause}", one.action) for one in first[:2]]


def holding_symptoms(
    reference: Reference,
    outcomes: Sequence[Outcome],
    failed: Sequence[int],
    verdicts: Sequence[Verdict],
) -> list[Symptom]:
    wrong = [set(verdicts[i].wrong) for i in failed]
    # Of None, or of a list in place of a tensor, there is nothing else to say.
    if any(isinstance(outcomes[i].get(part), str) for i in failed for part in verdicts[i].wrong):
        return []
    found = []
    for symptom in reference.exercise.symptoms:
        holds = all(
            symptom.part in parts
            and _shows(symptom, reference.cases[i], reference.expected[i], outcomes[i])
            for i, parts in zip(failed, wrong, strict=True)
        )
        if holds:
            found.append(symptom)
    return found


def _shows(symptom: Symptom, case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Whether its condition holds; not where the outcome lacks what it looks at.

    Where the value is of another type, or right but for its dtype, that is what there is to say.
    """
    seen = observed.get(symptom.part)
    if isinstance(seen, str) or agree(expected.get(symptom.part), seen):
        return False
    if any(isinstance(value, Tensor) and value.is_complex() for value in observed.values()):
        return False  # no exercise has complex numbers, and no condition expects them
    if symptom.when is None:
        return True
    try:
        return bool(symptom.when(case, expected, observed))
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError):
        return False
