"""Lesson 08, attention with a prefix: reference solution and typical wrong answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from peftcourse.exercises.core import Mutant, slip


def attend(q: Tensor, k: Tensor, v: Tensor, prefix_k: Tensor, prefix_v: Tensor) -> Tensor:
    batch, heads, length, size = q.shape
    tokens, shared = prefix_k.shape[1], heads // k.shape[1]
    front_k, front_v = prefix_k.expand(batch, -1, -1, -1), prefix_v.expand(batch, -1, -1, -1)
    keys = torch.cat([front_k, k], dim=2)  # (B, H, T + n, D)
    values = torch.cat([front_v, v], dim=2)
    keys = keys.repeat_interleave(shared, dim=1)  # (B, heads, T + n, D)
    values = values.repeat_interleave(shared, dim=1)
    scores = q @ keys.transpose(-1, -2) / math.sqrt(size)  # (B, heads, n, T + n)
    hidden = torch.ones(length, tokens + length, dtype=torch.bool).triu(tokens + 1)
    weights = scores.masked_fill(hidden, -math.inf).softmax(dim=-1)
    return weights @ values


KEYS_REPEATED = "keys.repeat_interleave(shared, dim=1)"
VALUES_REPEATED = "values.repeat_interleave(shared, dim=1)"
SCALE = " / math.sqrt(size)"
MASKED = "scores.masked_fill(hidden, -math.inf).softmax(dim=-1)"
MASK = "torch.ones(length, tokens + length, dtype=torch.bool).triu(tokens + 1)"
ROOT = "Divide q @ keysᵀ once by the square root of the head size, q.shape[-1]"
NEIGHBOURS = "Use repeat_interleave along the heads: neighbouring query heads share keys and values"
OWN_PAST = "Hide key T + j from query i if j is greater than i: triu(T + 1)"
MINUS_INFINITY = "Fill hidden scores with -inf before the softmax: then they get no weight"
JOINED = "Join the keys first, [prefix_k; k], and take one softmax over all of them"
FRONT = "Put prefix_k in front of the keys and prefix_v in front of the values: torch.cat, dim=2"
TRAINS = "Leave out detach(), .data and torch.no_grad(): the prefix is what trains"


def _two_softmaxes(text: str) -> str:
    """The words for a softmax over the prefix and one over the text, which ``text`` combines."""
    return (
        "masked = scores.masked_fill(hidden, -math.inf)\n"
        "    to_prefix = masked[..., :tokens].softmax(dim=-1)\n"
        "    to_text = masked[..., tokens:].softmax(dim=-1)\n"
        f"    weights = torch.cat([to_prefix, to_text], dim=-1){text}"
    )


ATTEND: tuple[Mutant, ...] = (
    slip(
        attend,
        "heads-tiled",
        KEYS_REPEATED,
        "keys.repeat(1, shared, 1, 1)",
        "query heads read the wrong keys: heads are repeated as a b a b (tiled) and not as a a b b",
        NEIGHBOURS,
        (VALUES_REPEATED, "values.repeat(1, shared, 1, 1)"),
    ),
    slip(
        attend,
        "not-scaled",
        SCALE,
        "",
        "the scores are not divided by √D: the scale is missing",
        ROOT,
    ),
    slip(
        attend,
        "causal-over-prefix",
        "triu(tokens + 1)",
        "triu(1)",
        "the causal mask covers the prefix: the first tokens do not see the whole prefix, since "
        "the mask (or is_causal) is not shifted by T columns",
        "Let every token see all T virtual tokens, and of the text its own past: triu(T + 1)",
    ),
    slip(
        attend,
        "not-causal",
        "scores.masked_fill(hidden, -math.inf)",
        "scores",
        "tokens see what comes after them: there is no causal mask over the text",
        OWN_PAST,
    ),
    slip(
        attend,
        "prefix-behind",
        "[front_k, k]",
        "[k, front_k]",
        "the prefix is behind the text, not in front of it: there the causal mask hides parts of "
        "it, and shows tokens that come later",
        FRONT,
        ("[front_v, v]", "[v, front_v]"),
    ),
    slip(
        attend,
        "detached",
        "prefix_k.expand(batch, -1, -1, -1), prefix_v.expand(batch, -1, -1, -1)",
        "prefix_k.detach().expand(batch, -1, -1, -1), prefix_v.detach().expand(batch, -1, -1, -1)",
        "the output is right, but no gradient reaches the prefix: it is detached and does not "
        "train",
        TRAINS,
    ),
    slip(
        attend,
        "masked-with-zero",
        "hidden, -math.inf",
        "hidden, 0.0",
        "hidden scores are 0 (or close to it), which still gets weight in the softmax: a mask "
        "needs −inf",
        MINUS_INFINITY,
    ),
    slip(
        attend,
        "own-token-hidden",
        "triu(tokens + 1)",
        "triu(tokens)",
        "a query does not see its own token: the causal mask is off by one, one token too strict",
        OWN_PAST,
    ),
    slip(
        attend,
        "next-token-seen",
        "triu(tokens + 1)",
        "triu(tokens + 2)",
        "a query sees the next token, one of the future: the causal mask is off by one",
        OWN_PAST,
    ),
    slip(
        attend,
        "divided-by-d",
        "math.sqrt(size)",
        "size",
        "the scores are divided by D, not by its root √D: the root is missing, or the scale is "
        "there twice (scaled_dot_product_attention scales by itself)",
        ROOT,
    ),
    slip(
        attend,
        "softmax-over-queries",
        "softmax(dim=-1)",
        "softmax(dim=-2)",
        "the softmax goes over the queries, the wrong axis: it belongs over the keys, the last one",
        "softmax(dim=-1): the weights of one query add up to 1",
    ),
    slip(
        attend,
        "masked-after-softmax",
        MASKED,
        "scores.softmax(dim=-1).masked_fill(hidden, 0.0)",
        "the mask comes after the softmax and not before it, so the weights that are left do not "
        "add up to 1",
        MINUS_INFINITY,
    ),
    slip(
        attend,
        "two-softmaxes",
        "weights = " + MASKED,
        _two_softmaxes(""),
        "prefix and text have a softmax each, and both are added: the weights of a token add up "
        "to 2, where one softmax goes over both together",
        JOINED,
    ),
    slip(
        attend,
        "mean-of-softmaxes",
        "weights = " + MASKED,
        _two_softmaxes(" / 2"),
        "prefix and text have a softmax each, and their mean is taken: the prefix always gets "
        "half, where one softmax over both together decides its share",
        JOINED,
    ),
    slip(
        attend,
        "keys-tiled",
        KEYS_REPEATED,
        "keys.repeat(1, shared, 1, 1)",
        "query heads read the wrong keys: the heads of the keys are tiled, a b a b, those of the "
        "values are not",
        NEIGHBOURS,
    ),
    slip(
        attend,
        "values-tiled",
        VALUES_REPEATED,
        "values.repeat(1, shared, 1, 1)",
        "query heads read the wrong values: the heads of the values are tiled, a b a b, those of "
        "the keys are not",
        NEIGHBOURS,
    ),
    slip(
        attend,
        "root-of-the-width",
        "math.sqrt(size)",
        "math.sqrt(heads * size)",
        "the scores are divided by the root of all heads together, √(heads · D), where D is the "
        "size of one head",
        ROOT,
    ),
    slip(
        attend,
        "root-of-the-length",
        "math.sqrt(size)",
        "math.sqrt(tokens + length)",
        "the scores are divided by the root of the number of keys, not by √D: the scale is the "
        "size of a head",
        ROOT,
    ),
    slip(
        attend,
        "root-of-the-heads",
        "math.sqrt(size)",
        "math.sqrt(heads)",
        "the scores are divided by the root of the number of heads, not by √D: the scale is the "
        "size of a head",
        ROOT,
    ),
    slip(
        attend,
        "multiplied-by-root",
        SCALE,
        " * math.sqrt(size)",
        "the scores are multiplied by √D, where they should be divided by it: the scale is upside "
        "down",
        ROOT,
    ),
    slip(
        attend,
        "mask-upside-down",
        MASK,
        "torch.cat([torch.zeros(length, tokens), torch.ones(length, length).tril(-1)], 1).bool()",
        "the mask is the wrong way round: it hides the past and shows the future of the text",
        OWN_PAST,
    ),
    slip(
        attend,
        "mask-upside-down-own-hidden",
        MASK,
        "torch.cat([torch.zeros(length, tokens), torch.ones(length, length).tril()], 1).bool()",
        "the mask is the wrong way round: it hides the past and a query's own token, and shows the "
        "future",
        OWN_PAST,
    ),
    slip(
        attend,
        "mask-inverted",
        MASK,
        "torch.ones(length, tokens + length, dtype=torch.bool).tril(tokens)",
        "the mask is inverted (True the wrong way round): prefix and past are hidden, the future "
        "is seen, and the last token sees nothing",
        "True hides in masked_fill, and shows in the attn_mask of scaled_dot_product_attention",
    ),
    slip(
        attend,
        "mask-inverted-no-nan",
        MASK,
        "torch.ones(length, tokens + length, dtype=torch.bool).tril(tokens)",
        "the mask is inverted (True the wrong way round): prefix and past are hidden, and only the "
        "future is seen",
        "True hides in masked_fill, and shows in the attn_mask of scaled_dot_product_attention",
        (MASKED, MASKED + ".nan_to_num(0.0)"),
    ),
    slip(
        attend,
        "prefix-hidden",
        MASK,
        "torch.cat([torch.ones(length, tokens), torch.ones(length, length).triu(1)], 1).bool()",
        "the whole prefix is hidden from every query: it changes nothing",
        "Hide no column of the prefix: of the mask's columns the first T are all False",
    ),
    slip(
        attend,
        "keys-behind",
        "[front_k, k]",
        "[k, front_k]",
        "the prefix's keys are behind the text's, its values in front: keys and values no longer "
        "belong together",
        FRONT,
    ),
    slip(
        attend,
        "values-behind",
        "[front_v, v]",
        "[v, front_v]",
        "the prefix's values are behind the text's, its keys in front: keys and values no longer "
        "belong together",
        FRONT,
    ),
    slip(
        attend,
        "prefix-swapped",
        "[front_k, k]",
        "[front_v, k]",
        "keys and values of the prefix are swapped: prefix_v is with the keys, prefix_k with the "
        "values",
        FRONT,
        ("[front_v, v]", "[front_k, v]"),
    ),
    slip(
        attend,
        "text-swapped",
        "[front_k, k]",
        "[front_k, v]",
        "keys and values of the text are swapped: v is with the keys, k with the values",
        FRONT,
        ("[front_v, v]", "[front_v, k]"),
    ),
    slip(
        attend,
        "prefix-keys-as-values",
        "[front_v, v]",
        "[front_k, v]",
        "prefix_k is in front of the values, too: there prefix_v belongs",
        FRONT,
    ),
    slip(
        attend,
        "prefix-values-as-keys",
        "[front_k, k]",
        "[front_v, k]",
        "prefix_v is in front of the keys, too: there prefix_k belongs",
        FRONT,
    ),
    slip(
        attend,
        "values-zero",
        "[front_v, v]",
        "[0 * front_v, v]",
        "the prefix takes attention and gives nothing back: its values are zero or missing",
        "Put prefix_v in front of the values, as prefix_k in front of the keys",
    ),
    slip(
        attend,
        "keys-for-values",
        "return weights @ values",
        "return weights @ keys",
        "the weights are applied to the keys: the values are never used",
        "Return weights @ values",
    ),
    slip(
        attend,
        "no-softmax",
        MASKED,
        "scores.masked_fill(hidden, 0.0)",
        "the softmax is missing: scores are used as weights, and do not add up to 1",
        "Take softmax(dim=-1) of the masked scores",
    ),
    slip(
        attend,
        "softmax-over-heads",
        "softmax(dim=-1)",
        "softmax(dim=1)",
        "the softmax goes over the heads, the wrong axis: it belongs over the keys, the last one",
        "softmax(dim=-1): the weights of one query add up to 1",
    ),
    slip(
        attend,
        "first-head-for-all",
        KEYS_REPEATED,
        "keys[:, :1].expand(-1, heads, -1, -1)",
        "all query heads read the first head of keys and values: each group has a head of its own",
        NEIGHBOURS,
        (VALUES_REPEATED, "values[:, :1].expand(-1, heads, -1, -1)"),
    ),
)
