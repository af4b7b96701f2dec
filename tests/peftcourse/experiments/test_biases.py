"""Biases of zero change nothing, and BitFit can train them."""

import pytest
import torch
from small_models import build, token_ids

import peftlab
from peftcourse.experiments.biases import add_biases


def test_the_model_computes_what_it_did_and_bitfit_fits():
    model, ids = build("llama"), token_ids()
    with torch.no_grad():
        before = model(ids).logits
        after = add_biases(model)(ids).logits
    assert torch.equal(before, after)
    assert model.lm_head.bias is None
    peftlab.apply(model, peftlab.BitFitConfig())
    # Of queries and output, keys and values, gate and up, and down, in two blocks.
    assert peftlab.trainable_report(model).trainable == 2 * (2 * 32 + 2 * 16 + 2 * 56 + 32)


def test_a_model_with_biases_is_refused():
    with pytest.raises(peftlab.PeftlabError, match="has a bias already"):
        add_biases(build("opt"))
