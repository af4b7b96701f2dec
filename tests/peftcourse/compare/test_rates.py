"""Rates to start from: those of the record, for a model that is in it."""

import math

import pytest

from peftcourse.compare import rates
from peftcourse.compare.methods import METHODS
from peftcourse.experiments.smollm2 import HUB_ID
from peftlab.memory.architecture import read


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("model", "tasks"),
    [("tiny", ("facts", "voice", "slots")), ("smollm2", ("slots", "sentiment"))],
)
def test_a_known_task_has_its_own_rate_and_another_lies_between_all(model, tasks, method):
    own = [rates.recorded(model, method, task) for task in tasks]
    assert [list(rate.by_task) for rate in own] == [[task] for task in tasks]
    between = rates.recorded(model, method, "mine.jsonl")
    assert between == rates.recorded(model, method)
    values = [rate.value for rate in own]
    assert between.by_task == dict(zip(tasks, values, strict=True))
    assert 0.99 * min(values) <= between.value <= 1.01 * max(values) or len(set(values)) == 1
    mean = math.prod(values) ** (1 / len(values))
    assert between.value == pytest.approx(mean, rel=0.05)


def test_it_says_where_it_comes_from():
    assert str(rates.recorded("tiny", "lora-8")) == "0.003 on facts and voice and slots"
    assert str(rates.recorded("smollm2", "lora-8")) == (
        "0.003 on slots, 0.000949 on sentiment; between them lies 0.0017"
    )


def test_other_names_of_the_same_model():
    assert rates.recorded(HUB_ID, "full") == rates.recorded("smollm2", "full")
    assert rates.recorded("someone/else", "full") is None
    assert rates.recorded("tiny", "no-such-method") is None
    assert rates.model_of(read("smollm2-135m")) == "smollm2"
    assert rates.model_of(read("smollm2-360m")) is None
