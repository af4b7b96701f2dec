"""Several adapters of different methods in one model, and gradient checkpointing under each."""

import copy
import itertools

import pytest
import torch
from small_models import (
    FAMILIES,
    apply_alone,
    build,
    checkpoint_activations,
    randomise_adapter,
    relative_error,
    token_ids,
)
from soft import LEFT_PADDED, adapter_parameters, check_generation, gradients, train

import peftlab
from peftlab import (
    BitFitConfig,
    BottleneckConfig,
    FusionConfig,
    LoRAConfig,
    PartialConfig,
    PrefixConfig,
    PromptConfig,
)
from peftlab.layers import innermost
from peftlab.methods.places import blocks
from peftlab.targets import named_layers

ATTENTION = r".*\.(q_proj|v_proj|c_attn|query|value)"

# Each method by itself, and stacks of several, by name.
STACKS = {
    "lora": {"lora": LoRAConfig(rank=2)},
    "houlsby": {"a": BottleneckConfig(4, "houlsby")},
    "parallel": {"a": BottleneckConfig(4, "parallel")},
    "fusion": {"a": BottleneckConfig(4), "b": BottleneckConfig(3), "f": FusionConfig(("a", "b"))},
    "bitfit": {"bias": BitFitConfig()},
    "partial": {"part": PartialConfig(("last-block", "head"))},
    "prefix": {"prefix": PrefixConfig(4)},
    "prefix-mlp": {"prefix": PrefixConfig(4, mlp_size=6)},
    "two-prefixes": {"prefix": PrefixConfig(4), "other": PrefixConfig(2)},
    "prompt": {"prompt": PromptConfig(4)},
    "lora+adapter": {"lora": LoRAConfig(2, targets=ATTENTION), "a": BottleneckConfig(4)},
    "prefix+lora": {"prefix": PrefixConfig(4), "lora": LoRAConfig(2)},
    "everything": {
        "lora": LoRAConfig(2, targets=ATTENTION),
        "prompt": PromptConfig(2),
        "a": BottleneckConfig(4, "houlsby"),
        "prefix": PrefixConfig(3),
        "part": PartialConfig("last-block"),
    },
}


def fits(stack, family):
    return stack != "bitfit" or family in ("gpt2", "opt", "bert")


PAIRS = [pair for pair in itertools.product(STACKS, FAMILIES) if fits(*pair)]


