"""The reference solutions of lesson 07 do what the library does."""

import statistics
import time

import pytest
import torch
from small_models import build, randomise_adapter, token_ids
from torch import nn

import peftlab
from peftcourse.exercises import EXERCISES
from peftcourse.exercises.adapters import affine as linear
from peftcourse.exercises.adapters import biases, bottleneck, counting, scales
from peftcourse.exercises.adapters.block import block as adapted_block
from peftcourse.exercises.feedback import assess
from peftcourse.experiments import affine


@pytest.mark.parametrize("style", ["houlsby", "pfeiffer", "parallel"])
def test_counts_are_what_the_library_trains(style):
    model = peftlab.apply(build("llama"), peftlab.BottleneckConfig(5, style))
    config = model.config
    expected = counting.count(style, config.num_hidden_layers, config.hidden_size, 5)
    assert peftlab.trainable_report(model).trainable == expected


@pytest.mark.parametrize("style", ["houlsby", "pfeiffer", "parallel"])
def test_a_block_with_adapters_is_the_librarys(style):
    model = peftlab.apply(build("llama"), peftlab.BottleneckConfig(5, style))
    randomise_adapter(model)
    layers = dict(peftlab.adapter_layers(model))
    blocks, seen = model.model.layers, {}
    block = blocks[1]
    block.register_forward_pre_hook(
        lambda _, args, kwargs: seen.update(x=args[0], options=kwargs), with_kwargs=True
    )
    block.register_forward_hook(lambda _, args, output: seen.update(y=output))
    with torch.no_grad():
        model(token_ids())
        attention = layers.get("model.layers.1.self_attn")
        network = layers["model.layers.1.mlp"]
        bare = block.self_attn.base if attention else block.self_attn
        found = adapted_block(
            seen["x"],
            lambda x: bare(hidden_states=x, **seen["options"])[0],
            network.base,
            block.input_layernorm,
            block.post_attention_layernorm,
            attention.branch if attention else None,
            network.branch,
            style,
        )
    output = seen["y"][0] if isinstance(seen["y"], tuple) else seen["y"]
    assert torch.allclose(found, output, atol=1e-5)


def test_an_adapter_is_the_librarys():
    model = peftlab.apply(build("llama"), peftlab.BottleneckConfig(5))
    randomise_adapter(model)
    layer = peftlab.adapter_layers(model)[0][1]
    adapter = bottleneck.Adapter(32, 5)
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            end, kind = name.split(".")
            parameter.copy_(layer.get_parameter(f"{'W' if kind == 'weight' else 'b'}_{end}"))
    h = torch.randn(3, 4, 32)
    assert torch.allclose(adapter(h), h + layer.branch(h), atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_merging_a_scale_is_the_librarys(family):
    model = peftlab.apply(build(family), peftlab.IA3Config())
    randomise_adapter(model)
    for _, layer in peftlab.adapter_layers(model):
        base, where = layer.innermost, "input" if layer.feedforward else "output"
        bias = base.bias if base.bias is not None else torch.zeros(len(base.weight))
        weight, moved = scales.ia3(base.weight, bias, layer.scale, where)
        assert torch.allclose(weight, layer.merged_weight(base.weight))
        assert torch.allclose(moved, layer.merged_bias(bias))


@pytest.mark.parametrize("family", ["gpt2", "opt", "bert"])
def test_the_biases_are_those_that_bitfit_trains(family):
    adapted = peftlab.apply(build(family), peftlab.BitFitConfig(), train_head=False)
    assert biases.biases(build(family)) == peftlab.trainable_report(adapted).trainable


def test_the_affine_fit_is_the_one_the_chapter_uses():
    u, added = torch.randn(50, 6).double() + 1, torch.randn(50, 4).double()
    M, c, residual = linear.affine(u, added)
    found = affine.fit(u, added)
    assert torch.allclose(M, found.M) and torch.allclose(c, found.c)
    assert residual == pytest.approx(affine.residual(found, u, added))


def said(exercise, answer, seed=3):
    return assess(EXERCISES[exercise], answer, seed)


class CutOff(bottleneck.Adapter):
    def forward(self, h):
        return h + self.up(torch.relu(self.down(h)).detach())


class RandomInTraining(bottleneck.Adapter):
    def forward(self, h):
        return h + nn.functional.dropout(self.up(torch.relu(self.down(h))), 0.5, self.training)


class StartsSmall(bottleneck.Adapter):
    def __init__(self, hidden_size, size):
        super().__init__(hidden_size, size)
        nn.init.normal_(self.up.weight, std=1e-9)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (CutOff, "no gradient reaches `down`"),
        (RandomInTraining, "right in evaluation mode"),
        (StartsSmall, "changes its input a little"),
    ],
)
def test_an_adapter_that_cannot_learn_or_is_not_exact_fails(answer, words):
    report = said("adapters.layer", answer)
    assert not report.correct and words in report.cause


def test_a_frozen_network_still_passes_the_gradient_on():
    def answer(x, attention, feed_forward, norm_1, norm_2, adapter_1, adapter_2, style):
        def frozen(u):
            with torch.no_grad():
                return feed_forward(u)

        return adapted_block(x, attention, frozen, norm_1, norm_2, adapter_1, adapter_2, style)

    report = said("adapters.block", answer)
    assert not report.correct and "no gradient reaches the feed-forward network" in report.cause


def test_an_input_that_is_changed_in_place_is_seen_before_gradients_are():
    def answer(x, *others):
        y = adapted_block(x, *others)
        x.mul_(2)
        return y

    assert "`x` has changed" in said("adapters.block", answer).observed


@pytest.mark.parametrize(
    ("median", "case"),
    [
        (lambda ratios: sorted(ratios)[len(ratios) // 2] - 1, "even"),
        (lambda ratios: max(0.0, statistics.median(ratios) - 1), "faster"),
    ],
)
def test_overheads_of_even_rounds_and_of_faster_models_are_tried(median, case):
    def answer(run_base, run_adapted, rounds, warmup):
        pairs = [(run_base(), run_adapted()) for _ in range(warmup + rounds)][warmup:]
        return median([adapted / base for base, adapted in pairs])

    report = said("adapters.overhead", answer)
    assert not report.correct and case in report.observed


def test_a_clock_of_ones_own_is_seen():
    def answer(run_base, run_adapted, rounds, warmup):
        begun = time.perf_counter()
        for _ in range(warmup + rounds):
            run_base(), run_adapted()
        return time.perf_counter() - begun

    assert "seconds that they return" in said("adapters.overhead", answer).cause


def test_biases_that_were_frozen_and_those_of_the_model_itself_train():
    def only_frozen(model):
        chosen = {n: n.rsplit(".", 1)[-1] == "bias" for n, _ in model.named_parameters()}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(chosen[name] and parameter.requires_grad)
        return sum(p.numel() for n, p in model.named_parameters() if chosen[n])

    assert not said("adapters.biases", only_frozen).correct
    report = said("adapters.biases", lambda model: biases.biases(model) * 0 + _wide(model))
    assert not report.correct


def _wide(model):
    """The length of each bias's first axis, added up."""
    return sum(len(p) for n, p in model.named_parameters() if n.rsplit(".", 1)[-1] == "bias")
