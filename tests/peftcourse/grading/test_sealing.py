"""What enters the sandbox says neither what is right nor what the class's seed is."""

import pytest
from grading.cases.notebooks import LAB, ROOT, solved

from peftcourse.exercises import EXERCISES
from peftcourse.exercises.registry import LESSONS
from peftcourse.grading import marking
from peftcourse.grading.marking import NOTHING_RUN, Marker, References
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.sealing import exercise_seed, sealed
from peftcourse.grading.submissions import collect

SEED = 3_141_592_653


@pytest.mark.parametrize("id", EXERCISES)
def test_inputs_alone_go_in(id):
    exercise = EXERCISES[id]
    cases = exercise.make_cases(exercise_seed(SEED, id))
    for case, seal in zip(cases, sealed(exercise, cases), strict=True):
        assert set(seal.case) == set(case) - set(exercise.secret)
        for name in exercise.unlabelled:
            assert set(seal.case[name]) == {f"part {i}" for i in range(len(case[name]))}
            assert {seal.labels[label] for label in seal.case[name]} == set(case[name])


def test_every_exercise_has_a_seed_of_its_own():
    seeds = {exercise_seed(SEED, id) for id in EXERCISES}
    assert len(seeds) == len(EXERCISES) and SEED not in seeds
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert exercise_seed(SEED + 1, "lora.delta") not in seeds


def test_the_classes_seed_is_in_nothing_that_is_sent(tmp_path, monkeypatch):
    lesson, outline = LESSONS[LAB], LabOutline.read(ROOT, LAB)
    sent = []

    class Sandbox:
        def __init__(self, *_, **__):
            pass

        def run(self, request, _):
            sent.append(request)
            return NOTHING_RUN

        def close(self):
            pass

    monkeypatch.setattr(marking, "Sandbox", Sandbox)
    (tmp_path / "ada.ipynb").write_bytes(solved().bytes())
    [submission] = collect(tmp_path, lesson, outline)
    with Marker(lesson, outline, References(lesson, SEED)) as marker:
        marker.mark(submission)
    data = b"".join(sent)
    assert b"lora.delta" in data  # it is the request
    secrets = [SEED, *(exercise_seed(SEED, exercise.id) for exercise in lesson.exercises)]
    for secret in secrets:
        for form in (str(secret).encode(), secret.to_bytes(8, "big"), secret.to_bytes(8, "little")):
            assert form not in data
