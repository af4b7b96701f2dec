"""Prefix tuning against its definition, against the model itself and against Hugging Face PEFT."""

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
    checkpoint_activations,
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
from transformers import BartConfig, BartForConditionalGeneration, MistralConfig, MistralForCausalLM

import peftlab
from peftcourse.parity import twins_soft
from peftlab import PeftlabError
from peftlab.methods.prefix import PrefixConfig, PrefixLayer, PrefixShape, drop_mlp, prefix_shape

CAUSAL = [family for family in FAMILIES if family != "bert"]
TOLERANCES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def adapted(family="llama", dtype=torch.float64, base=None, seed=1, name="default", **config):
    base = build(family, dtype) if base is None else base
    model = apply_alone(copy.deepcopy(base), PrefixConfig(**{"tokens": 5, **config}), name=name)
    randomise_adapter(model, name, scale=1.0, seed=seed)
    return model


def prefix_layer(model):
    return peftlab.adapter_layers(model)[0][1]


# --- the definition ------------------------------------------------------------------------------


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(3, 2, dtype=torch.float64)

    def get_input_embeddings(self):
        return self.embedding


numbers = st.integers(1, 4)


@settings(deadline=None)
@given(T=numbers, L=numbers, H=numbers, D=numbers, B=numbers, mlp=st.none() | numbers)
def test_the_flat_prefix_is_keys_and_values_of_each_layer_head_and_token(T, L, H, D, B, mlp):
    layer = PrefixLayer(Backbone(), PrefixConfig(T, mlp), "default", PrefixShape(L, H, D))
    flat = layer.computed_prefix().flatten(1)
    assert flat.shape == (T, L * 2 * H * D)
    found = layer.keys_and_values(B)
    assert found.shape == (L, 2, B, H, T, D)
    for at in torch.cartesian_prod(*map(torch.arange, (T, L, 2, H, D))).view(-1, 5).tolist():
        t, i, kind, h, d = at
        expected = flat[t, ((i * 2 + kind) * H + h) * D + d]
        assert (found[i, kind, :, h, t, d] == expected).all()
    for i in range(L):
        torch.testing.assert_close(layer.keys_and_values(B, slice(i, i + 1))[0], found[i])


@settings(deadline=None)
@given(T=numbers, size=numbers)
def test_the_mlp_is_its_equation(T, size):
    layer = PrefixLayer(Backbone(), PrefixConfig(T, size), "default", PrefixShape(2, 2, 3))
    for parameter in layer.adapter_parameters().values():
        nn.init.normal_(parameter)
    hidden = torch.tanh(layer.E @ layer.W1.T + layer.b1)
    expected = hidden @ layer.W2.T + layer.b2
    torch.testing.assert_close(layer.computed_prefix().flatten(1), expected)


@pytest.mark.parametrize("mlp_size", [None, 3])
def test_gradients_equal_finite_differences(mlp_size):
    model = adapted(tokens=1, mlp_size=mlp_size, family="gpt2")  # Llama's norm is in float32
    layer = prefix_layer(model)
    ids, weights = token_ids(shape=(1, 3)), seeded((1, 3, 61))

    def output(*values):
        parameters = dict(zip(layer.PARAMETERS, values, strict=True))
        names = {f"transformer.{name}": value for name, value in parameters.items()}
        return (torch.func.functional_call(model, names, (ids,)).logits * weights).sum()

    assert torch.autograd.gradcheck(output, tuple(layer.adapter_parameters().values()))


def test_the_prefix_has_the_heads_of_keys_and_values_not_of_queries():
    shape = prefix_shape(build("llama"))
    assert (shape.layers, shape.heads, shape.head_size) == (2, 2, 8)
    model = adapted(tokens=5)
    assert prefix_layer(model).prefix.shape == (5, 2 * 2 * 2 * 8)