def stacked(stack, base, order=None):
    """A copy of the base with these adapters in it, all on, all training, and all random."""
    methods = STACKS[stack] if isinstance(stack, str) else stack
    model = copy.deepcopy(base)
    for name in order or methods:
        apply_alone(model, methods[name], name=name)
        randomise_adapter(model, name, seed=sum(map(ord, name)), scale=0.3)
    peftlab.switch(model, *methods)
    return model


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize(("stack", "family"), PAIRS)
def test_gradient_checkpointing_changes_no_gradient(stack, family, use_reentrant):
    base, ids = build(family, torch.float64), token_ids()
    model = stacked(stack, base).train()
    parameters = adapter_parameters(model)
    torch.manual_seed(3)  # dropout is on, and recomputing has to draw the same
    logits = model(ids, attention_mask=LEFT_PADDED).logits
    expected = gradients(logits, parameters)
    checkpoint_activations(model, {"use_reentrant": use_reentrant})
    calls = []
    first = next(m for path, m in named_layers(model) if path.startswith(blocks(model)[0] + "."))
    innermost(first).register_forward_hook(lambda *_: calls.append(1))
    torch.manual_seed(3)
    again = model(ids, attention_mask=LEFT_PADDED).logits
    assert relative_error(again, logits) < 1e-12
    weights = torch.randn(
        logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    (again * weights).sum().backward()  # a reentrant checkpoint knows no torch.autograd.grad
    found = torch.cat([parameter.grad.flatten() for parameter in parameters])
    assert relative_error(found, expected) < 1e-10
    assert len(calls) == 2  # once forward, once to recompute


def test_two_batches_of_different_size_can_wait_for_one_backward_pass():
    base = build("llama", torch.float64)
    model = stacked("prefix-mlp", base).train()
    parameters = adapter_parameters(model)

    def loss():
        return sum(
            model(token_ids(shape=shape)).logits.square().mean() for shape in ((2, 9), (3, 5))
        )

    expected = torch.autograd.grad(loss(), parameters)
    checkpoint_activations(model)
    for found, reference in zip(torch.autograd.grad(loss(), parameters), expected, strict=True):
        assert relative_error(found, reference) < 1e-10


@pytest.mark.parametrize("stack", ["lora+adapter", "prefix+lora", "everything"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_each_adapter_of_a_stack_can_be_used_alone(stack, family):
    base, ids = build(family, torch.float64), token_ids()
    model = stacked(stack, base)
    together = model(ids).logits
    for name, method in STACKS[stack].items():
        alone = stacked({name: method}, base)
        peftlab.switch(model, name)
        assert torch.equal(model(ids).logits, alone(ids).logits)
        assert peftlab.trainable_report(model).trainable == (
            peftlab.trainable_report(alone).trainable
        )
        assert relative_error(together, alone(ids).logits) > 1e-3
    with peftlab.disabled(model):
        assert torch.equal(model(ids).logits, base(ids).logits)
    peftlab.switch(model, *STACKS[stack])
    assert torch.equal(model(ids).logits, together)
    for name in STACKS[stack]:
        peftlab.remove(model, name)
    assert str(model) == str(base)


@pytest.mark.parametrize("stack", ["lora+adapter", "prefix+lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_independent_adapters_does_not_matter(stack, family):
    base, ids = build(family, torch.float64), token_ids()
    one, other = STACKS[stack]
    there = stacked(stack, base, [one, other])
    back = stacked(stack, base, [other, one])
    assert relative_error(there(ids).logits, back(ids).logits) < 1e-12


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "bert"])
def test_a_prefix_over_lora_is_a_prefix_over_the_merged_model(family):
    base, ids = build(family, torch.float64), token_ids()
    model = stacked("prefix+lora", base)
    expected = model(ids).logits
    merged = peftlab.merge(stacked({"lora": LoRAConfig(2)}, base), keep_base=False)
    reference = stacked({"prefix": PrefixConfig(4)}, merged)
    assert relative_error(reference(ids).logits, expected) < 1e-10
    peftlab.merge(model, "lora")
    assert relative_error(model(ids).logits, expected) < 1e-10
    peftlab.unmerge(model, "lora")
    assert torch.equal(model(ids).logits, expected)


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_a_stack_generates_with_the_cache(family):
    model = stacked("everything", build(family, torch.float64))
    check_generation(model, token_ids(), LEFT_PADDED)


@pytest.mark.parametrize("order", [["prompt", "prefix"], ["prefix", "prompt"]])
def test_prompt_and_prefix_find_room_in_one_cache(order):
    methods = {"prompt": PromptConfig(2), "prefix": PrefixConfig(3)}
    model = stacked(methods, build("llama", torch.float64), order)
    ids = token_ids()
    cache = model(ids, use_cache=True).past_key_values
    assert cache.get_seq_length() == 2 + 3 + 9
    check_generation(model, ids, torch.ones_like(ids))


def test_stacked_adapters_train_together_and_their_files_go_apart(tmp_path):
    base, ids = build("llama", torch.float64), token_ids()
    model = stacked("everything", base)
    kept = {name: p.clone() for name, p in base.named_parameters()}
    train(adapter_parameters(model), lambda: model(ids).logits)
    for name in STACKS["everything"]:
        peftlab.save(model, tmp_path / name, name)
    loaded = copy.deepcopy(base)
    for name in STACKS["everything"]:
        peftlab.load(loaded, tmp_path / name, name)
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    for name in STACKS["everything"]:
        peftlab.remove(model, name)
    assert all(torch.equal(p, kept[name]) for name, p in model.named_parameters())
