"""What would fail in every run is said before the first one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from peftcourse.compare import check, own, plan
from peftcourse.compare.carry_out import carry_out
from peftcourse.compare.methods import METHODS
from peftcourse.compare.plan import COST, METRICS, REPORT
from peftcourse.compare.search import SEARCH
from peftcourse.experiments import models, sentiment
from peftlab.errors import PeftlabError

# Reviews as long as the longest real ones, which with the bundled model's tokens need more than
# the 96 that SmolLM2 needs; the real ones have to be downloaded.
REVIEW = (
    "An unexpectedly overwrought melodrama, meticulously photographed yet emotionally vacuous. "
)


@pytest.fixture(autouse=True)
def reviews(monkeypatch):
    made = [
        (f"{REVIEW * (1 + number % 2)}{number}", sentiment.LABELS[number % 2])
        for number in range(10_000)
    ]
    monkeypatch.setattr(sentiment, "reviews", lambda: tuple(made))


def checked(*arguments, **options):
    said = []
    return check.checked(plan.plan(*arguments, **options), said.append), said


def test_the_bundled_model_gets_the_length_that_film_reviews_need():
    made, said = checked("quick", None, ["sentiment"], [], [0])
    [pair] = made.pairs
    assert pair.max_length > plan.SMOLLM2["sentiment"].max_length
    assert pair.max_length % check.ROUND_TO == 0
    assert said == [
        f"sentiment with the tokens of tiny: sequences of {pair.max_length} in place of 96 are "
        "used."
    ]


@pytest.mark.parametrize("task", METRICS)
def test_every_task_runs_on_the_bundled_model(task):
    """The runs of a plan that was checked give rows without a failure."""
    small = {"steps": 1, "batch_size": 2, "stories": 1, "scored": 1, "new_tokens": 2, "points": 1}
    made, _ = checked("quick", "tiny", [task], ["lora-1"], [0])
    [pair] = made.pairs
    examples = (pair.examples[0] // 8, 16, 16)
    made = replace(made, pairs=(replace(pair, examples=examples, **small),))
    for run in made.runs([]):
        if run.purpose == REPORT:
            assert "failed" not in carry_out(run, made, "cpu")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fits_the_bundled_model(method):
    checked("quick", None, ["voice"], [method], [0])


def test_methods_that_do_not_fit_a_model_are_named_with_those_that_do(tmp_path):
    folder = saved_gpt2(tmp_path)
    with pytest.raises(PeftlabError) as raised:
        checked("full", str(folder), ["voice"], ["full", "lora-8", "lora-8-qv"], [0])
    told = str(raised.value)
    assert told.startswith(f"lora-8-qv does not fit {folder}: target 'q_proj' matches no layer")
    assert told.endswith("; take --methods full,lora-8.")


def test_a_base_in_four_bits_is_refused(monkeypatch):
    monkeypatch.setenv("PEFTLAB_4BIT", "1")
    with pytest.raises(PeftlabError, match=r"PEFTLAB_4BIT asks for .* unset it"):
        checked("quick")


def test_an_unknown_model_is_named_at_once():
    with pytest.raises(PeftlabError, match="unknown model 'tinny'"):
        checked("quick", "tinny")


def test_lengths_that_cannot_be_are_named(tmp_path):
    with pytest.raises(
        PeftlabError, match="--max-length 600 is more than tiny takes: 512 of its 512"
    ):
        checked("quick", "tiny", ["voice"], ["full"], [0], max_length=600)
    # 20 soft tokens take their share of the model's positions.
    with pytest.raises(
        PeftlabError, match="--max-length 500 is more than tiny takes: 492 of its 512"
    ):
        checked("quick", "tiny", ["voice"], ["full", "prompt"], [0], max_length=500)
    with pytest.raises(PeftlabError, match="--max-length 64 would cut answers off: make it"):
        checked("quick", "tiny", ["sentiment"], ["full"], [0], max_length=64)
    made, _ = checked("quick", "tiny", ["sentiment"], ["full"], [0], max_length=200)
    assert made.pairs[0].max_length == 200
    folder = saved_gpt2(tmp_path, positions=64)
    made, [said] = checked("quick", str(folder), ["voice"], ["full"], [0])
    assert made.pairs[0].max_length == 64 and "sequences of 64 in place of 128" in said
    with pytest.raises(PeftlabError, match=r"needs sequences of \d+, and the model takes 64"):
        checked("quick", str(folder), ["sentiment"], ["full"], [0])


def test_labels_that_begin_alike_are_refused(monkeypatch):
    labels = (" unlovely", " unlively")
    made = [(f"Review {n}", labels[n % 2]) for n in range(10_000)]
    monkeypatch.setattr(sentiment, "reviews", lambda: tuple(made))
    monkeypatch.setattr(sentiment, "LABELS", labels)
    with pytest.raises(PeftlabError, match="begin with the same token in tiny"):
        checked("quick", "tiny", ["sentiment"], ["full"], [0])


def saved_gpt2(folder, positions=256):
    """A model of another kind, with the bundled tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=4096, n_positions=positions)
    GPT2LMHeadModel(config).save_pretrained(folder)
    models.load("tiny").tokenizer.save_pretrained(folder)
    return folder


