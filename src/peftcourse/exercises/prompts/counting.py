"""Lesson 08, how much trains: reference solution and typical wrong answers."""

from __future__ import annotations

from peftcourse.exercises.core import Mutant, slip


def count(
    tokens: int, layers: int, hidden_size: int, heads: int, kv_heads: int, head_size: int
) -> tuple[int, int]:
    soft_prompt = tokens * hidden_size
    prefix = tokens * layers * 2 * kv_heads * head_size
    return soft_prompt, prefix


PROMPT = "soft_prompt = tokens * hidden_size"
PREFIX = "layers * 2 * kv_heads * head_size"
RETURNED = "return soft_prompt, prefix"
SOFT_TOKEN = "A soft prompt has tokens * hidden_size parameters"
VIRTUAL_TOKEN = "A prefix has tokens * layers * 2 * kv_heads * head_size parameters"


COUNT: tuple[Mutant, ...] = (
    slip(
        count,
        "query-heads",
        "kv_heads * head_size",
        "heads * head_size",
        "the prefix has a key for each query head; in grouped-query attention there are fewer keys",
        "Use kv_heads: several query heads share one head of keys and values",
    ),
    slip(
        count,
        "keys-only",
        " * 2",
        "",
        "half of the prefix is missing: there are keys and values, two of each",
        "Multiply by 2",
    ),
    slip(
        count,
        "one-layer",
        "tokens * layers",
        "tokens",
        "a prefix for one layer; each layer has its own",
        "Multiply by the number of layers",
    ),
    slip(
        count,
        "prompt-in-each-layer",
        PROMPT,
        "soft_prompt = tokens * hidden_size * layers",
        "the soft prompt is counted once per layer; it goes in once, below the first layer",
        SOFT_TOKEN,
    ),
    slip(
        count,
        "hidden-size",
        "kv_heads * head_size",
        "hidden_size",
        "the prefix is as wide as the hidden states; keys and values are kv_heads · head_size wide",
        "Replace hidden_size by kv_heads * head_size in the prefix",
    ),
    slip(
        count,
        "head-size-worked-out",
        "kv_heads * head_size",
        "kv_heads * (hidden_size // heads)",
        "the width of a head is worked out as hidden_size / heads; it is given, as head_size, and "
        "may be another",
        VIRTUAL_TOKEN,
    ),
    slip(
        count,
        "head-size-worked-out-late",
        "kv_heads * head_size",
        "hidden_size * kv_heads // heads",
        "the width of a head is worked out, in hidden_size · kv_heads / heads; it is given, as "
        "head_size, and may be another",
        VIRTUAL_TOKEN,
    ),
    slip(
        count,
        "prompt-of-query-heads",
        PROMPT,
        "soft_prompt = tokens * heads * head_size",
        "the soft prompt is counted as heads · head_size wide; a soft token is one vector of the "
        "embedding's width, hidden_size",
        SOFT_TOKEN,
    ),
    slip(
        count,
        "prompt-of-key-heads",
        PROMPT,
        "soft_prompt = tokens * kv_heads * head_size",
        "the soft prompt is counted as kv_heads · head_size wide; a soft token is one vector of "
        "the embedding's width, hidden_size",
        SOFT_TOKEN,
    ),
    slip(
        count,
        "prompt-twice",
        PROMPT,
        "soft_prompt = 2 * tokens * hidden_size",
        "the soft prompt is counted twice, as keys and values: a soft token is one vector",
        SOFT_TOKEN,
    ),
    slip(
        count,
        "queries-too",
        "2 * kv_heads * head_size",
        "(heads + 2 * kv_heads) * head_size",
        "queries are counted, too: a prefix has only keys and values, of kv_heads heads each",
        VIRTUAL_TOKEN,
    ),
    slip(
        count,
        "heads-of-both",
        "2 * kv_heads * head_size",
        "(heads + kv_heads) * head_size",
        "keys are counted with the query heads: keys and values have kv_heads heads each",
        VIRTUAL_TOKEN,
    ),
    slip(
        count,
        "groups",
        "kv_heads * head_size",
        "(heads // kv_heads) * head_size",
        "heads / kv_heads is the number of query heads in a group; a prefix has kv_heads heads",
        VIRTUAL_TOKEN,
    ),
    slip(
        count,
        "llama-7b",
        PREFIX,
        "64 * hidden_size",
        "a prefix is counted as 64 soft prompts: that factor is LLaMA-7B's (32 layers · 2), not "
        "every model's",
        VIRTUAL_TOKEN,
    ),
    slip(
        count,
        "prefix-on-top",
        RETURNED,
        "return soft_prompt, soft_prompt + prefix",
        "the soft prompt is added to the prefix: prefix tuning trains no soft prompt",
        VIRTUAL_TOKEN,
    ),
    slip(
        count,
        "bytes",
        RETURNED,
        "return 2 * soft_prompt, 2 * prefix",
        "both are twice too large: parameters are counted, not their bytes (2 for each)",
        "Leave out the bytes of a parameter",
    ),
    slip(
        count,
        "no-tokens",
        "tokens * " + PREFIX,
        PREFIX,
        "the prefix is counted for one virtual token: the number of tokens is missing",
        VIRTUAL_TOKEN,
    ),
    slip(
        count,
        "prompt-without-tokens",
        PROMPT,
        "soft_prompt = hidden_size",
        "the soft prompt is counted for one soft token: the number of tokens is missing",
        SOFT_TOKEN,
    ),
)
