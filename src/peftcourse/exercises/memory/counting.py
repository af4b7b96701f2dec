"""Lesson 01, counting: the parameters of a model, rightly and wrongly."""

from __future__ import annotations

from typing import Any

from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome

Config = dict[str, Any]


def parameters(config: Config) -> int:
    d, f = config["hidden_size"], config["intermediate_size"]
    head = d // config["num_attention_heads"]
    kv = head * config["num_key_value_heads"]
    attention = 2 * d * d + 2 * d * kv  # q and o; k and v
    norms = 2 * d
    layer = attention + 3 * d * f + norms
    copies = 1 if config["tie_word_embeddings"] else 2
    embeddings = copies * config["vocab_size"] * d
    return embeddings + config["num_hidden_layers"] * layer + d


_KV = 'head * config["num_key_value_heads"]'
_COPIES = '1 if config["tie_word_embeddings"] else 2'
_HEAD_WIDTH = "Make k and v hidden_size // num_attention_heads × num_key_value_heads wide"
_TWO_NORMS = "Count two norms per layer and one before the head, hidden_size weights each"
_THREE_NORMS = "three norms in each layer: it has two, and one norm more stands before the head"
_BIASES = (
    "biases are counted, and a Llama has none",
    "Count matrices and norms alone",
)

