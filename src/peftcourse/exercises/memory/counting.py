"""Lesson 01, counting: the parameters of a model and of its adapter, rightly and wrongly."""

from __future__ import annotations

from typing import Any

from peftcourse.exercises.core import Mutant

Config = dict[str, Any]

# --- memory.parameters ----------------------------------------------------------------------------


def parameters(config: Config) -> int:
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    attention = 2 * d * d + 2 * d * kv  # q and o; k and v
    layer = attention + 3 * d * f + 2 * d
    vocabularies = 1 if config["tie_word_embeddings"] else 2
    return vocabularies * config["vocab_size"] * d + config["num_hidden_layers"] * layer + d


def _more_per_layer(config: Config, numbers: int) -> int:
    """The right count and some numbers more, or fewer, in every layer."""
    return parameters(config) + config["num_hidden_layers"] * numbers


def _kv_width(config: Config) -> int:
    return config["hidden_size"] // config["num_attention_heads"] * config["num_key_value_heads"]


def _one_number_a_head(config):
    d, narrow = config["hidden_size"], config["num_key_value_heads"]
    return _more_per_layer(config, 2 * d * (narrow - _kv_width(config)))


def _four_times_as_wide(config):
    return parameters({**config, "intermediate_size": 4 * config["hidden_size"]})


PARAMETERS = (
    Mutant(
        "grouped-heads-forgotten",
        lambda config: parameters({**config, "num_key_value_heads": config["num_attention_heads"]}),
        "the key and value projections are counted as wide as the query: these models have fewer "
        "key/value heads than heads",
        "Make k and v head_dim × num_key_value_heads wide",
    ),
    Mutant(
        "head-width-forgotten",
        _one_number_a_head,
        "k and v are counted with one number per key/value head, instead of head_dim numbers",
        "Multiply num_key_value_heads by hidden_size // num_attention_heads",
    ),
    Mutant(
        "tying-ignored",
        lambda config: parameters({**config, "tie_word_embeddings": False}),
        "a tied head is counted twice: it is the embedding's own matrix",
        "Count vocab_size × hidden_size once if tie_word_embeddings is true",
    ),
    Mutant(
        "head-forgotten",
        lambda config: parameters({**config, "tie_word_embeddings": True}),
        "an output head of its own is not counted: only a tied one comes for nothing",
        "Count vocab_size × hidden_size twice if tie_word_embeddings is false",
    ),
    Mutant(
        "gate-forgotten",
        lambda config: _more_per_layer(
            config, -config["hidden_size"] * config["intermediate_size"]
        ),
        "two matrices in the feed-forward network: Llama's has three, gate, up and down",
        "Count 3 · hidden_size · intermediate_size per layer",
    ),
    Mutant(
        "output-projection-forgotten",
        lambda config: _more_per_layer(config, -(config["hidden_size"] ** 2)),
        "attention has three matrices here: the output projection o is missing",
        "Count q, k, v and o",
    ),
    Mutant(
        "norms-forgotten",
        lambda config: _more_per_layer(config, -2 * config["hidden_size"]) - config["hidden_size"],
        "the norms are missing: each holds hidden_size weights",
        "Add two norms per layer and one before the head",
    ),
    Mutant(
        "last-norm-forgotten",
        lambda config: parameters(config) - config["hidden_size"],
        "off by one vector: the norm between the last layer and the head is missing",
        "Add hidden_size once, outside of the layers",
    ),
    Mutant(
        "four-times-as-wide",
        _four_times_as_wide,
        "a feed-forward network of 4 · hidden_size is assumed; the configuration has its own width",
        "Use intermediate_size",
    ),
)

# --- memory.adapter -------------------------------------------------------------------------------


def _shapes(config: Config) -> dict[str, tuple[int, int]]:
    """(d_out, d_in) of each linear layer."""
    d, f, kv = config["hidden_size"], config["intermediate_size"], _kv_width(config)
    return {
        "q_proj": (d, d),
        "k_proj": (kv, d),
        "v_proj": (kv, d),
        "o_proj": (d, d),
        "gate_proj": (f, d),
        "up_proj": (f, d),
        "down_proj": (d, f),
    }


def adapter(config: Config, rank: int, targets: list[str]) -> int:
    shapes = _shapes(config)
    return config["num_hidden_layers"] * sum(rank * sum(shapes[name]) for name in targets)


def _in_each_layer(numbers):
    """An answer that adds up ``numbers(rank, d_out, d_in)`` over targets and layers."""

    def answer(config: Config, rank: int, targets: list[str]) -> int:
        found = (numbers(rank, *_shapes(config)[name]) for name in targets)
        return config["num_hidden_layers"] * sum(found)

    return answer


def _adapter_all_square(config, rank, targets):
    return config["num_hidden_layers"] * len(targets) * 2 * rank * config["hidden_size"]


ADAPTER = (
    Mutant(
        "grouped-heads-forgotten",
        lambda config, rank, targets: adapter(
            {**config, "num_key_value_heads": config["num_attention_heads"]}, rank, targets
        ),
        "k and v are taken as square: with fewer key/value heads their output is narrower",
        "Use head_dim × num_key_value_heads as d_out of k and v",
    ),
    Mutant(
        "all-square",
        _adapter_all_square,
        "every matrix is taken as hidden_size × hidden_size; k, v and the feed-forward network "
        "have other shapes",
        "Look up d_out and d_in of each target",
    ),
    Mutant(
        "only-a",
        _in_each_layer(lambda rank, d_out, d_in: rank * d_in),
        "A alone, which is (r, d_in): B trains too",
        "Add the r × d_out numbers of B",
    ),
    Mutant(
        "only-b",
        _in_each_layer(lambda rank, d_out, d_in: rank * d_out),
        "B alone, which is (d_out, r): A trains too",
        "Add the r × d_in numbers of A",
    ),
    Mutant(
        "product",
        _in_each_layer(lambda rank, d_out, d_in: d_out * d_in),
        "the frozen matrices themselves: this is what full fine-tuning of the targets would train",
        "Count A, which is (r, d_in), and B, which is (d_out, r)",
    ),
    Mutant(
        "rank-squared",
        _in_each_layer(lambda rank, d_out, d_in: rank * rank * (d_out + d_in)),
        "{rank} times too many, and r = {rank}: the rank is in there twice",
        "A has r · d_in numbers and B has d_out · r: multiply by r once",
    ),
    Mutant(
        "layers-forgotten",
        lambda config, rank, targets: adapter({**config, "num_hidden_layers": 1}, rank, targets),
        "one layer's worth: the targets are in every layer",
        "Multiply by num_hidden_layers",
    ),
)
