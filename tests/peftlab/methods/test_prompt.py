"""Prompt tuning against text in front of the input and against Hugging Face PEFT."""

import copy
import json

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import (
    FAMILIES,
    GQA,
    apply_alone,
    build,
    randomise_adapter,
    relative_error,
    token_ids,
)
from soft import (
    LEFT_PADDED,
    RIGHT_PADDED,
    adapter_parameters,
    check_generation,
    check_only_the_adapter_trains,
    generate,
    gradients,
    seeded,
    train,
)
from torch import nn
from transformers import LlamaConfig, LlamaForSequenceClassification

import peftlab
from peftcourse.parity import twins_soft
from peftlab import PeftlabError
from peftlab.methods.prompt import PromptConfig

CAUSAL = [family for family in FAMILIES if family != "bert"]
TOLERANCES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def adapted(family="llama", dtype=torch.float64, base=None, name="default", **config):
    base = build(family, dtype) if base is None else base
    model = apply_alone(copy.deepcopy(base), PromptConfig(**{"tokens": 5, **config}), name=name)
    randomise_adapter(model, name, scale=1.0)
    return model


def prompt_layer(model):
    return peftlab.adapter_layers(model)[0][1]


# --- where it starts -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(tokens=st.integers(1, 9), ids=st.lists(st.integers(0, 60), min_size=1, max_size=9))
def test_starting_from_tokens_repeats_or_cuts_them(tokens, ids):
    model = apply_alone(build("llama"), PromptConfig(tokens=tokens, init=ids))
    table = model.get_input_embeddings().weight
    expected = torch.stack([table[ids[i % len(ids)]] for i in range(tokens)])
    assert torch.equal(prompt_layer(model).prompt, expected)


def test_random_and_vocabulary_starts():
    torch.manual_seed(0)
    random = prompt_layer(apply_alone(build("llama"), PromptConfig(200, "random"))).prompt
    assert random.abs().max() <= 0.5
    assert random.std().item() == pytest.approx(1 / 12**0.5, rel=0.05)
    model = apply_alone(build("llama"), PromptConfig(200, "vocabulary"))
    table = model.get_input_embeddings().weight
    nearest = torch.cdist(prompt_layer(model).prompt, table).min(dim=1)
    assert nearest.values.max() < 1e-3
    assert len(nearest.indices.unique()) > 30  # of the 61 tokens


class Tokenizer:
    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [ord(letter) - ord("a") for letter in text]}


def test_a_prompt_from_a_text():
    assert PromptConfig.from_text("cab", Tokenizer()) == PromptConfig(3, (2, 0, 1))
    assert PromptConfig.from_text("cab", Tokenizer(), tokens=7) == PromptConfig(7, (2, 0, 1))
    with pytest.raises(PeftlabError, match="the text '' has no tokens"):
        PromptConfig.from_text("", Tokenizer())


@pytest.mark.parametrize("family", CAUSAL)
def test_a_prompt_of_real_tokens_is_those_tokens_in_front(family):
    base, ids, text = build(family, torch.float64), token_ids(), (7, 11, 13, 17)
    model = apply_alone(copy.deepcopy(base), PromptConfig(tokens=4, init=text))
    whole = torch.cat([torch.tensor([text]).expand(2, -1), ids], dim=1)
    expected = base(whole).logits[:, 4:]
    assert relative_error(model(ids).logits, expected) < 1e-12
    assert relative_error(base(ids).logits, expected) > 0.01


