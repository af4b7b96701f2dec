"""The recommendation: it fits, it is honest about its sources, and what it promises holds."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peftcourse.calculator.report import size
from peftcourse.cli import main
from peftcourse.compare import rates
from peftcourse.experiments import models
from peftcourse.recommend import Need, as_json, describe, ladder, recommend, rules
from peftlab.errors import PeftlabError
from peftlab.memory import PRESETS
from peftlab.memory.gpus import GIB, needed, usable
from peftlab.memory.shapes import closest, named, smaller

ROOT = Path(__file__).resolve().parents[3]
LLAMA = named("llama-2-7b")
RUNGS = [rung.name for rung in rules.LADDER]

needs = st.builds(
    Need,
    shape=st.sampled_from(["smollm2-360m", "llama-3.2-1b", "llama-2-7b", "qwen3-14b"]).map(named),
    gpu_gib=st.sampled_from([8, 12, 16, 24, 40, 48, 80, 141]),
    task=st.sampled_from(sorted(rules.TASKS)),
    examples=st.sampled_from([1, 300, 5000, 200_000]),
    tasks=st.sampled_from([1, 20]),
    serving=st.sampled_from(sorted(rules.SERVING)),
    seq_len=st.sampled_from([64, 512, 4096]),
    batch_size=st.sampled_from([1, 8]),
)


@given(needs)
# Ranks 4 and 8 of QLoRA are closer than the tenth of a GiB to which memory is told.
@example(Need(named("llama-3.2-1b"), 8, task="classification", examples=1, batch_size=8))
@settings(max_examples=40, deadline=None)
def test_what_is_recommended_fits_and_what_is_promised_holds(need):
    found = recommend(need)
    if found.chosen is None:
        assert found.better
    else:
        assert found.chosen.estimate.peak_bytes <= usable(need.gpu_bytes)
        assert found.reasons
    for change in found.better:
        if change.more_gib is not None:
            assert change.more_gib > 0
            more = recommend(replace(need, gpu_gib=need.gpu_gib + change.more_gib))
            assert more.chosen.rung.name == change.name
        if change.seq_len is not None:
            assert change.seq_len < need.seq_len
            shorter = recommend(replace(need, seq_len=change.seq_len))
            assert RUNGS.index(shorter.chosen.rung.name) <= RUNGS.index(change.name)


@given(needs)
@settings(max_examples=20, deadline=None)
def test_more_memory_never_gives_less(need):
    now, more = recommend(need), recommend(replace(need, gpu_gib=2 * need.gpu_gib))
    if now.chosen is not None:
        assert RUNGS.index(more.chosen.rung.name) <= RUNGS.index(now.chosen.rung.name)


@given(needs)
@settings(max_examples=20, deadline=None)
def test_every_reason_names_a_source_that_exists(need):
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    keys = set(re.findall(r"^@\w+\{(\w+),", bibliography, re.MULTILINE))
    keys |= {rules.COMPUTED, rules.RECORDED}
    found = recommend(need)
    for reason in (*found.reasons, *found.others):
        assert reason.sources
        assert set(reason.sources) <= keys
        assert reason.text.endswith(".")


def method(**changes):
    found = recommend(replace(Need(LLAMA, 24), **changes))
    return found.chosen and found.chosen.settings.method


def test_memory_decides_how_far_down_the_ladder():
    assert method(gpu_gib=24) == "lora"
    assert method(gpu_gib=10) == "qlora"
    assert method(gpu_gib=3) is None


def test_full_fine_tuning_is_for_much_new_material_and_one_task():
    much = {"task": "domain", "examples": 100_000, "gpu_gib": 141}
    assert method(**much) == "full"
    assert method(**much | {"examples": 1000}) == "lora"
    assert method(**much | {"tasks": 3}) == "lora"
    assert method(**much | {"serving": "many"}) == "lora"
    assert method(gpu_gib=141) == "lora"


def words(**changes):
    return describe(recommend(replace(Need(LLAMA, 24), **changes))).replace("\n    ", " ")


def test_it_says_that_full_fine_tuning_fits_if_it_does():
    assert "ull fine-tuning would fit as well" in words(gpu_gib=141)
    assert "ull fine-tuning would fit as well" not in words(gpu_gib=24)
    # Where it is the better choice and does not fit, it says what is missing.
    much = words(task="domain", examples=100_000, gpu_gib=24)
    assert "more GPU memory, full fine-tuning would fit" in much


def test_few_examples_are_called_few():
    assert "few hundred examples" in words(examples=200)
    assert "few hundred examples" not in words(examples=20_000)
    ranks = [
        recommend(Need(LLAMA, 80, examples=count)).chosen.settings.rank
        for count in (200, 5000, 500_000)
    ]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 3


def test_serving_decides_about_merging():
    assert "Merge it for serving" in words(serving="merged")
    assert "into the dequantized base" in words(serving="merged", gpu_gib=10)
    assert "Do not merge" in words(serving="many")
    assert "erge it" not in words()


def test_many_tasks_are_compared_with_as_many_models():
    made = recommend(Need(LLAMA, 24, tasks=50)).chosen.estimate
    total = 50 * made.file_bytes / 1e9
    text = words(tasks=50)
    assert f"50 adapters take {total:.3g} GB" in text
    assert "674 GB" in text  # 50 models of 13.48 GB


@pytest.mark.parametrize("tasks", [2, 50])
@pytest.mark.parametrize(("gpu", "fitting"), [(10, 0), (24, 1), (80, 5)])
def test_merging_many_tasks_tells_what_as_many_copies_take_and_what_else_to_do(tasks, gpu, fitting):
    text = words(tasks=tasks, serving="merged", gpu_gib=gpu)
    copy = 2 * LLAMA.parameters
    adapters = tasks * recommend(Need(LLAMA, gpu, tasks=tasks)).chosen.estimate.file_bytes
    assert (
        f"{tasks} tasks are {tasks} full copies of the model: {size(tasks * copy)} on disk" in text
    )
    assert f"takes {size(copy + adapters)} together: serve that (--serving many)" in text
    if fitting:
        assert f"{min(fitting, tasks)} of 13.5 GB at a time fit this GPU" in text
    else:
        assert "not one of 13.5 GB fits this GPU" in text
        assert "takes 13.5 GB when serving, more than this GPU has" in text


def test_one_merged_task_or_many_adapters_are_no_copies():
    for changes in ({"serving": "merged"}, {"serving": "many", "tasks": 50}, {"tasks": 50}):
        assert "full copies" not in words(**changes)


@pytest.mark.parametrize(
    ("model", "task", "rate"),
    [
        ("smollm2-135m", "classification", 0.000949),  # found on sentiment
        ("smollm2-135m", "generation", 0.0017),  # between sentiment and slots
        (str(models.path("tiny")), "generation", 0.003),
        ("smollm2-360m", "generation", rules.RATE),  # not in the record
        ("llama-2-7b", "generation", rules.RATE),
        ("llama-2-70b", "generation", rules.LARGE_RATE),
    ],
)
def test_rates_come_from_the_record_where_the_model_is_in_it(model, task, rate):
    found = recommend(Need(named(model), 141, task=task))
    assert found.learning_rate == rate
    told = " ".join(reason.text for reason in found.reasons)
    known = rates.model_of(named(model).architecture) is not None
    assert ("searched rates for this very model" in told) == known
    assert ("QLoRA's authors used" in told) != known


def test_every_method_that_is_recommended_has_its_own_recorded_rate():
    shape = named("smollm2-135m")
    methods = {rung.settings["method"] for rung in rules.LADDER}
    assert methods == set(rules.RECORDED_METHODS)
    for method in methods:
        rate, reason = ladder._learning_rate(Need(shape, 24), method, shape.parameters)
        expected = rates.recorded("smollm2", rules.RECORDED_METHODS[method])
        assert rate == expected.value and str(expected) in reason.text


def test_nothing_fits():
    big = named("llama-2-70b")
    found = recommend(Need(big, 24, seq_len=4096, batch_size=8))
    assert found.chosen is None
    text = describe(found)
    assert "more GPU memory" in text
    assert "a smaller model" in text.lower()
    # A batch is the easiest thing to make smaller.
    assert "With a batch of 1 and 64 steps" in describe(
        recommend(Need(LLAMA, 8, seq_len=1024, batch_size=64))
    )


def test_headroom_is_there_and_back():
    for count in (1, 999, 5 * GIB, 141 * GIB + 7):
        assert usable(needed(count)) >= count
        assert usable(needed(count) - 1) < count


# --- shapes --------------------------------------------------------------------------------------


@given(st.floats(5e7, 2e12))
@settings(max_examples=30, deadline=None)
def test_an_assumed_shape_has_the_size_asked_for(parameters):
    shape = closest(parameters)
    assert shape.asked == round(parameters)
    # Below the smallest known model the embedding alone is a large part.
    if parameters > 1.2e8:
        assert abs(shape.parameters / parameters - 1) < 0.06


def test_a_well_known_size_is_that_model():
    assert closest(7e9).name == "llama-2-7b"
    assert closest(70e9).name == "llama-2-70b"
    assert "blocks instead of" in closest(2.5e9).name
    for wrong in (1e6, 1e14, -7e9, float("nan")):
        with pytest.raises(PeftlabError, match="--model"):
            closest(wrong)


def test_smaller_models_come_largest_first():
    sizes = [shape.parameters for shape in smaller(LLAMA)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < LLAMA.parameters


# --- the command ---------------------------------------------------------------------------------


def run(capsys, *arguments):
    code = main(["recommend", *arguments])
    return code, capsys.readouterr()


def test_the_command_prints_a_recommendation(capsys):
    arguments = ["--params", "7e9", "--gpu-memory", "24", "--task", "generation"]
    code, printed = run(capsys, *arguments, "--examples", "5000")
    assert code == 0
    assert "Recommended: LoRA on a 16-bit base" in printed.out
    assert "assumed the shape of llama-2-7b" in printed.out
    assert max(map(len, printed.out.splitlines())) <= 200

    code, printed = run(capsys, *arguments, "--examples", "5000", "--json")
    data = json.loads(printed.out)
    assert data == json.loads(json.dumps(as_json(recommend(Need(closest(7e9), 24)))))
    assert data["method"] == "lora"
    assert data["model"]["assumed_for"] == 7_000_000_000
    assert data["memory"]["peak_bytes"] == sum(data["memory"]["components"].values())


@pytest.mark.parametrize(("model", "rate"), [("tiny", "0.003"), ("smollm2", "0.0017")])
def test_the_courses_own_names_of_models_are_known(capsys, model, rate):
    code, printed = run(capsys, "--model", model, "--gpu-memory", "8")
    assert code == 0 and f"learning rate {rate} to start from" in printed.out
    assert main(["estimate", "--model", model]) == 0


def test_the_command_ends_with_1_if_nothing_fits(capsys):
    code, printed = run(capsys, "--model", "llama-2-70b", "--gpu-memory", "8", "--json")
    assert code == 1
    assert json.loads(printed.out)["method"] is None


@pytest.mark.parametrize(
    ("arguments", "named_in_message"),
    [
        (["--gpu-memory", "24"], "--params"),
        (["--gpu-memory", "24", "--params", "7e9", "--model", "gpt2"], "either"),
        (["--gpu-memory", "0", "--params", "7e9"], "0"),
        (["--gpu-memory", "nan", "--params", "7e9"], "nan"),
        (["--gpu-memory", "24", "--params", "7"], "--model"),
        (["--gpu-memory", "24", "--model", "no-such-model"], "no-such-model"),
        (["--gpu-memory", "24", "--params", "7e9", "--task", "magic"], "magic"),
        (["--gpu-memory", "24", "--params", "7e9", "--serving", "fast"], "fast"),
        (["--gpu-memory", "24", "--model", "bert-base"], "bert-base"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, named_in_message):
    code, printed = run(capsys, *arguments)
    assert code == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert named_in_message in printed.err


def test_every_preset_gets_an_answer():
    for name in PRESETS:
        shape = named(name)
        task = "classification" if shape.architecture.family == "bert" else "generation"
        assert recommend(Need(shape, 24, task=task)).better is not None