@pytest.mark.parametrize("family", CAUSAL)
def test_a_prefix_from_a_text_is_that_text_in_front(family):
    base, ids, text = build(family, torch.float64), token_ids(), (7, 11, 13, 17)
    model = apply_alone(copy.deepcopy(base), PrefixConfig(tokens=4, init=text))
    whole = torch.cat([torch.tensor([text]).expand(2, -1), ids], dim=1)
    expected = base(whole).logits[:, 4:]
    assert relative_error(model(ids).logits, expected) < 1e-12
    assert relative_error(base(ids).logits, expected) > 0.1


def test_starting_from_a_text_uses_no_dropout_and_restores_the_mode():
    base = build("gpt2", torch.float64)
    quiet = prefix_layer(apply_alone(base, PrefixConfig(tokens=2, init=(7, 11)))).prefix
    noisy = build("gpt2", torch.float64).train()
    again = prefix_layer(apply_alone(noisy, PrefixConfig(tokens=2, init=(7, 11)))).prefix
    assert torch.equal(quiet, again)
    assert all(module.training for module in noisy.modules())


@pytest.mark.parametrize("mlp_size", [None, 64])
def test_a_random_prefix_starts_close_to_zero(mlp_size):
    torch.manual_seed(0)
    model = apply_alone(build("llama"), PrefixConfig(mlp_size=mlp_size))
    prefix = prefix_layer(model).computed_prefix().flatten(1)
    assert 0.005 < prefix.std() < 0.03


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens must be a whole number of at least 1, not 0"),
        ({"tokens": 2.0}, "not 2.0"),
        ({"mlp_size": 0}, "mlp_size must be None or a whole number"),
        ({"init": "zeros"}, 'init must be "random" or as many token ids as tokens'),
        ({"tokens": 3, "init": (1, 2)}, "as many token ids as tokens .3."),
        ({"tokens": 2, "init": [1, 2], "mlp_size": 4}, "cannot start from token ids"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(PeftlabError, match=message):
        PrefixConfig(**options)


# --- in a model ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mlp_size", [None, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_prefix_trains(family, mlp_size):
    check_only_the_adapter_trains(adapted(family, mlp_size=mlp_size))


@pytest.mark.parametrize("mask", [torch.ones(2, 9, dtype=torch.long), LEFT_PADDED])
@pytest.mark.parametrize("family", CAUSAL)
def test_generation_with_the_cache_equals_recomputing_everything(family, mask):
    check_generation(adapted(family), token_ids(), mask)


def test_beam_search_works():
    model, ids = adapted(), token_ids()
    mask = torch.ones_like(ids)
    cached, _ = generate(model, ids, mask, 4, num_beams=3)
    recomputed, _ = generate(model, ids, mask, 4, num_beams=3, use_cache=False)
    assert torch.equal(cached, recomputed)


@pytest.mark.parametrize("tokens", [2, 6])
def test_a_sliding_window_slides_over_the_prefix_too(tokens):
    torch.manual_seed(0)
    base = MistralForCausalLM(MistralConfig(**GQA, sliding_window=4)).double().eval()
    model, ids = adapted(base=base, tokens=tokens), token_ids()
    theirs = twins_soft.twin(base, prefix_layer(model).method, model)
    assert relative_error(model(ids).logits, theirs(ids).logits) < 1e-12
    check_generation(model, ids, torch.ones_like(ids))


def test_switching_off_and_removing_give_the_base_back():
    base, ids = build("llama", torch.float64), token_ids()
    plain = base(ids).logits
    model = adapted()
    with_prefix = model(ids).logits
    with peftlab.disabled(model):
        assert torch.equal(model(ids).logits, plain)
    assert torch.equal(model(ids).logits, with_prefix)
    peftlab.remove(model)
    assert str(model) == str(base)
    assert torch.equal(model(ids).logits, plain)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_prefix_stays_in_float32_on_a_16_bit_base(dtype, checkpointed):
    model = adapted(dtype=dtype).train()
    if checkpointed:
        checkpoint_activations(model)
    (prefix,) = adapter_parameters(model)
    logits = model(token_ids()).logits
    assert (prefix.dtype, logits.dtype) == (torch.float32, dtype)
    logits.float().square().mean().backward()
    assert prefix.grad.norm() > 0


def test_two_prefixes_stand_one_before_the_other():
    """The prefix of the outer adapter comes first: two texts are one longer text."""
    base, ids = build("llama", torch.float64), token_ids()
    model = apply_alone(copy.deepcopy(base), PrefixConfig(tokens=2, init=(7, 11)), name="inner")
    text = PrefixConfig(tokens=3, init=(20, 21, 22))
    with peftlab.disabled(model):
        apply_alone(model, text, name="outer")
    both = model(ids).logits
    peftlab.switch(model, "outer")
    alone = apply_alone(copy.deepcopy(base), text)(ids).logits
    assert relative_error(model(ids).logits, alone) < 1e-12
    peftlab.switch(model, "outer", "inner")
    assert torch.equal(model(ids).logits, both)
    check_generation(model, ids, torch.ones_like(ids))
    keys = model(ids, use_cache=True).past_key_values.layers[0].keys
    assert torch.equal(keys[0, :, :3], model.model.keys_and_values(1)[0, 0, 0])


def test_dropping_the_mlp_keeps_what_it_computes():
    base = apply_alone(build("llama", torch.float64), peftlab.LoRAConfig(), name="lora")
    model, ids = adapted(base=base, mlp_size=4), token_ids()
    before = model(ids).logits
    drop_mlp(model)  # and pass over the other adapter
    assert relative_error(model(ids).logits, before) < 1e-12
    peftlab.remove(model, "lora")
    assert peftlab.trainable_report(model).trainable == 5 * 2 * 2 * 16
    assert all(layer.method == PrefixConfig(tokens=5) for _, layer in peftlab.adapter_layers(model))
    drop_mlp(model)  # nothing more to drop
    check_only_the_adapter_trains(model)
    with pytest.raises(PeftlabError, match="none of these adapters is one"):
        drop_mlp(apply_alone(build("llama"), peftlab.LoRAConfig()))


def test_a_cache_filled_without_the_prefix_is_refused():
    model, ids = adapted(), token_ids()
    with peftlab.disabled(model):
        cache = model(ids, use_cache=True).past_key_values
    with pytest.raises(PeftlabError, match="filled without the adapter 'default'"):
        model(ids, past_key_values=cache)


@torch.no_grad()
def test_a_copied_cache_continues_the_sequence():
    model, ids = adapted("gpt2"), token_ids()
    cache = model(ids[:, :6], use_cache=True).past_key_values
    rest = model(ids[:, 6:], past_key_values=copy.deepcopy(cache)).logits
    assert relative_error(rest, model(ids).logits[:, 6:]) < 1e-12


def test_a_cache_of_fixed_size_and_a_prepared_mask_are_refused():
    model, ids = adapted(), token_ids()
    with pytest.raises(PeftlabError, match="leave out cache_implementation"):
        generate(model, ids, torch.ones_like(ids), 2, cache_implementation="static")
    with pytest.raises(PeftlabError, match="instead of a prepared mask"):
        model(ids, attention_mask=torch.ones(2, 1, 9, 9))


def test_it_cannot_merge_and_says_why():
    model, ids = adapted(), token_ids()
    before = model(ids).logits
    with pytest.raises(PeftlabError, match="belong to extra positions, not to any weight"):
        peftlab.merge(model)
    assert torch.equal(model(ids).logits, before)


def small_bart():
    return BartForConditionalGeneration(
        BartConfig(
            vocab_size=61,
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
        )
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2)), "Sequential has no backbone below a head"),
        (lambda: build("llama").model, "LlamaModel has no backbone below a head"),
        (small_bart, "has an encoder and a decoder"),
    ],
)
def test_models_it_does_not_fit_are_refused(model, message):
    with pytest.raises(PeftlabError, match=message):
        apply_alone(model(), PrefixConfig())