def test_bert_pools_the_first_soft_token():
    base, ids = build("bert", torch.float64), token_ids()
    model = apply_alone(copy.deepcopy(base), PromptConfig(tokens=2, init=(7, 11)))
    types = torch.tensor([[0] * 4 + [1] * 5]).expand(2, -1)
    whole = torch.cat([torch.tensor([[7, 11]]).expand(2, -1), ids], dim=1)
    whole_types = torch.cat([torch.zeros(2, 2, dtype=torch.long), types], dim=1)
    expected = base(whole, token_type_ids=whole_types).logits
    assert relative_error(model(ids, token_type_ids=types).logits, expected) < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens must be a whole number of at least 1, not 0"),
        ({"init": "text"}, "init must be one of 'random', 'vocabulary' or token ids, not 'text'"),
        ({"init": ()}, r"not \(\)"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(PeftlabError, match=message):
        PromptConfig(**options)


def test_token_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(PeftlabError, match="token id 61 is not in the vocabulary of 61"):
        apply_alone(build("llama"), PromptConfig(init=(61,)))


# --- in a model ----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_prompt_trains(family):
    check_only_the_adapter_trains(adapted(family))


def test_gradients_equal_finite_differences():
    model = adapted("gpt2", tokens=2)
    ids, weights = token_ids(shape=(1, 3)), seeded((1, 3, 61))

    def output(prompt):
        logits = torch.func.functional_call(model, {"transformer.prompt": prompt}, (ids,)).logits
        return (logits * weights).sum()

    assert torch.autograd.gradcheck(output, prompt_layer(model).prompt)


@pytest.mark.parametrize("mask", [torch.ones(2, 9, dtype=torch.long), LEFT_PADDED])
@pytest.mark.parametrize("family", CAUSAL)
def test_generation_with_the_cache_equals_recomputing_everything(family, mask):
    check_generation(adapted(family), token_ids(), mask)


def test_padding_between_prompt_and_text_changes_nothing():
    """Positions count on after the prompt, so a padded row computes what it would alone."""
    model, ids = adapted("gpt2"), token_ids()
    positions = (LEFT_PADDED.cumsum(-1) - 1).clamp(min=0)
    padded = model(ids, attention_mask=LEFT_PADDED, position_ids=positions).logits[1, 3:]
    assert relative_error(padded, model(ids[1:, 3:]).logits[0]) < 1e-12


def test_everything_that_comes_out_has_the_callers_length():
    base = build("llama", torch.float64)
    base.set_attn_implementation("eager")
    model, ids = adapted(base=base), token_ids()
    output = model(ids, output_hidden_states=True, output_attentions=True, labels=ids)
    assert output.logits.shape == (2, 9, 61)
    assert [h.shape for h in output.hidden_states] == [(2, 9, 32)] * 3
    assert [a.shape for a in output.attentions] == [(2, 4, 9, 14)] * 2
    assert torch.equal(model.lm_head(output.hidden_states[-1]), output.logits)
    whole = model(inputs_embeds=model.get_input_embeddings()(ids))
    assert torch.equal(whole.logits, output.logits)


def test_a_decoder_that_classifies_pools_the_callers_last_token():
    torch.manual_seed(0)
    config = LlamaConfig(**GQA, pad_token_id=0, num_labels=3)
    base, ids = LlamaForSequenceClassification(config).double().eval(), token_ids()
    model = adapted(base=base)
    padded = torch.cat([ids, torch.zeros(2, 4, dtype=torch.long)], dim=1)
    mask = (padded != 0).long()
    found = model(padded, attention_mask=mask).logits
    assert relative_error(found, model(ids).logits) < 1e-5
    assert relative_error(found, base(ids).logits) > 0.1


def test_switching_off_and_removing_give_the_base_back():
    base, ids = build("llama", torch.float64), token_ids()
    plain, model = base(ids).logits, adapted()
    with peftlab.disabled(model):
        assert torch.equal(model(ids).logits, plain)
    assert not torch.equal(model(ids).logits, plain)
    with pytest.raises(PeftlabError, match="a part of the input, not of any weight"):
        peftlab.merge(model)
    peftlab.remove(model)
    assert str(model) == str(base)
    assert torch.equal(model(ids).logits, plain)


def test_two_prompts_stand_one_before_the_other():
    base, ids = build("llama", torch.float64), token_ids()
    model = apply_alone(copy.deepcopy(base), PromptConfig(2, (7, 11)), name="first")
    apply_alone(model, PromptConfig(3, (20, 21, 22)), name="second")
    text = torch.tensor([[7, 11, 20, 21, 22]]).expand(2, -1)
    expected = base(torch.cat([text, ids], dim=1)).logits[:, 5:]
    assert relative_error(model(ids).logits, expected) < 1e-12
    check_generation(model, ids, torch.ones_like(ids))
    peftlab.switch(model, "second")
    expected = base(torch.cat([text[:, 2:], ids], dim=1)).logits[:, 3:]
    assert relative_error(model(ids).logits, expected) < 1e-12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_soft_tokens_stay_in_float32_on_a_16_bit_base(dtype):
    model = apply_alone(build("llama", dtype), PromptConfig(tokens=3))
    assert prompt_layer(model).prompt.dtype == torch.float32
    assert model(token_ids()).logits.dtype == dtype


def test_a_model_without_a_head_is_refused():
    with pytest.raises(PeftlabError, match="Linear has no backbone below a head"):
        apply_alone(nn.Linear(2, 2), PromptConfig())


# --- parity with Hugging Face PEFT ---------------------------------------------------------------


def twins(family, dtype):
    base = build(family, dtype)
    ours = adapted(base=base)
    return base, ours, twins_soft.twin(base, prompt_layer(ours).method, ours)


@pytest.mark.parametrize("mask", [None, RIGHT_PADDED])
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_agree_with_peft(family, dtype, tolerance, mask):
    base, ours, theirs = twins(family, dtype)
    inputs = {"input_ids": token_ids(), "attention_mask": mask}
    logits = ours(**inputs).logits
    reference = twins_soft.logits(theirs, prompt_layer(ours).method, **inputs)
    assert relative_error(base(**inputs).logits, reference) > 0.1
    assert relative_error(logits, reference) < tolerance
    ((mine, other),) = twins_soft.pairs(ours, theirs)
    assert relative_error(gradients(logits, [mine]), gradients(reference, [other])) < tolerance


@pytest.mark.parametrize("family", FAMILIES)
def test_five_optimizer_steps_agree_with_peft(family):
    _, ours, theirs = twins(family, torch.float64)
    ids, method = token_ids(), prompt_layer(ours).method
    ((mine, other),) = twins_soft.pairs(ours, theirs)
    train([mine], lambda: ours(ids).logits)
    train([other], lambda: twins_soft.logits(theirs, method, input_ids=ids))
    reference = twins_soft.logits(theirs, method, input_ids=ids)
    assert relative_error(ours(ids).logits, reference) < 1e-10


@pytest.mark.parametrize("family", CAUSAL)
def test_the_loss_agrees_with_peft_but_for_the_very_first_token(family):
    """PEFT's loss also has the last soft token predict the first real one, unless its label is
    -100, as it is where the loss is over an answer only."""
    _, ours, theirs = twins(family, torch.float64)
    ids = token_ids()
    labels = ids.clone()
    labels[:, 0] = -100
    reference = theirs(ids, labels=labels).loss
    # transformers computes every loss in float32
    assert abs(ours(ids, labels=labels).loss - reference) < 1e-6 * reference
    everything = theirs(ids, labels=ids)
    first = nn.functional.cross_entropy(everything.logits[:, 4], ids[:, 0])
    expected = (8 * ours(ids, labels=ids).loss + first) / 9  # eight tokens here, nine there
    assert abs(everything.loss - expected) < 1e-6 * expected


@pytest.mark.parametrize("family", CAUSAL)
def test_trainable_counts_agree_with_peft(family):
    _, ours, theirs = twins(family, torch.float32)
    report = peftlab.trainable_report(ours)
    assert (report.trainable, report.total) == theirs.get_nb_trainable_parameters()


def test_generation_agrees_with_peft():
    _, ours, theirs = twins("llama", torch.float64)
    ids = token_ids()
    mask = torch.ones_like(ids)
    with pytest.warns(UserWarning, match="Position ids are not supported"):
        reference = generate(theirs, ids, mask, 6)
    mine = generate(ours, ids, mask, 6)
    assert torch.equal(mine[0], reference[0])
    assert relative_error(mine[1], reference[1]) < 1e-6


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", CAUSAL)
def test_files_are_exchanged_with_peft_in_both_directions(family, tmp_path):
    base, ours, trained = twins(family, torch.float64)
    ids, method = token_ids(), prompt_layer(ours).method
    peftlab.save(ours, tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "ours").double().eval()
    reference = twins_soft.logits(theirs, method, input_ids=ids)
    assert relative_error(ours(ids).logits, reference) < 1e-6  # PEFT reads into float32
    trained.save_pretrained(tmp_path / "theirs")
    loaded = peftlab.load(copy.deepcopy(base), tmp_path / "theirs", trainable=True)
    reference = twins_soft.logits(trained, method, input_ids=ids)
    assert relative_error(loaded(ids).logits, reference) < 1e-10
    peftlab.save(loaded, tmp_path / "again")
    again = peftlab.load(copy.deepcopy(base), tmp_path / "again")
    assert torch.equal(again(ids).logits, loaded(ids).logits)


@pytest.mark.parametrize(
    ("fields", "base", "message"),
    [
        ({}, {"hidden_size": 48}, r"has shape \(5, 32\), the model needs \(5, 48\)"),
        ({"num_virtual_tokens": 4}, {}, r"the model needs \(4, 32\)"),
        ({"num_virtual_tokens": None}, {}, "tokens must be a whole number"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing_and_says_why(fields, base, message, tmp_path):
    peftlab.save(adapted(), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    model = build("llama", **base)
    before, logits = str(model), model(token_ids()).logits
    with pytest.raises(PeftlabError, match=message):
        peftlab.load(model, tmp_path)
    assert str(model) == before
    assert torch.equal(model(token_ids()).logits, logits)


def test_loading_a_file_twice_changes_nothing_and_says_why(tmp_path):
    peftlab.save(adapted(), tmp_path)
    model = peftlab.load(build("llama", torch.float64), tmp_path)
    before = model(token_ids()).logits
    with pytest.raises(PeftlabError, match="already has an adapter named 'default'"):
        peftlab.load(model, tmp_path)
    assert torch.equal(model(token_ids()).logits, before)
    assert not any(p.requires_grad for p in adapter_parameters(model))