PARAMETERS = (
    slip(
        parameters,
        "grouped-heads-forgotten",
        _KV,
        "d",
        "the key and value projections are counted as wide as the query: these models have fewer "
        "key/value heads than heads",
        "Make k and v head_dim × num_key_value_heads wide",
    ),
    slip(
        parameters,
        "head-width-forgotten",
        _KV,
        'config["num_key_value_heads"]',
        "k and v are counted with one number per key/value head, instead of head_dim numbers",
        "Multiply num_key_value_heads by hidden_size // num_attention_heads",
    ),
    slip(
        parameters,
        "tying-ignored",
        _COPIES,
        "2",
        "a tied head is counted twice: it is the embedding's own matrix",
        "Count vocab_size × hidden_size once if tie_word_embeddings is true",
    ),
    slip(
        parameters,
        "head-forgotten",
        _COPIES,
        "1",
        "an output head of its own is not counted: only a tied one comes for nothing",
        "Count vocab_size × hidden_size twice if tie_word_embeddings is false",
    ),
    slip(
        parameters,
        "norms-forgotten",
        "norms = 2 * d",
        "norms = 0",
        "the norms are missing: each holds hidden_size weights",
        "Add two norms per layer and one before the head",
        ("layer + d", "layer"),
    ),
    slip(
        parameters,
        "last-norm-forgotten",
        "layer + d",
        "layer",
        "off by one vector: the norm between the last layer and the head is missing",
        "Add hidden_size once, outside of the layers",
    ),
    slip(
        parameters,
        "gate-forgotten",
        "3 * d * f",
        "2 * d * f",
        "two matrices in the feed-forward network: Llama's has three, gate, up and down",
        "Count 3 · hidden_size · intermediate_size per layer",
    ),
    slip(
        parameters,
        "output-projection-forgotten",
        "2 * d * d",
        "d * d",
        "attention has three matrices here: the output projection o is missing",
        "Count q, k, v and o",
    ),
    slip(
        parameters,
        "four-times-as-wide",
        'config["intermediate_size"]',
        '4 * config["hidden_size"]',
        "a feed-forward network of 4 · hidden_size is assumed; the configuration has its own width",
        "Use intermediate_size",
    ),
    slip(
        parameters,
        "width-by-key-value-heads",
        _KV,
        'd // config["num_key_value_heads"]',
        "k and v are counted hidden_size / num_key_value_heads wide: that is the width of no head, "
        "for a head is hidden_size / num_attention_heads wide",
        _HEAD_WIDTH,
    ),
    slip(
        parameters,
        "heads-of-128",
        _KV,
        '128 * config["num_key_value_heads"]',
        "heads are taken as 128 wide, as in the large models: here they are hidden_size / "
        "num_attention_heads wide",
        _HEAD_WIDTH,
    ),
    slip(
        parameters,
        "heads-of-64",
        _KV,
        '64 * config["num_key_value_heads"]',
        "heads are taken as 64 wide: here they are hidden_size / num_attention_heads wide",
        _HEAD_WIDTH,
    ),
    slip(
        parameters,
        "keys-and-values-forgotten",
        _KV,
        "0",
        "k and v count for nothing: they are missing, or their width is computed with a whole "
        "division (few // many) that gives 0",
        _HEAD_WIDTH,
    ),
    slip(
        parameters,
        "one-narrow-matrix",
        "2 * d * kv",
        "d * (d + kv)",
        "only one of k and v is counted narrow: values have as few heads as keys",
        _HEAD_WIDTH,
    ),
    slip(
        parameters,
        "keys-alone",
        "2 * d * kv",
        "d * kv",
        "only one of k and v is counted",
        "Count q, k, v and o",
    ),
    slip(
        parameters,
        "three-narrow-matrices",
        "2 * d * d + 2 * d * kv",
        "d * d + 3 * d * kv",
        "three narrow matrices: besides k and v, q or the output projection o is counted as narrow "
        "as they are; both are d × d",
        "Count q and o with hidden_size × hidden_size",
    ),
    slip(
        parameters,
        "tied-the-wrong-way",
        _COPIES,
        '2 if config["tie_word_embeddings"] else 1',
        "the head is counted where it is tied, and left out where it is not: the wrong way round",
        "Count the matrix once if tie_word_embeddings is true, and twice if not",
    ),
    slip(
        parameters,
        "norms-of-layers-forgotten",
        "norms = 2 * d",
        "norms = 0",
        "the norms within the layers are missing: each layer has two",
        _TWO_NORMS,
    ),
    slip(
        parameters,
        "one-norm",
        "norms = 2 * d",
        "norms = d",
        "one norm in each layer: a layer has two norms",
        _TWO_NORMS,
    ),
    slip(parameters, "three-norms", "norms = 2 * d", "norms = 3 * d", _THREE_NORMS, _TWO_NORMS),
    slip(
        parameters,
        "last-norm-in-each-layer",
        "norms = 2 * d",
        "norms = 3 * d",
        _THREE_NORMS,
        _TWO_NORMS,
        ("layer + d", "layer"),
    ),
    slip(
        parameters,
        "norms-with-a-bias",
        "norms = 2 * d",
        "norms = 4 * d",
        "each norm is counted with a bias: a Llama's norms have hidden_size weights and no bias",
        _TWO_NORMS,
        ("layer + d", "layer + 2 * d"),
    ),
    slip(
        parameters,
        "biases",
        "norms = 2 * d",
        "norms = 2 * d + 3 * d + 2 * kv + 2 * f",
        *_BIASES,
    ),
    slip(
        parameters,
        "biases-of-attention",
        "norms = 2 * d",
        "norms = 2 * d + 2 * d + 2 * kv",
        *_BIASES,
    ),
    slip(
        parameters,
        "biases-of-queries",
        "norms = 2 * d",
        "norms = 2 * d + d + 2 * kv",
        *_BIASES,
    ),
    slip(
        parameters,
        "embedding-in-every-layer",
        'embeddings + config["num_hidden_layers"] * layer',
        'config["num_hidden_layers"] * (embeddings + layer)',
        "the embedding is counted in every layer: brackets put it inside, and it is there once",
        "Add the embedding once, outside of the layers",
    ),
    slip(
        parameters,
        "layers-forgotten",
        'config["num_hidden_layers"] * layer',
        "layer",
        "one layer is counted, and there are num_hidden_layers of them",
        "Multiply the layer by num_hidden_layers",
    ),
)


def _tiny(case: Case, expected: Outcome, observed: Outcome) -> bool:
    result = observed.get("result")
    return isinstance(result, (int, float)) and 0 < 1000 * result < expected["result"]


OTHER_UNIT = Symptom(
    "result",
    "the result is more than a thousand times smaller than the number of parameters, as if it were "
    "counted in another unit, such as billions",
    "Return the number itself, neither divided nor rounded",
    when=_tiny,
    decides=True,
)
