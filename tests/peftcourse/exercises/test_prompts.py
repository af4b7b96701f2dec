"""The reference solutions of lesson 08 do what the library does."""

import pytest
import torch
import torch.nn.functional as F

import peftlab
from peftcourse.exercises import find
from peftcourse.exercises.feedback import assess
from peftcourse.exercises.prompts import attention, counting, layout, share, start
from peftcourse.experiments import attention as looking
from peftcourse.experiments import models
from peftlab.methods.prefix import PrefixConfig, prefix_shape
from peftlab.methods.prompt import PromptConfig


@pytest.fixture
def model():
    return models.load("tiny", device="cpu", dtype=torch.float32).model


def test_counts_are_what_the_library_trains(model):
    shape, config = prefix_shape(model), model.config
    sizes = (config.hidden_size, config.num_attention_heads, shape.heads, shape.head_size)
    counts = counting.count(7, shape.layers, *sizes)
    for method, expected in zip((PromptConfig(7), PrefixConfig(7)), counts, strict=True):
        peftlab.apply(model, method, name="counted")
        assert peftlab.trainable_report(model).trainable == expected
        peftlab.remove(model, "counted")


def test_the_cache_has_the_librarys_shape_and_values(model):
    peftlab.apply(model, PrefixConfig(5), name="prefix")
    layer = dict(peftlab.adapter_layers(model, "prefix"))["model"]
    keys, values = layout.shapes(layer.prefix, layer.shape.layers, layer.shape.heads, 3)
    assert torch.equal(torch.stack([keys, values], dim=1), layer.keys_and_values(3))


def test_a_prompt_from_a_text_starts_as_the_librarys(model):
    table, ids = model.get_input_embeddings().weight, [5, 9, 7]
    peftlab.apply(model, PromptConfig(8, tuple(ids)), name="prompt")
    layer = dict(peftlab.adapter_layers(model, "prompt"))["model"]
    assert torch.equal(start.init(table, ids, 8), layer.prompt)


def test_attention_is_pytorchs_with_a_mask():
    q, k, v = torch.randn(2, 6, 5, 4), torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    prefix_k, prefix_v = torch.randn(2, 3, 7, 4)
    visible = torch.ones(5, 12, dtype=torch.bool).tril(7)
    keys, values = (
        torch.cat([prefix.expand(2, -1, -1, -1), given], dim=2)
        for prefix, given in ((prefix_k, k), (prefix_v, v))
    )
    expected = F.scaled_dot_product_attention(q, keys, values, visible, enable_gqa=True)
    assert torch.allclose(attention.attend(q, k, v, prefix_k, prefix_v), expected, atol=1e-6)


@pytest.mark.parametrize("method", [PromptConfig(4), PrefixConfig(4)])
def test_the_share_of_attention_is_the_librarys(model, method):
    examples = [{"input_ids": row, "labels": row} for row in ([0, 5, 9, 7, 8], [0, 11, 12])]
    peftlab.apply(model, method, name="virtual")
    kernel = model.config._attn_implementation
    found = looking.shares(model, examples, 4)
    assert model.config._attn_implementation == kernel
    model.set_attn_implementation("eager")
    ids = torch.tensor([[0, 5, 9, 7, 8], [0, 11, 12, 1, 1]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    with torch.no_grad():
        maps = model(ids, attention_mask=mask, output_attentions=True).attentions
    for layer, part in zip(maps, found["virtual"], strict=True):
        assert share.mass(layer, mask, 4) == pytest.approx(part, rel=1e-5)
    # Positions 1 to 5 and 1 to 3 see four virtual tokens and themselves.
    even = [4 / (4 + seen) for seen in (1, 2, 3, 4, 5, 1, 2, 3)]
    assert found["even"] == pytest.approx([sum(even) / 8] * 8)


def test_without_virtual_tokens_none_are_looked_at(model):
    found = looking.shares(model, [{"input_ids": [0, 5, 9], "labels": [0, 5, 9]}])
    assert found["virtual"] == [0.0] * 8 and all(0 < share < 1 for share in found["first"])


def report(exercise, answer):
    """What the check says of an answer; the seed is any."""
    return assess(find(f"prompts.{exercise}"), answer, seed=7)


def test_a_prompt_that_shares_memory_with_the_table_fails():
    def answer(table, ids, tokens):
        if tokens == 1:
            return torch.nn.Parameter(table.detach()[ids[0]].unsqueeze(0))
        return start.init(table, ids, tokens)

    found = report("init", answer)
    assert "shares memory" in found.cause and "one soft token" in found.observed


def test_the_first_label_of_the_text_is_looked_at():
    def answer(prompt, embeddings, labels):
        embeddings, labels = find("prompts.concat").solution(prompt, embeddings, labels)
        labels[:, len(prompt)] = -100
        return embeddings, labels

    assert "first token of the text is skipped" in report("concat", answer).cause


def test_a_cache_without_gradient_fails():
    def answer(prefix, layers, heads, batch):
        keys, values = layout.shapes(prefix, layers, heads, batch)
        return keys, values.clone().detach()

    assert "no gradient reaches the prefix from the values" in report("shapes", answer).cause


def test_a_fixed_number_of_query_heads_for_each_head_fails():
    def answer(q, k, v, prefix_k, prefix_v):
        k, v = (tensor.repeat_interleave(2, dim=1) for tensor in (k, v))
        prefix_k, prefix_v = (tensor.repeat_interleave(2, dim=0) for tensor in (prefix_k, prefix_v))
        return attention.attend(q, k, v, prefix_k, prefix_v)

    assert "query heads" in report("attend", answer).observed


def test_attention_says_what_is_seen_of_a_mistake_that_is_not_known():
    def leaks(q, k, v, prefix_k, prefix_v):
        return attention.attend(q, k, 0.9 * v + 0.1 * v.roll(-1, dims=2), prefix_k, prefix_v)

    assert "a token sees what comes after it" in report("attend", leaks).cause


def test_positions_may_be_whole_numbers_of_any_size():
    def answer(mask, tokens):
        widened, positions = find("prompts.mask").solution(mask, tokens)
        return widened, positions.int()

    assert report("mask", answer).correct
    assert (
        "dtype is float32"
        in report("mask", lambda *a: (answer(*a)[0], answer(*a)[1].float())).cause
    )