def test_a_layer_without_a_cache_is_refused():
    model = build("llama")
    model.model.layers[1].self_attn.layer_idx = None
    with pytest.raises(PeftlabError, match="one self-attention with a cache in each of its 2"):
        apply_alone(model, PrefixConfig())


def test_token_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(PeftlabError, match="token id 61 is not in the vocabulary of 61"):
        apply_alone(build("llama"), PrefixConfig(tokens=1, init=(61,)))


# --- parity with Hugging Face PEFT ---------------------------------------------------------------


def twins(family, dtype, mlp_size):
    base = build(family, dtype)
    ours = adapted(base=base, mlp_size=mlp_size)
    method = prefix_layer(ours).method
    return base, ours, twins_soft.twin(base, method, ours)


@pytest.mark.parametrize("mask", [None, RIGHT_PADDED])
@pytest.mark.parametrize("mlp_size", [None, 7])
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_agree_with_peft(family, dtype, tolerance, mlp_size, mask):
    base, ours, theirs = twins(family, dtype, mlp_size)
    inputs = {"input_ids": token_ids(), "attention_mask": mask}
    logits, reference = ours(**inputs).logits, theirs(**inputs).logits
    assert relative_error(base(**inputs).logits, reference) > 0.1
    assert relative_error(logits, reference) < tolerance
    mine, others = zip(*twins_soft.pairs(ours, theirs), strict=True)
    assert relative_error(gradients(logits, mine), gradients(reference, others)) < tolerance


