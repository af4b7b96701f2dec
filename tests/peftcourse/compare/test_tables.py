import json

import pytest

from peftcourse.compare import tables
from peftcourse.experiments.statistics import t_interval
from peftlab.errors import PeftlabError

SCORES = {"base": [0.1, 0.1], "full": [0.9, 0.8], "lora": [0.8, 0.7], "prompt": [0.2, None]}
TRAINABLE = {"base": 0, "full": 1000, "lora": 100, "prompt": 200}


@pytest.fixture
def comparison():
    rows = [
        {"model": "m", "task": "t", "method": method, "seed": seed, "learning_rate": 1e-3}
        | (
            {"failed": "out of memory"}
            if score is None
            else {
                "score": score,
                "loss": 1 - score,
                "trainable": TRAINABLE[method],
                "calibration": {"ece": 0.1 * score},
            }
        )
        for method, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    costs = [
        {"model": "m", "method": method, "peak_bytes": size}
        for method, size in {"full": 30, "lora": 20, "prompt": 10}.items()
    ]
    search = [
        {"model": "m", "task": "t", "method": "full", "learning_rate": rate, "loss": loss}
        for rate, loss in ((1e-2, None), (1e-3, 1.0))
    ]
    methods = {name: {"label": name.title()} for name in ("full", "lora", "prompt")}
    settings = {"pairs": [{"model": "m", "task": "t"}], "methods": methods}
    return tables.Comparison(settings, rows, search, [], costs)


def test_a_summary_is_sorted_and_says_what_failed(comparison):
    lines = comparison.summary("m", "t")
    assert [line.method for line in lines] == ["full", "lora", "prompt", "base"]
    assert lines[0].value == t_interval([0.9, 0.8])
    assert lines[0].label == "Full" and lines[0].by_seed == {0: 0.9, 1: 0.8}
    assert [line.failed for line in lines] == [0, 0, 1, 0]
    # Of losses and errors, less is better.
    assert comparison.summary("m", "t", "loss")[0].method == "full"
    assert comparison.summary("m", "t", "calibration.ece")[0].method == "base"


def test_differences_are_taken_seed_by_seed(comparison):
    difference = comparison.difference("m", "t", "full", "lora")
    assert difference.mean == pytest.approx(0.1)
    assert difference.half_width == pytest.approx(0, abs=1e-9)  # the same in both seeds
    assert comparison.difference("m", "t", "full", "prompt").count == 1  # the other seed failed


def test_a_failed_seed_has_the_last_rank(comparison):
    ranking = comparison.ranking()
    assert ranking.mean == {"full": 1.0, "lora": 2.0, "prompt": 3.0}
    assert ranking.blocks == 2 and ranking.critical_difference > 1
    assert list(comparison.ranking("loss", methods=["lora", "full"]).mean) == ["full", "lora"]


def test_pareto_fronts_take_costs_from_rows_and_from_costs(comparison):
    assert comparison.pareto("m", "t") == ["lora", "full"]
    assert comparison.pareto("m", "t", "peak_bytes", "loss") == ["prompt", "lora", "full"]


def test_searches_and_costs(comparison):
    assert comparison.tried("m", "t", "full") == [(1e-3, 1.0), (1e-2, None)]
    assert comparison.cost("m", "lora")["peak_bytes"] == 20
    with pytest.raises(PeftlabError, match=r"costs of ia3 .* full, lora, prompt were"):
        comparison.cost("m", "ia3")
    with pytest.raises(PeftlabError, match=r"no 'speed'; they have .*loss.*score"):
        comparison.by_seed("m", "t", "full", "speed")


def test_only_comparisons_are_read(tmp_path):
    file = tmp_path / "other.json"
    file.write_text(json.dumps({"what": "", "numbers": {"rows": []}}))
    with pytest.raises(PeftlabError, match="is not a comparison"):
        tables.load(file)
