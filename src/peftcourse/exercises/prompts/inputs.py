"""Lesson 08, in front of the input: reference solutions and typical wrong answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.exercises.core import Mutant

# --- prompts.count --------------------------------------------------------------------------------


def count(
    tokens: int, layers: int, hidden_size: int, heads: int, kv_heads: int, head_size: int
) -> tuple[int, int]:
    return tokens * hidden_size, tokens * layers * 2 * kv_heads * head_size


COUNT = (
    Mutant(
        "query-heads",
        lambda T, L, d, heads, kv_heads, D: (T * d, T * L * 2 * heads * D),
        "the prefix has a key for each query head; in grouped-query attention there are fewer keys",
        "Use kv_heads: several query heads share one head of keys and values",
    ),
    Mutant(
        "hidden-size",
        lambda T, L, d, heads, kv_heads, D: (T * d, T * L * 2 * d),
        "the prefix is as wide as the hidden states; keys and values are kv_heads · head_size wide",
        "Replace hidden_size by kv_heads * head_size in the prefix",
    ),
    Mutant(
        "keys-only",
        lambda T, L, d, heads, kv_heads, D: (T * d, T * L * kv_heads * D),
        "half of the prefix is missing: there are keys and values",
        "Multiply by 2",
    ),
    Mutant(
        "one-layer",
        lambda T, L, d, heads, kv_heads, D: (T * d, T * 2 * kv_heads * D),
        "a prefix for one layer; each layer has its own",
        "Multiply by the number of layers",
    ),
    Mutant(
        "prompt-in-each-layer",
        lambda T, L, d, heads, kv_heads, D: (T * d * L, T * L * 2 * kv_heads * D),
        "the soft prompt is counted once per layer; it goes in once, below the first",
        "A soft prompt has tokens * hidden_size parameters",
    ),
)

# --- prompts.init ---------------------------------------------------------------------------------


def init(table: Tensor, ids: list[int], tokens: int) -> nn.Parameter:
    repeated = (ids * tokens)[:tokens]
    return nn.Parameter(table[repeated].detach().clone())


def _init_zeros(table, ids, tokens):
    start = table.detach()[ids[:tokens]]
    return nn.Parameter(F.pad(start, (0, 0, 0, tokens - len(start))))


def _init_stretched(table, ids, tokens):
    places = [i * len(ids) // tokens for i in range(tokens)]
    return init(table, [ids[place] for place in places], tokens)


def _init_mean(table, ids, tokens):
    mean = table.detach()[ids].mean(0)
    return nn.Parameter(mean.repeat(tokens, 1))


INIT = (
    Mutant(
        "zeros-after-the-text",
        _init_zeros,
        "where the text is too short the prompt is zero",
        "Repeat the text from its beginning until there are enough tokens",
    ),
    Mutant(
        "last-token-repeated",
        lambda table, ids, tokens: init(table, (ids + ids[-1:] * tokens)[:tokens], tokens),
        "where the text is too short its last token is repeated",
        "Repeat the whole text, from its beginning",
    ),
    Mutant(
        "stretched",
        _init_stretched,
        "the text is stretched: each token is repeated beside itself",
        "Repeat the text as a whole: a b c a b c, not a a b b c c",
    ),
    Mutant(
        "end-kept",
        lambda table, ids, tokens: nn.Parameter(table.detach()[(ids * tokens)[-tokens:]].clone()),
        "the end of the text is kept where its beginning should be",
        "Cut off behind the first tokens: [:tokens]",
    ),
    Mutant(
        "mean-of-the-text",
        _init_mean,
        "all soft tokens start at the mean of the text's embeddings, so they get equal gradients",
        "Give each soft token the embedding of a token of its own",
    ),
    Mutant(
        "not-a-parameter",
        lambda table, ids, tokens: init(table, ids, tokens).detach(),
        "the values are right, but nothing would train: this is no nn.Parameter",
        "Return nn.Parameter(...)",
    ),
)

# --- prompts.concat -------------------------------------------------------------------------------


def concat(prompt: Tensor, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    batch, tokens = len(embeddings), len(prompt)
    widened = torch.cat([prompt.expand(batch, -1, -1), embeddings], dim=1)
    ignored = labels.new_full((batch, tokens), -100)
    return widened, torch.cat([ignored, labels], dim=1)


def _concat_behind(prompt, embeddings, labels):
    front = prompt.expand(len(embeddings), -1, -1)
    return torch.cat([embeddings, front], dim=1), concat(prompt, embeddings, labels)[1]


def _concat_labels_behind(prompt, embeddings, labels):
    return concat(prompt, embeddings, labels)[0], F.pad(labels, (0, len(prompt)), value=-100)


def _concat_zero_labels(prompt, embeddings, labels):
    return concat(prompt, embeddings, labels)[0], F.pad(labels, (len(prompt), 0))


def _concat_first_row(prompt, embeddings, labels):
    front = F.pad(prompt[None], (0, 0, 0, 0, 0, len(embeddings) - 1))
    return torch.cat([front, embeddings], dim=1), concat(prompt, embeddings, labels)[1]


CONCAT = (
    Mutant(
        "prompt-behind",
        _concat_behind,
        "the prompt comes after the text, where no token of the text can see it",
        "Put the prompt first: torch.cat([prompt, embeddings], dim=1)",
    ),
    Mutant(
        "labels-filled-behind",
        _concat_labels_behind,
        "the labels are filled up at their end, so each stands T positions before its token",
        "Put the -100 in front, where the prompt is",
    ),
    Mutant(
        "labels-zero",
        _concat_zero_labels,
        "the prompt's labels are 0, so the model learns to predict token 0 there",
        "Use -100, which the loss skips",
    ),
    Mutant(
        "first-row-only",
        _concat_first_row,
        "only the first text of the batch has the prompt; the others have zeros",
        "Use prompt.expand(batch, -1, -1)",
    ),
    Mutant(
        "detached",
        lambda prompt, embeddings, labels: concat(prompt.detach(), embeddings, labels),
        "the values are right, but no gradient reaches the prompt",
        "Leave out detach(), .data and torch.no_grad(): the prompt is what trains",
    ),
)

# --- prompts.mask ---------------------------------------------------------------------------------


def mask(given: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    widened = torch.cat([given.new_ones(len(given), tokens), given], dim=1)
    positions = (given.long().cumsum(dim=1) - 1).clamp(min=0) + tokens
    return widened, positions


def _mask_with(given, tokens, front):
    return torch.cat([front, given], dim=1), mask(given, tokens)[1]


def _mask_behind(given, tokens):
    widened, positions = mask(given, tokens)
    return widened.roll(-tokens, dims=1), positions


def _mask_padding_counted(given, tokens):
    positions = torch.arange(given.shape[1]) + tokens
    return mask(given, tokens)[0], positions.expand(given.shape).clone()


MASK = (
    Mutant(
        "virtual-tokens-hidden",
        lambda given, tokens: _mask_with(given, tokens, given.new_zeros(len(given), tokens)),
        "the virtual tokens are masked out, so the adapter changes nothing",
        "Put ones in front: every row may see the virtual tokens",
    ),
    Mutant(
        "first-column-repeated",
        lambda given, tokens: _mask_with(given, tokens, given[:, :1].repeat(1, tokens)),
        "padded rows do not see the virtual tokens: these took over the mask of the first column",
        "Put ones in front, whether or not a row is padded",
    ),
    Mutant(
        "ones-behind",
        _mask_behind,
        "the ones stand behind the text, so each row's mask is T columns off",
        "Put the ones first, then the mask that was given",
    ),
    Mutant(
        "positions-not-shifted",
        lambda given, tokens: (mask(given, tokens)[0], mask(given, 0)[1]),
        "the text starts at position 0, which the virtual tokens have taken",
        "Add the number of virtual tokens to the positions",
    ),
    Mutant(
        "padding-counted",
        _mask_padding_counted,
        "padding on the left is counted, so the same text has other positions in another batch",
        "Count visible tokens only: mask.cumsum(dim=1) - 1, and at least 0",
    ),
)
