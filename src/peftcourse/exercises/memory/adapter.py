"""Lesson 01, counting: the parameters of an adapter, rightly and wrongly."""

from __future__ import annotations

from typing import Any

from peftcourse.exercises.core import slip

Config = dict[str, Any]


def adapter(config: Config, rank: int, targets: list[str]) -> int:
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {  # d_out, d_in
        "q_proj": (d, d),
        "k_proj": (kv, d),
        "v_proj": (kv, d),
        "o_proj": (d, d),
        "gate_proj": (f, d),
        "up_proj": (f, d),
        "down_proj": (d, f),
    }
    chosen = [shapes[name] for name in targets]
    layer = sum(rank * d_in + d_out * rank for d_out, d_in in chosen)
    return config["num_hidden_layers"] * layer


_KV = 'd // config["num_attention_heads"] * config["num_key_value_heads"]'
_PAIR = "rank * d_in + d_out * rank"
_NAMED = "shapes[name] for name in targets"
_BOTH = "Count A, which is (r, d_in), and B, which is (d_out, r), and add them"
_KV_WIDTH = "Use hidden_size // num_attention_heads × num_key_value_heads as d_out of k and v"
_PRECEDENCE = "Put brackets round the sum, or multiply each of its terms by the rank"

ADAPTER = (
    slip(
        adapter,
        "grouped-heads-forgotten",
        _KV,
        "d",
        "k and v are taken as square: with fewer key/value heads their output is narrower",
        "Use head_dim × num_key_value_heads as d_out of k and v",
    ),
    slip(
        adapter,
        "only-a",
        _PAIR,
        "rank * d_in",
        "A alone, which is (r, d_in): B trains too",
        "Add the r × d_out numbers of B",
    ),
    slip(
        adapter,
        "only-b",
        _PAIR,
        "d_out * rank",
        "B alone, which is (d_out, r): A trains too",
        "Add the r × d_in numbers of A",
    ),
    slip(
        adapter,
        "product",
        _PAIR,
        "d_out * d_in",
        "the frozen matrices themselves: this is what full fine-tuning of the targets would train; "
        "LoRA trains a pair A and B instead",
        "Count A, which is (r, d_in), and B, which is (d_out, r)",
    ),
    slip(
        adapter,
        "rank-squared",
        _PAIR,
        "rank * rank * (d_in + d_out)",
        "{rank} times too many, and r = {rank}: the rank is in there twice",
        "A has r · d_in numbers and B has d_out · r: multiply by r once",
    ),
    slip(
        adapter,
        "layers-forgotten",
        'config["num_hidden_layers"] * layer',
        "layer",
        "one layer's worth: the targets are in every layer",
        "Multiply by num_hidden_layers",
    ),
    slip(
        adapter,
        "all-square",
        _NAMED,
        "(d, d) for name in targets",
        "every matrix is taken as hidden_size × hidden_size; k, v and the feed-forward network "
        "have other shapes",
        "Look up d_out and d_in of each target",
    ),
    slip(
        adapter,
        "square-feed-forward",
        'config["intermediate_size"]',
        'config["hidden_size"]',
        "gate, up and down are taken as square: one side of them is intermediate_size",
        "Use intermediate_size as d_out of gate and up, and as d_in of down",
    ),
    slip(
        adapter,
        "four-times-as-wide",
        'config["intermediate_size"]',
        '4 * config["hidden_size"]',
        "gate, up and down are taken as 4 · hidden_size wide; the configuration has its own width",
        "Use intermediate_size",
    ),
    slip(
        adapter,
        "one-head-number",
        _KV,
        'config["num_key_value_heads"]',
        "k and v are taken as num_key_value_heads wide: it has to be multiplied by the width of a "
        "head",
        _KV_WIDTH,
    ),
    slip(
        adapter,
        "heads-of-128",
        _KV,
        '128 * config["num_key_value_heads"]',
        "heads are taken as 128 wide: here they are hidden_size / num_attention_heads wide",
        _KV_WIDTH,
    ),
    slip(
        adapter,
        "heads-of-64",
        _KV,
        '64 * config["num_key_value_heads"]',
        "heads are taken as 64 wide: here they are hidden_size / num_attention_heads wide",
        _KV_WIDTH,
    ),
    slip(
        adapter,
        "width-by-key-value-heads",
        _KV,
        'd // config["num_key_value_heads"]',
        "k and v are taken as hidden_size / num_key_value_heads wide: a head is hidden_size / "
        "num_attention_heads wide",
        _KV_WIDTH,
    ),
    slip(
        adapter,
        "no-width",
        _KV,
        "0",
        "k and v have the width 0: a whole division (few // many) rounds down to it",
        _KV_WIDTH,
    ),
    slip(
        adapter,
        "widths-multiplied",
        _PAIR,
        "rank * d_in * d_out",
        "the rank times the whole matrix: the widths of A and B add up, as A has r · d_in numbers "
        "and B d_out · r",
        _BOTH,
    ),
    slip(
        adapter,
        "factors-multiplied",
        _PAIR,
        "(rank * d_in) * (d_out * rank)",
        "the numbers of A and B are multiplied by each other: a pair has their sum",
        _BOTH,
    ),
    slip(
        adapter,
        "rank-of-a-alone",
        _PAIR,
        "rank * d_in + d_out",
        "the rank multiplies d_in alone, and d_out is added without it: B has d_out · r numbers",
        _PRECEDENCE,
    ),
    slip(
        adapter,
        "rank-of-b-alone",
        _PAIR,
        "d_in + d_out * rank",
        "the rank multiplies d_out alone, and d_in is added without it: A has r · d_in numbers",
        _PRECEDENCE,
    ),
    slip(
        adapter,
        "rank-forgotten",
        _PAIR,
        "d_in + d_out",
        "the rank is missing: A has r · d_in numbers, and B d_out · r",
        "Multiply by the rank",
    ),
    slip(
        adapter,
        "all-targets",
        _NAMED,
        "shapes[name] for name in shapes",
        "all seven matrices are counted, whatever the targets are",
        "Count only those that targets names",
    ),
    slip(
        adapter,
        "first-target",
        _NAMED,
        "shapes[name] for name in targets[:1]",
        "the first target alone: the loop returns before it comes to the others",
        "Return after the loop, and not in it",
    ),
    slip(
        adapter,
        "last-target",
        _NAMED,
        "shapes[name] for name in targets[-1:]",
        "the last target alone: each one overwrites those before it",
        "Add up: `total += …`",
    ),
    slip(
        adapter,
        "down-like-up-and-down",
        '"down_proj": (d, f)',
        '"down_proj": (f, f)',
        "down_proj is taken from intermediate_size to intermediate_size: it goes back to "
        "hidden_size",
        "Make down_proj (hidden_size, intermediate_size)",
    ),
    slip(
        adapter,
        "square-down",
        '"down_proj": (d, f)',
        '"down_proj": (d, d)',
        "down_proj is taken as hidden_size × hidden_size: it comes from intermediate_size",
        "Make down_proj (hidden_size, intermediate_size)",
    ),
    slip(
        adapter,
        "down-forgotten",
        '"down_proj": (d, f)',
        '"down_proj": (0, 0)',
        "down_proj counts for nothing: no branch of the code is for it",
        "Add it, from intermediate_size to hidden_size",
    ),
    slip(
        adapter,
        "narrow-output",
        '"o_proj": (d, d)',
        '"o_proj": (d, kv)',
        "o_proj is taken as narrow as k and v: it has all heads of the queries",
        "Make o_proj hidden_size × hidden_size",
    ),
    slip(
        adapter,
        "narrow-queries",
        '"q_proj": (d, d)',
        '"q_proj": (kv, d)',
        "q_proj is taken as narrow as k and v: it has all heads",
        "Make q_proj hidden_size × hidden_size",
    ),
)
