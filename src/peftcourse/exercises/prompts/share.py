"""Lesson 08, how much attention a prefix takes: reference solution and typical wrong answers."""

from __future__ import annotations

from torch import Tensor

from peftcourse.exercises.core import Mutant, slip


def mass(weights: Tensor, given: Tensor, tokens: int) -> float:
    share = weights[..., :tokens].sum(dim=-1)  # (B, heads, n)
    seen = given.bool()
    return share.mean(dim=1)[seen].mean().item()


COLUMNS = "weights[..., :tokens]"
HEADS = "share.mean(dim=1)"
MEAN = "share.mean(dim=1)[seen].mean().item()"
FIRST = "Take the first columns and no others: weights[..., :tokens]"
ALL_HEADS = "Take the mean over the heads: .mean(dim=1)"
TEXT = "Keep only the positions where the mask is 1: share[mask.bool()]"
ONE_MEAN = "Take one mean over all tokens of the batch that are not padding"


MASS: tuple[Mutant, ...] = (
    slip(
        mass,
        "mean-over-virtual-tokens",
        ".sum(dim=-1)",
        ".mean(dim=-1)",
        "the mean over the {tokens} virtual tokens instead of their sum",
        "Add the weights of the virtual tokens: a share is of the whole",
    ),
    slip(
        mass,
        "padding-included",
        "given.bool()",
        "given.bool() | True",
        "queries of the padding are averaged, too: the mask is not used",
        TEXT,
    ),
    slip(
        mass,
        "the-text-instead",
        COLUMNS,
        "weights[..., tokens:]",
        "this is the share of the text, and the opposite of what is asked for: the virtual tokens "
        "have the rest, the first columns",
        FIRST,
    ),
    slip(
        mass,
        "last-columns",
        COLUMNS,
        "weights[..., -tokens:]",
        "the last columns are added; virtual tokens are the first",
        FIRST,
    ),
    slip(
        mass,
        "one-head",
        HEADS,
        "share[:, 0]",
        "only the first head is looked at: all heads count, by their mean",
        ALL_HEADS,
    ),
    slip(
        mass,
        "heads-added",
        HEADS,
        "share.sum(dim=1)",
        "the heads are added up: their mean is asked for, not their sum",
        ALL_HEADS,
    ),
    slip(
        mass,
        "padding-as-zero",
        MEAN,
        "(share.mean(dim=1) * seen).mean().item()",
        "padding is set to zero, but still counts in the denominator: the sum is divided by the "
        "number of all positions, not by that of the text",
        TEXT,
    ),
    slip(
        mass,
        "mask-inverted",
        "given.bool()",
        "given == 0",
        "the mask is used the wrong way round: these are the shares of the padding; 1 stands for "
        "text",
        TEXT,
    ),
    slip(
        mass,
        "one-column-more",
        COLUMNS,
        "weights[..., : tokens + 1]",
        "one column too many: the first token of the text is counted, too (off by one)",
        FIRST,
    ),
    slip(
        mass,
        "first-column-missing",
        COLUMNS,
        "weights[..., 1:tokens]",
        "one column too few: the first virtual token is left out (off by one)",
        FIRST,
    ),
    slip(
        mass,
        "last-column-missing",
        COLUMNS,
        "weights[..., : tokens - 1]",
        "one column too few: the last virtual token is left out (off by one)",
        FIRST,
    ),
    slip(
        mass,
        "one-column-on",
        COLUMNS,
        "weights[..., 1 : tokens + 1]",
        "the columns are one too far to the right (off by one): the first virtual token is missing "
        "and a token of the text is counted",
        FIRST,
    ),
    slip(
        mass,
        "mean-of-texts",
        MEAN,
        "((share.mean(dim=1) * seen).sum(1) / seen.sum(1)).mean().item()",
        "a mean of each text's mean: tokens of short texts count more",
        ONE_MEAN,
    ),
    slip(
        mass,
        "mask-as-index",
        "given.bool()",
        "given.long()",
        "the mask of 0 and 1 is used as an index, which picks the texts 0 and 1 again and again: "
        "it has to be bool to choose positions",
        TEXT,
    ),
    slip(
        mass,
        "queries-for-keys",
        ".sum(dim=-1)",
        ".sum(dim=-2)",
        "the sum goes over the queries, the wrong axis: keys are the last axis",
        "Sum over the last axis, which has the keys",
        ("[seen]", ""),
    ),
    slip(
        mass,
        "first-queries",
        COLUMNS,
        "weights[:, :, :tokens]",
        "the first queries are taken and all of their keys, whose weights add up to 1: keys are "
        "the last axis",
        FIRST,
        ("[seen]", ""),
    ),
    slip(
        mass,
        "softmax-again",
        COLUMNS,
        "weights.softmax(dim=-1)[..., :tokens]",
        "a softmax is taken once more: the weights add up to 1 already",
        "Use the weights as they are",
    ),
    slip(
        mass,
        "ratio-to-the-text",
        ".sum(dim=-1)",
        ".sum(dim=-1) / weights[..., tokens:].sum(dim=-1)",
        "the ratio to the text's part, where the share of all attention is asked for: the weights "
        "of a query add up to 1 already",
        "Leave out the division",
    ),
    slip(
        mass,
        "ratio-of-sums",
        ".mean().item()",
        ".sum().item() / weights[..., tokens:].sum(dim=-1).mean(dim=1)[seen].sum().item()",
        "the ratio of two sums, prefix to text, where the share of all attention is asked for",
        "Divide by all attention, which is 1 for each query",
    ),
    slip(
        mass,
        "last-query",
        "given.bool()",
        "given.bool() & (given.flip(1).cumsum(1).flip(1) == 1)",
        "only the last query of each text counts: the mean goes over all tokens, every query",
        ONE_MEAN,
    ),
    slip(
        mass,
        "first-query",
        "given.bool()",
        "given.bool() & (given.cumsum(1) == 1)",
        "only the first query of each text counts: the mean goes over all tokens, every query",
        ONE_MEAN,
    ),
    slip(
        mass,
        "last-position",
        "[seen]",
        "[:, -1]",
        "only the last position counts, padding or not: the mean goes over all tokens, every query",
        ONE_MEAN,
    ),
    slip(
        mass,
        "first-text",
        "[seen]",
        "[0][seen[0]]",
        "only the first text of the batch counts: the mean goes over all tokens of all texts",
        ONE_MEAN,
    ),
    slip(
        mass,
        "median",
        "[seen].mean()",
        "[seen].median()",
        "the median over the tokens, where their mean is asked for",
        "Use mean() over the tokens",
    ),
    slip(
        mass,
        "largest-token",
        "[seen].mean()",
        "[seen].max()",
        "the largest share of a token (max), where the mean over the tokens is asked for",
        "Use mean() over the tokens",
    ),
    slip(
        mass,
        "added-up",
        "[seen].mean()",
        "[seen].sum()",
        "the shares of all tokens are added up and not divided by their number: the mean is asked "
        "for",
        "Use mean() over the tokens",
    ),
    slip(
        mass,
        "largest-head",
        HEADS,
        "share.amax(dim=1)",
        "the largest head of each query (max), where the mean over the heads is asked for",
        ALL_HEADS,
    ),
    slip(
        mass,
        "smallest-head",
        HEADS,
        "share.amin(dim=1)",
        "the smallest head of each query (min), where the mean over the heads is asked for",
        ALL_HEADS,
    ),
    slip(
        mass,
        "median-head",
        HEADS,
        "share.median(dim=1).values",
        "the median of the heads, where their mean is asked for",
        ALL_HEADS,
    ),
    slip(
        mass,
        "last-head",
        HEADS,
        "share[:, -1]",
        "only the last head is looked at: all heads count, by their mean",
        ALL_HEADS,
    ),
    slip(
        mass,
        "largest-virtual-token",
        ".sum(dim=-1)",
        ".amax(dim=-1)",
        "the largest weight among the virtual tokens (max), where their sum is asked for",
        "Add the weights of the virtual tokens",
    ),
    slip(
        mass,
        "first-virtual-token",
        COLUMNS,
        "weights[..., :1]",
        "only the first virtual token is looked at: the sum of all {tokens} is asked for",
        FIRST,
    ),
    slip(
        mass,
        "ten-tokens",
        COLUMNS,
        "weights[..., :10]",
        "the first 10 columns are added, whatever `tokens` is: the number is hard-coded",
        FIRST,
    ),
)

# How the numbers of a case are called.
MASS_SYMBOLS = {
    "tokens": "the number of virtual tokens",
    "weights.shape[0]": "the number of texts",
    "weights.shape[1]": "the number of heads",
    "weights.shape[2]": "the number of queries",
    "weights.shape[3]": "the number of keys",
}