@pytest.mark.parametrize("mlp_size", [None, 7])
@pytest.mark.parametrize("family", FAMILIES)
def test_five_optimizer_steps_agree_with_peft(family, mlp_size):
    _, ours, theirs = twins(family, torch.float64, mlp_size)
    ids = token_ids()
    mine, others = zip(*twins_soft.pairs(ours, theirs), strict=True)
    train(mine, lambda: ours(ids).logits)
    train(others, lambda: theirs(ids).logits)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10


@pytest.mark.parametrize("mlp_size", [None, 7])
@pytest.mark.parametrize("family", CAUSAL)
def test_trainable_counts_agree_with_peft(family, mlp_size):
    _, ours, theirs = twins(family, torch.float32, mlp_size)
    assert peftlab.trainable_report(ours).trainable == theirs.get_nb_trainable_parameters()[0]
    assert peftlab.trainable_report(ours).total == theirs.get_nb_trainable_parameters()[1]


def test_generation_agrees_with_peft():
    _, ours, theirs = twins("llama", torch.float64, None)
    ids = token_ids()
    mask = torch.ones_like(ids)
    mine, reference = generate(ours, ids, mask, 6), generate(theirs, ids, mask, 6)
    assert torch.equal(mine[0], reference[0])
    assert relative_error(mine[1], reference[1]) < 1e-10


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mlp_size", [None, 7])
@pytest.mark.parametrize("family", CAUSAL)
def test_files_are_exchanged_with_peft_in_both_directions(family, mlp_size, tmp_path):
    base, ours, _ = twins(family, torch.float64, mlp_size)
    ids = token_ids()
    peftlab.save(ours, tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "ours").double().eval()
    assert relative_error(theirs(ids).logits, ours(ids).logits) < 1e-6  # PEFT reads into float32
    _, _, trained = twins(family, torch.float64, mlp_size)
    trained.save_pretrained(tmp_path / "theirs")
    loaded = peftlab.load(copy.deepcopy(base), tmp_path / "theirs", trainable=True)
    assert relative_error(loaded(ids).logits, trained(ids).logits) < 1e-10
    peftlab.save(loaded, tmp_path / "again")
    again = peftlab.load(copy.deepcopy(base), tmp_path / "again")
    assert torch.equal(again(ids).logits, loaded(ids).logits)


def edit(folder, **fields):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "base", "message"),
    [
        ({}, {"num_hidden_layers": 1}, "made for num_layers=2, and LlamaForCausalLM has 1"),
        ({}, {"num_key_value_heads": 4}, "num_attention_heads=2"),
        ({"num_virtual_tokens": 4}, {}, r"has shape \(5, 64\), the model needs \(4, 64\)"),
        ({"num_transformer_submodules": 2}, {}, "sets num_transformer_submodules=2"),
        ({"token_dim": 8}, {}, "token_dim=8"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing_and_says_why(fields, base, message, tmp_path):
    peftlab.save(adapted(), tmp_path)
    edit(tmp_path, **fields)
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
