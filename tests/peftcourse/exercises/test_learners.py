"""What checks make of answers that learners give: never wrong, the cause four times out of five.

`make test-full` takes 100 seeds, `make test` one. `python -m
tests.peftcourse.exercises.learners.measure` prints every answer that a check fails on.
"""

import json
from collections import Counter

import pytest

from peftcourse.exercises import EXERCISES
from tests.peftcourse.exercises.learners import measure

# What learners write may warn, as a notebook would show.
pytestmark = pytest.mark.filterwarnings("ignore")
ANSWERS = measure.all_answers()


@pytest.mark.full
@pytest.mark.parametrize("exercise", EXERCISES)
def test_no_wrong_answer_passes_and_no_right_one_fails_on_any_seed(exercise):
    chosen = [answer for answer in ANSWERS if answer.exercise == exercise]
    bad = [
        f"{found}: {answer.label}, seed {seed}"
        for seed in range(100)
        for answer in chosen
        if (found := measure.measure_verdict(answer, seed))
    ]
    assert not bad


@pytest.mark.parametrize("exercise", EXERCISES)
def test_no_wrong_answer_passes_and_no_right_one_fails(exercise):
    """On one seed; and four of five wrong ones get their cause."""
    results = measure.measure_exercise(exercise, [101])
    bad = (measure.CRASHED, measure.ACCEPTED, measure.REJECTED)
    assert not [(r.grade, r.answer.label, str(r.report)) for r in results if r.grade in bad]
    grades = Counter(result.grade for result in results)
    wrong = sum(a.exercise == exercise and a.right is False for a in ANSWERS)
    assert grades[measure.NAMED] >= 0.8 * wrong
    assert grades[measure.FALSE] <= 0.05 * wrong


@pytest.mark.parametrize("exercise", EXERCISES)
def test_each_exercise_has_answers_enough(exercise):
    kinds = Counter(answer.right for answer in ANSWERS if answer.exercise == exercise)
    assert kinds[False] >= 10 and kinds[True] >= 5


def test_labels_are_unique_and_wrong_answers_have_a_cause():
    assert len({(answer.exercise, answer.label) for answer in ANSWERS}) == len(ANSWERS)
    assert all(answer.cause and answer.pattern for answer in ANSWERS if answer.right is False)


def test_the_record_is_of_these_answers_and_keeps_what_is_promised():
    record = json.loads(measure.RECORD.read_text(encoding="utf-8"))["numbers"]
    total = Counter()
    for row in record["lessons"].values():
        total.update(row)
    assert sum(total.values()) == len(ANSWERS)
    assert total[measure.ACCEPTED] == total[measure.REJECTED] == total[measure.CRASHED] == 0
    wrong = sum(answer.right is False for answer in ANSWERS)
    assert total[measure.NAMED] >= 0.8 * wrong
    assert total[measure.FALSE] <= 0.01 * wrong
    assert set(record["seconds"]) == set(EXERCISES)
    assert max(record["seconds"].values()) < 0.5