# --- own data -------------------------------------------------------------------------------------


def written(folder, kind):
    rows = {
        "pairs": lambda n: {"prompt": f"Is {n} even?", "answer": "yes" if n % 2 == 0 else "no"},
        "chat": lambda n: {
            "messages": [
                {"role": "user", "content": f"Is {n} even?"},
                {"role": "assistant", "content": "yes" if n % 2 == 0 else "no"},
            ]
        },
        "text": lambda n: {"text": f"Once there were {n} birds."},
    }[kind]
    file = folder / f"{kind}.jsonl"
    file.write_text("\n".join(json.dumps(rows(n)) for n in range(60)), encoding="utf-8")
    return file


@pytest.mark.parametrize("kind", ["pairs", "chat", "text"])
def test_own_data_of_each_kind_are_searched_stopped_early_and_scored(tmp_path, kind):
    files = own.files(written(tmp_path, kind))
    made, [said] = checked("full", "tiny", (), ["lora-1"], [0], files=files)
    [pair] = made.pairs
    assert pair.task == f"{kind}.jsonl" and pair.patience and sum(pair.examples) == 60
    assert "nothing is cut off" in said
    pair = replace(pair, steps=6, points=6, stories=1, scored=2, patience=1)
    made = replace(made, pairs=(pair,))
    runs = made.runs([])
    search = next(run for run in runs if run.purpose == SEARCH)
    # A rate that soon only harms.
    row = carry_out(replace(search, learning_rate=1e2), made, "cpu")
    assert len(row["losses"]) == row["kept"] + 1 < 6
    row = carry_out(replace(search, purpose=REPORT, seed=0, learning_rate=1e-3), made, "cpu")
    assert 0 <= row["score"] <= 1 and row["split"] == "test" and row["kept"] > 0
    assert (
        min(loss for _, loss in row["validation"])
        == dict(map(tuple, row["validation"]))[row["kept"]]
    )
    assert pair.as_json()["metric"] == own.METRICS[files.kind]
    assert COST in {run.purpose for run in runs}


def test_own_data_are_told_by_name_and_contents_and_not_by_folder(tmp_path):
    file = written(tmp_path, "pairs")
    files = own.files(file, ignore=["id"])
    told = files.as_json()
    assert told["data"] == "pairs.jsonl" and str(tmp_path) not in json.dumps(told)
    with file.open("a") as stream:
        stream.write('\n{"prompt": "x", "answer": "y"}')
    assert own.files(file).sha256 != files.sha256


def test_own_data_that_are_too_long_are_refused_or_cut(tmp_path):
    file = written(tmp_path, "text")
    with file.open("a") as stream:
        stream.write("\n" + json.dumps({"text": "word " * 600}))
    files = own.files(file)
    with pytest.raises(PeftlabError, match=r"1 line \(text\.jsonl, line 61\) is longer than"):
        checked("quick", None, (), ["full"], [0], files=files)
    made, [said] = checked("quick", None, (), ["full"], [0], files=files, max_length=32)
    assert made.pairs[0].max_length == 32 and said.startswith("1 of 61 sequences lose their end")


def test_own_data_and_tasks_exclude_each_other(tmp_path):
    with pytest.raises(PeftlabError, match="leave out --task, or --data"):
        plan.plan("quick", None, ["voice"], files=own.files(written(tmp_path, "pairs")))
