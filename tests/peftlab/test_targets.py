"""Matching targets: names of modules, suffixes, regular expressions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import FAMILIES, build
from torch import nn

import peftlab
from peftlab import PeftlabError
from peftlab.targets import compact_targets, matches


def test_a_suffix_matches_at_a_dot_only():
    assert matches("layers.0.q_proj", "q_proj")
    assert matches("q_proj", "q_proj")
    assert matches("layers.0.q_proj", "0.q_proj")
    assert not matches("layers.0.my_q_proj", "q_proj")
    assert not matches("layers.0.q_proj", "proj")


def test_a_regex_must_match_the_whole_name():
    assert matches("layers.3.q_proj", r"layers\.[0-3]\.q_proj")
    assert not matches("model.layers.3.q_proj", r"layers\.[0-3]\.q_proj")
    assert not matches("layers.3.q_proj", "(")  # not a valid regex, and no suffix either


@given(st.text("ab._", min_size=1, max_size=8), st.text("ab._", min_size=1, max_size=8))
def test_a_name_is_matched_by_each_of_its_dotted_suffixes(prefix, name):
    assert matches(f"{prefix}.{name}", name)


def test_targets_of_a_model():
    model = build("llama")
    queries = [f"model.layers.{i}.self_attn.q_proj" for i in range(2)]
    assert peftlab.match_targets(model, "q_proj") == queries
    assert peftlab.match_targets(model, [r".*\.0\..*q_proj"]) == queries[:1]
    everything = peftlab.match_targets(model, "all-linear")
    assert len(everything) == 2 * 7
    assert "lm_head" not in everything


@pytest.mark.parametrize("family", FAMILIES)
def test_all_linear_is_every_linear_layer_but_the_output_head(family):
    model = build(family)
    head = model.classifier if family == "bert" else model.get_output_embeddings()
    linear = [
        name
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and module is not head
    ]
    assert peftlab.match_targets(model, "all-linear") == linear


def test_an_unmatched_target_says_what_could_match():
    with pytest.raises(PeftlabError, match=r"'query' matches no layer.*k_proj, .*q_proj"):
        peftlab.match_targets(build("llama"), ["q_proj", "query"])
    with pytest.raises(PeftlabError, match=r"matches Embedding, which is not a linear layer"):
        peftlab.match_targets(build("llama"), "embed_tokens")
    with pytest.raises(PeftlabError, match="no linear layer to adapt"):
        peftlab.match_targets(nn.Sequential(nn.ReLU()), "all-linear")


def test_compact_targets_are_suffixes_only_if_they_mean_the_same_layers():
    model = build("llama")
    queries = peftlab.match_targets(model, "q_proj")
    assert compact_targets(model, queries) == ("q_proj",)
    assert compact_targets(model, queries[:1]) == (queries[0],)
