import pytest

from peftcourse.compare.methods import METHODS
from peftcourse.compare.plan import QUICK_METHODS, TUNING_SEED, plan, quick_rate
from peftcourse.compare.search import SEARCH
from peftlab.errors import PeftlabError
from tests.peftcourse.compare.small import invented, small_plan


def test_the_suites_are_what_they_promise():
    full = plan("full")
    by_model = {model: [p.task for p in full.pairs if p.model == model] for model in full.models}
    assert all(len(tasks) >= 2 for tasks in by_model.values()) and len(by_model) == 2
    assert len(full.methods) == len(METHODS) >= 14 and len(full.seeds) == 5
    quick = plan("quick")
    assert len(quick.methods) >= 10 and len(quick.seeds) == 3 and quick.models == ["tiny"]
    assert set(QUICK_METHODS) <= set(METHODS)


def test_a_part_of_a_suite():
    part = plan("full", "smollm2", ["slots"], ["prompt", "full"], [7])
    assert [(p.model, p.task) for p in part.pairs] == [("smollm2", "slots")]
    assert part.methods == ("full", "prompt") and part.seeds == (7,)
    assert {(p.model, p.task) for p in plan("full", "some/model").pairs} == {
        ("some/model", "slots"),
        ("some/model", "sentiment"),
    }
    assert plan("quick", task := None, ["facts"]).pairs[0].task == "facts" and task is None


def test_every_task_that_is_named_is_done():
    """Also those that the suite itself does not have for the model."""
    assert [p.task for p in plan("quick", None, ["voice", "slots"]).pairs] == ["voice", "slots"]
    asked = plan("full", "smollm2", ["voice", "slots"]).pairs
    assert {(p.model, p.task) for p in asked} == {("smollm2", "voice"), ("smollm2", "slots")}
    asked = plan("full", None, ["facts", "sentiment"]).pairs
    assert {(p.model, p.task) for p in asked} == {("smollm2", "sentiment"), ("tiny", "facts")}


def test_rates_without_a_search_are_those_of_the_record_for_the_model():
    assert quick_rate("tiny", "slots", "lora-8-qv") == 0.00949
    assert quick_rate("smollm2", "sentiment", "prefix") == 0.01
    assert quick_rate("tiny", "mine.jsonl", "lora-8") == 0.003
    assert quick_rate("someone/model", "slots", "prefix") == METHODS["prefix"].rate
    wanted = plan("quick", "smollm2", ["sentiment"], ["lora-8"])
    assert {run.learning_rate for run in wanted.runs([])} == {None, 0.000949}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("slow",), "no suite 'slow'"),
        (("full", None, ["poetry"]), "no task 'poetry'; choose from"),
        (("full", None, [], ["lora-7"]), "no method 'lora-7'; choose from full"),
        (("full", None, [], [], [1, TUNING_SEED]), "tunes the learning rates"),
    ],
)
def test_what_does_not_exist_is_named(arguments, message):
    with pytest.raises(PeftlabError, match=message):
        plan(*arguments)


def test_reports_follow_the_search_and_no_run_comes_twice():
    wanted = small_plan(search=True, seeds=(0, 1, 2))
    rows = []
    while left := wanted.left(rows):
        # One at a time, the last one first: no order may matter.
        run = left[-1]
        rows.append(invented(run, wanted))
    keys = [run.key for run in wanted.runs(rows)]
    assert len(keys) == len(set(keys)) == len(rows)
    for method in wanted.methods:
        searched = [r for r in rows if r["purpose"] == SEARCH and r["method"] == method]
        reported = [r for r in rows if r["purpose"] == "report" and r["method"] == method]
        assert {row["seed"] for row in searched} == {TUNING_SEED}
        assert sorted(row["seed"] for row in reported) == [0, 1, 2]
        best = min(searched, key=lambda row: row["loss"])["learning_rate"]
        assert {row["learning_rate"] for row in reported} == {best}
    assert wanted.expected(wanted.runs([])) <= len(rows)


def test_the_quick_suite_does_not_search():
    wanted = small_plan()
    assert not any(run.purpose == SEARCH for run in wanted.runs([]))
    assert wanted.all_seeds == (0, 1)
    assert small_plan(search=True).all_seeds == (0, 1, TUNING_SEED)
