"""Which fused attention kernel runs, and in which dtype."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from peftcourse.experiments.attention import FusedAttention

QUERY = torch.randn(1, 4, 8, 16)


def test_the_dtype_is_the_one_that_autocast_leaves():
    with FusedAttention() as seen:
        scaled_dot_product_attention(QUERY, QUERY, QUERY)
    assert seen.seen == {"flash": {torch.float32}}
    with torch.autocast("cpu", torch.bfloat16), FusedAttention() as seen:
        scaled_dot_product_attention(QUERY, QUERY, QUERY)
    assert seen.seen == {"flash": {torch.bfloat16}}


def test_nothing_is_noted_without_a_fused_kernel():
    with sdpa_kernel(SDPBackend.MATH), FusedAttention() as seen:
        scaled_dot_product_attention(QUERY, QUERY, QUERY)
    assert seen.seen == {}


def test_a_backward_pass_counts_once():
    query = QUERY.clone().requires_grad_()
    with FusedAttention() as seen:
        scaled_dot_product_attention(query, query, query).sum().backward()
    assert seen.seen == {"flash": {torch.float32}}
