"""Adapters reach what the model computes, wherever it reads their layers; else that is said."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from small_models import checkpoint_activations
from torch import nn
from transformers import (
    MambaConfig,
    MambaForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
    WavLMConfig,
    WavLMForCTC,
)

import peftlab
from peftcourse.parity.models import build, randomise_adapter, relative_error, token_ids
from peftlab import (
    AdaLoRAConfig,
    BitFitConfig,
    BottleneckConfig,
    DoRAConfig,
    IA3Config,
    LoRAConfig,
    PartialConfig,
    PeftlabError,
    PiSSAConfig,
    SubspaceConfig,
)
from peftlab.reach import layers_read

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}


def wavlm():
    audio = {
        "conv_dim": (16, 16),
        "conv_stride": (5, 2),
        "conv_kernel": (10, 3),
        "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "mask_time_prob": 0.0,
        "layerdrop": 0.0,
        **dict.fromkeys(("hidden_dropout", "attention_dropout", "final_dropout"), 0.0),
        **dict.fromkeys(("activation_dropout", "feat_proj_dropout"), 0.0),
    }
    model = WavLMForCTC(WavLMConfig(vocab_size=32, **SIZES, **audio))
    sound = torch.randn(2, 400, generator=torch.Generator().manual_seed(4))
    return model, lambda model: model(input_values=sound.double()).logits


def siglip():
    model = SiglipVisionModel(SiglipVisionConfig(image_size=16, patch_size=8, **SIZES))
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    return model, lambda model: model(pixel_values=images.double()).pooler_output


def mamba():
    config = MambaConfig(
        vocab_size=64, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.5
    )
    return MambaForCausalLM(config), lambda model: model(token_ids(), use_cache=False).logits


class Encoder(nn.Module):
    """PyTorch's own encoder, whose evaluation mode has a path of its own that reads weights."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        return self.blocks(x)


def encoder():
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(4)).double()
    return Encoder(), lambda model: model(x)


class Reads(nn.Module):
    """A layer is looked up and its weight used in a product; another is called."""

    def __init__(self):
        super().__init__()
        self.inner, self.called = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.called(F.linear(x, self.inner.weight, self.inner.bias))


def reads():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(4)).double()
    return Reads(), lambda model: model(x)


# A model, and the end of the names of layers whose weight it reads.
MODELS = {
    "wavlm": (wavlm, "out_proj"),
    "siglip": (siglip, "head.attention.out_proj"),
    "mamba": (mamba, "dt_proj"),
    "encoder": (encoder, ("linear1", "out_proj")),
    "plain": (reads, "inner"),
}
METHODS = [
    LoRAConfig(rank=2),
    DoRAConfig(rank=2),
    PiSSAConfig(rank=2),
    AdaLoRAConfig(total_steps=9, rank=2, target_rank=1),
    SubspaceConfig(dimension=7),
    IA3Config(targets="x", feedforward=()),
    BitFitConfig(),
    PartialConfig(),
]


def made(name):
    make, targets = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, run = make()
    return model.double().eval(), run, targets


def aimed(method, targets):
    field = "biases" if isinstance(method, BitFitConfig) else "targets"
    return dataclasses.replace(method, **{field: targets})


@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:.*passes over")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("name", MODELS)
def test_a_weight_that_the_model_reads_has_the_adapter_in_it(name, method):
    model, run, targets = made(name)
    with torch.no_grad():
        base = run(model)
    peftlab.apply(model, aimed(method, targets))
    assert relative_error(run(model), base) < 1e-12
    randomise_adapter(model, scale=0.5)
    adapted = run(model.train())
    adapted.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert relative_error(adapted, base) > 1e-4
    with torch.no_grad():  # where PyTorch's encoder reads the weights of its layers
        assert relative_error(run(model.eval()), adapted) < 1e-9
        with peftlab.disabled(model):
            assert relative_error(run(model), base) < 1e-12
        peftlab.merge(model)
        assert relative_error(run(model), adapted) < 1e-9


def test_two_adapters_are_both_in_the_weight_that_is_read():
    model, run, targets = made("plain")
    for number, name in enumerate(("a", "b")):
        peftlab.apply(model, LoRAConfig(rank=2, targets=targets), name=name)
        randomise_adapter(model, name, seed=number)
    adapted = run(model)
    peftlab.merge(model)
    assert relative_error(run(model), adapted) < 1e-12


def test_only_layers_whose_weights_are_computed_with_count_as_read():
    """T5 asks for the dtype of `wo.weight`, Llama reads none: the weight stays the same object."""
    llama = build("llama")
    weight = llama.model.layers[0].self_attn.q_proj.weight
    peftlab.apply(llama, LoRAConfig())
    assert layers_read(llama) == set()
    assert llama.model.layers[0].self_attn.q_proj.weight is weight
    assert layers_read(Reads()) == {"inner"}


def test_what_cannot_be_in_a_weight_that_is_read_is_refused():
    model, _, _ = made("plain")
    with pytest.raises(PeftlabError, match=r"weight of 'inner' itself.*leave the layer out"):
        peftlab.apply(model, BottleneckConfig(size=2, targets="inner"))
    assert not peftlab.adapters(model)


def test_dropout_that_cannot_act_is_refused():
    model, run, _ = made("plain")
    peftlab.apply(model, LoRAConfig(rank=2, targets="inner", dropout=0.5))
    run(model.eval())
    with pytest.raises(PeftlabError, match=r"reads inner\.weight: dropout must be 0"):
        run(model.train())


def test_adapters_without_a_gradient_are_named_once():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.used(x)

    model, x = Unused(), torch.randn(2, 4)
    peftlab.apply(model, LoRAConfig(rank=2))
    torch.autograd.grad(model(x).sum(), model.used.B)  # leaves no gradient anywhere
    with pytest.warns(
        UserWarning, match="no gradient reached the adapters of unused .1 layers.: the loss"
    ):
        model(x).sum().backward()
    model(x).sum().backward()  # a warning would be an error


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_raises_no_false_alarm(reentrant):
    model = peftlab.apply(build("llama"), LoRAConfig(rank=2)).train()
    checkpoint_activations(model, {"use_reentrant": reentrant})
    model.enable_input_require_grads()
    model(token_ids()).logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


# --- experts -------------------------------------------------------------------------------------


def mixture():
    config = Qwen3MoeConfig(
        vocab_size=64,
        hidden_size=32,
        moe_intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        num_experts=8,
        num_experts_per_tok=2,
    )
    return Qwen3MoeForCausalLM(config)


@pytest.mark.parametrize(
    "act", [lambda m: peftlab.apply(m, LoRAConfig(rank=2)), peftlab.quantize_model]
)
def test_all_linear_says_that_it_passes_over_experts(act):
    share = r"passes over (8|9)\d% of Qwen3MoeForCausalLM.*experts\.gate_up_proj.* 8 experts are"
    with pytest.warns(UserWarning, match=share):
        act(mixture())


@pytest.mark.parametrize("target", ["down_proj", "experts.gate_up_proj", "experts.3.down_proj"])
def test_targets_inside_experts_say_that_they_are_fused(target):
    with pytest.raises(PeftlabError, match="in which 8 experts are fused, which is no linear"):
        peftlab.apply(mixture(), LoRAConfig(targets=target))
