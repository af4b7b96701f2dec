"""BitFit against training the biases themselves."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import apply_alone, build, randomise_adapter, relative_error, token_ids
from soft import adapter_parameters, check_only_the_adapter_trains, gradients, train
from torch import nn

import peftlab
from peftcourse.parity import twins_soft
from peftlab import PeftlabError
from peftlab.methods.bitfit import BiasOffset, BitFitConfig

WITH_BIASES = ["gpt2", "opt", "bert"]
TOLERANCES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]
sizes = st.integers(1, 6)


def adapted(family="gpt2", dtype=torch.float64, base=None, biases="all", name="default"):
    base = build(family, dtype) if base is None else base
    model = apply_alone(copy.deepcopy(base), BitFitConfig(biases), name=name)
    randomise_adapter(model, name)
    return model


@given(d_in=sizes, d_out=sizes, batch=st.integers(0, 3), norm=st.booleans())
def test_forward_is_that_of_another_bias(d_in, d_out, batch, norm):
    base = nn.LayerNorm(d_in) if norm else nn.Linear(d_in, d_out)
    base = base.double()
    layer = BiasOffset(base, BitFitConfig())
    x = torch.randn(batch, 3, d_in, dtype=torch.float64)
    assert torch.equal(layer(x), base(x))
    nn.init.normal_(layer.delta)
    expected = copy.deepcopy(base)
    expected.bias.data += layer.delta.data
    torch.testing.assert_close(layer(x), expected(x))


@settings(deadline=None, max_examples=10)
@given(d_in=sizes, d_out=sizes)
def test_gradients_equal_finite_differences(d_in, d_out):
    layer = BiasOffset(nn.Linear(d_in, d_out).double(), BitFitConfig())
    x = torch.randn(2, d_in, dtype=torch.float64)

    def output(delta):
        return torch.func.functional_call(layer, {"delta": delta}, (x,)).square()

    assert torch.autograd.gradcheck(output, layer.delta)


@pytest.mark.parametrize("family", WITH_BIASES)
def test_every_bias_and_nothing_else_trains(family):
    model = adapted(family)
    biases = [p for n, p in build(family).named_parameters() if n.endswith(".bias")]
    assert peftlab.trainable_report(model).trainable == sum(b.numel() for b in biases)
    check_only_the_adapter_trains(model)


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("bert", {"attention.self.query": 32, "intermediate.dense": 56}),
        ("opt", {"self_attn.q_proj": 32, "fc1": 56}),
    ],
)
def test_the_papers_subset(family, names):
    model = apply_alone(build(family), BitFitConfig("query+intermediate"))
    layers = peftlab.adapter_layers(model)
    assert len(layers) == 2 * len(names)
    for path, layer in layers:
        (size,) = [size for name, size in names.items() if path.endswith("." + name)]
        assert layer.delta.shape == (size,)


def test_named_biases():
    model = apply_alone(build("gpt2"), BitFitConfig(["c_fc", r".*\.1\.ln_2"]))
    paths = [path.removeprefix("transformer.h.") for path, _ in peftlab.adapter_layers(model)]
    assert paths == ["0.mlp.c_fc", "1.ln_2", "1.mlp.c_fc"]


@pytest.mark.parametrize(
    ("family", "biases", "message"),
    [
        ("llama", "all", "LlamaForCausalLM has no biases for BitFit to train"),
        ("gpt2", "query+intermediate", "GPT-2 computes query, key and value together"),
        ("gpt2", "wte", "target 'wte' matches no module with a bias of GPT2LMHeadModel"),
        ("gpt2", "", "biases is empty"),
    ],
)
def test_what_cannot_be_done_is_said(family, biases, message):
    model = build(family)
    before = str(model)
    with pytest.raises(PeftlabError, match=message):
        apply_alone(model, BitFitConfig(biases))
    assert str(model) == before


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("family", WITH_BIASES)
def test_logits_and_gradients_are_those_of_training_the_biases(family, dtype, tolerance):
    base, ids = build(family, dtype), token_ids()
    ours = adapted(base=base)
    theirs = twins_soft.bitfit_twin(base, ours)
    logits, reference = ours(ids).logits, theirs(ids).logits
    assert relative_error(base(ids).logits, reference) > 0.1
    assert relative_error(logits, reference) < tolerance
    mine = [layer.delta for layer, _ in twins_soft.bitfit_pairs(ours, theirs)]
    others = [bias for _, bias in twins_soft.bitfit_pairs(ours, theirs)]
    assert relative_error(gradients(logits, mine), gradients(reference, others)) < tolerance
    assert sum(p.numel() for p in theirs.parameters() if p.requires_grad) == sum(
        p.numel() for p in mine
    )


@pytest.mark.parametrize("family", WITH_BIASES)
def test_five_optimizer_steps_are_those_of_training_the_biases(family):
    """Without weight decay: that of an offset pulls towards the pretrained bias."""
    base, ids = build(family, torch.float64), token_ids()
    ours = adapted(base=base)
    theirs = twins_soft.bitfit_twin(base, ours)
    for model in (ours, theirs):
        own = [p for p in model.parameters() if p.requires_grad]
        train(own, lambda model=model: model(ids).logits, weight_decay=0.0)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("family", WITH_BIASES)
def test_merging_goes_into_the_bias_and_unmerging_restores_every_bit(family, dtype):
    model, ids = adapted(family, dtype), token_ids()
    base = {name: p.clone() for name, p in model.state_dict().items()}
    unmerged = model(ids).logits
    peftlab.merge(model)
    assert relative_error(model(ids).logits, unmerged) < (1e-12 if dtype == torch.float64 else 1e-5)
    changed = {n for n, p in model.state_dict().items() if not torch.equal(p, base[n])}
    assert changed == {name for name in base if name.endswith("base.bias")}
    peftlab.unmerge(model)
    assert all(torch.equal(p, base[name]) for name, p in model.state_dict().items())
    peftlab.merge(model, keep_base=False)
    assert str(model) == str(build(family))
    assert relative_error(model(ids).logits, unmerged) < 1e-5


def test_it_merges_beside_lora():
    model, ids = adapted(name="bias"), token_ids()
    apply_alone(model, peftlab.LoRAConfig(rank=2), name="lora")
    randomise_adapter(model, "lora")
    both = model(ids).logits
    for order in (["bias", "lora"], ["lora", "bias"]):
        for name in order:
            peftlab.merge(model, name)
        assert relative_error(model(ids).logits, both) < 1e-12
        peftlab.unmerge(model)
    assert torch.equal(model(ids).logits, both)


def test_a_bias_of_16_bits_is_rounded_once():
    base = nn.Sequential(nn.Linear(4, 3)).bfloat16()
    model = apply_alone(base, BitFitConfig())
    randomise_adapter(model)
    layer, bias = model[0], model[0].base.bias.clone()
    assert layer.delta.dtype == torch.float32
    assert model(torch.ones(1, 4).bfloat16()).dtype == torch.bfloat16
    peftlab.merge(model)
    assert torch.equal(layer.base.bias, (bias.float() + layer.delta).bfloat16())


@pytest.mark.parametrize("biases", ["all", "query+intermediate", ("query",)])
def test_files(biases, tmp_path):
    model, ids = adapted("bert", biases=biases), token_ids()
    peftlab.save(model, tmp_path)
    loaded = peftlab.load(build("bert", torch.float64), tmp_path)
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert not any(p.requires_grad for p in adapter_parameters(loaded))
    before = str(loaded)
    with pytest.raises(PeftlabError, match="already has an adapter named 'default'"):
        peftlab.load(loaded, tmp_path)
    assert str(loaded) == before
    with pytest.raises(PeftlabError, match="which GPT2LMHeadModel does not have"):
        peftlab.load(build("gpt2"), tmp_path)
