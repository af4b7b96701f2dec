"""Lesson 07, counting what trains: reference solution and typical wrong answers."""

from __future__ import annotations

from peftcourse.exercises.core import slip


def count(style: str, layers: int, hidden_size: int, size: int) -> int:
    each = 2 * hidden_size * size + size + hidden_size
    return layers * each * (2 if style == "houlsby" else 1)


_TWICE = 'style == "houlsby"'
_WEIGHTS, _BIASES = "2 * hidden_size * size", " + size + hidden_size"

COUNT = (
    slip(
        count,
        "no-biases",
        _BIASES,
        "",
        "the biases are missing",
        "Add m for the down-projection's bias and d for the up-projection's",
    ),
    slip(
        count,
        "always-one",
        _TWICE,
        "False",
        "Houlsby's style has two adapters in each block, and one was counted",
        "After the attention and after the feed-forward network: multiply by 2",
    ),
    slip(
        count,
        "one-projection",
        _WEIGHTS,
        "hidden_size * size",
        "one of the two projections is missing",
        "There are d·m weights on the way down and as many on the way up",
    ),
    slip(
        count,
        "one-block",
        "layers * each",
        "each",
        "one block is counted, and the model has as many as `layers`",
        "Multiply by layers",
    ),
    slip(
        count,
        "parallel-twice",
        _TWICE,
        'style != "pfeiffer"',
        "the parallel style is counted with two adapters in each block; it has one",
        "Parallel means where the adapter reads; there is one, beside the feed-forward network",
    ),
    slip(
        count,
        "always-two",
        _TWICE,
        "True",
        "every style is counted with two adapters in each block; only Houlsby's has two",
        "Multiply by 2 where style is houlsby, and nowhere else",
    ),
    slip(
        count,
        "pfeiffer-twice",
        _TWICE,
        'style != "parallel"',
        "Pfeiffer's style is counted with two adapters in each block; it has one adapter",
        "Pfeiffer's one adapter comes after the feed-forward network",
    ),
    slip(
        count,
        "twice-for-parallel-alone",
        _TWICE,
        'style == "parallel"',
        "the parallel style is counted with two adapters in each block and Houlsby's with one: it "
        "is the other way round",
        "Multiply by 2 where style is houlsby",
    ),
    slip(
        count,
        "twice-for-pfeiffer-alone",
        _TWICE,
        'style == "pfeiffer"',
        "Pfeiffer's style is counted with two adapters in each block and Houlsby's with one: it "
        "is the other way round",
        "Multiply by 2 where style is houlsby",
    ),
    slip(
        count,
        "twice-but-for-houlsby",
        _TWICE,
        'style != "houlsby"',
        "two adapters in each block are counted for Pfeiffer's and the parallel style and one for "
        "Houlsby's: it is the other way round",
        "Multiply by 2 where style is houlsby",
    ),
    slip(
        count,
        "biases-swapped-for-one",
        _BIASES,
        " + 2 * size",
        "both biases are counted with m numbers; the up-projection puts out d",
        "A bias is as long as the output of its layer",
    ),
    slip(
        count,
        "both-biases-wide",
        _BIASES,
        " + 2 * hidden_size",
        "both biases are counted with d numbers; the down-projection puts out m",
        "A bias is as long as the output of its layer",
    ),
    slip(
        count,
        "bias-down-alone",
        _BIASES,
        " + size",
        "the bias of the up-projection, d numbers, is missing",
        "Both projections have a bias: add m and d",
    ),
    slip(
        count,
        "bias-up-alone",
        _BIASES,
        " + hidden_size",
        "the bias of the down-projection, m numbers, is missing",
        "Both projections have a bias: add m and d",
    ),
    slip(
        count,
        "norm-too",
        _WEIGHTS,
        "2 * hidden_size + 2 * hidden_size * size",
        "2·d numbers too many for each adapter: a LayerNorm, or both biases of the block, which "
        "are no part of an adapter",
        "Count two projections and their two biases",
    ),
    slip(
        count,
        "one-block-short",
        "layers * each",
        "(layers - 1) * each",
        "off by one: one block is left out",
        "range(layers) has as many steps as there are blocks; range(1, layers) has one less",
    ),
    slip(
        count,
        "one-block-more",
        "layers * each",
        "(layers + 1) * each",
        "off by one: one block too many",
        "Multiply by layers",
    ),
    slip(
        count,
        "width-of-bert",
        "each = 2 * hidden_size * size + size + hidden_size",
        "each = 2 * 768 * size + size + 768",
        "the width is always 768, BERT's, whatever hidden_size is",
        "Use the argument hidden_size",
    ),
    slip(
        count,
        "blocks-of-bert",
        "layers * each",
        "12 * each",
        "the number of blocks is always 12, BERT's, whatever `layers` is",
        "Use the argument layers",
    ),
)
