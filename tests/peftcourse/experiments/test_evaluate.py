"""Losses, generation and forgetting against transformers and by hand."""

import math

import pytest
import torch
from small_models import build, randomise_adapter

import peftlab
from peftcourse.experiments import evaluate, models, tasks
from peftlab import LoRAConfig, PeftlabError

EXAMPLES = [
    {"input_ids": [1, 5, 9, 13], "labels": [-100, -100, 9, 13]},
    {"input_ids": [1, 7, 3, 4, 21, 30], "labels": [-100, 7, 3, 4, 21, 30]},
    {"input_ids": [1, 8], "labels": [-100, 8]},
]


@pytest.fixture(scope="module")
def tiny():
    return models.load("tiny", dtype=torch.float32, device="cpu")


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_every_token_weighs_the_same_however_it_is_batched(batch_size):
    model = build("llama", torch.float64)
    total, count = 0.0, 0
    for example in EXAMPLES:
        ids, labels = (torch.tensor([example[key]]) for key in ("input_ids", "labels"))
        n = int((labels[:, 1:] != -100).sum())
        total, count = total + n * model(ids, labels=labels).loss.item(), count + n
    assert evaluate.loss(model, EXAMPLES, batch_size) == pytest.approx(total / count, rel=1e-6)
    assert evaluate.perplexity(model, EXAMPLES) == pytest.approx(math.exp(total / count), rel=1e-6)


def test_evaluation_restores_the_mode_and_keeps_no_graph():
    model = build("llama").train()
    evaluate.loss(model, EXAMPLES)
    assert model.training
    with evaluate.evaluating(model):
        assert not model.training
        assert not torch.is_grad_enabled()


def test_examples_without_a_target_are_refused():
    nothing = [{"input_ids": [1, 2], "labels": [-100, -100]}]
    with pytest.raises(PeftlabError, match="no target token"):
        evaluate.loss(build("llama"), nothing)


def test_greedy_text_does_not_depend_on_what_else_is_in_the_batch(tiny):
    model, tokenizer = tiny
    prompts = [
        "Once upon a time",
        "The dog",
        "",
        "One day, a little girl named Lily found a needle",
    ]
    together = evaluate.generate(model, tokenizer, prompts, max_new_tokens=12)
    alone = [evaluate.generate(model, tokenizer, [p], max_new_tokens=12)[0] for p in prompts]
    assert together == alone
    assert all(together)


def test_sampling_is_seeded_and_leaves_the_global_generator_alone(tiny):
    model, tokenizer = tiny
    torch.manual_seed(1)
    state = torch.get_rng_state()

    def sample(seed):
        return evaluate.generate(
            model, tokenizer, ["One day"], max_new_tokens=12, temperature=1.0, seed=seed
        )

    assert sample(1) == sample(1)
    assert len({sample(seed)[0] for seed in range(5)}) > 1
    assert torch.equal(torch.get_rng_state(), state)


def test_text_ends_with_the_tokenizers_end_token_whatever_the_model_says(tiny, monkeypatch):
    model, tokenizer = tiny
    prompt = "Lily was happy. They went home and lived happily ever after. The end"
    ended = evaluate.generate(model, tokenizer, [prompt], max_new_tokens=24)
    monkeypatch.setattr(model.generation_config, "eos_token_id", None)
    assert evaluate.generate(model, tokenizer, [prompt], max_new_tokens=24) == ended
    # The story is over: more would follow if the end token were just one among others.
    assert len(tokenizer(ended[0])["input_ids"]) < 12


def test_exact_match_ignores_surrounding_space_only():
    examples = [tasks.Example("q", "blue"), tasks.Example("q", "a red fox")]
    assert evaluate.exact_match([" blue\n", "a  red fox"], examples) == 0.5
    with pytest.raises(PeftlabError, match="not 1 with 2"):
        evaluate.exact_match(["blue"], examples)


def test_task_score_is_the_mean_of_the_tasks_own_score(tiny):
    model, tokenizer = tiny
    task = tasks.load("voice", voice="pirate")
    chosen = task.test[:3]
    outputs = evaluate.generate(model, tokenizer, [e.prompt for e in chosen], max_new_tokens=8)
    expected = sum(task.score(e, o) for e, o in zip(chosen, outputs, strict=True)) / 3
    assert evaluate.task_score(model, tokenizer, task, chosen, max_new_tokens=8) == expected
    with pytest.raises(PeftlabError, match="no examples to score"):
        evaluate.task_score(model, tokenizer, task, [])


def test_forgetting_compares_with_the_adapters_off():
    model = build("llama")
    base = evaluate.loss(model, EXAMPLES)
    peftlab.apply(model, LoRAConfig(rank=2))
    assert evaluate.forgetting(model, EXAMPLES).increase == 0
    randomise_adapter(model)
    change = evaluate.forgetting(model, EXAMPLES)
    assert change.before == base
    assert change.after == evaluate.loss(model, EXAMPLES) != base
