"""Lesson 04, what a choice of targets costs: reference solution, wrong answers, symptoms."""

from __future__ import annotations

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Mutant, Symptom, slip


def count(shape: dict[str, int], rank: int, targets: tuple[str, ...]) -> int:
    hidden, ffn = shape["hidden"], shape["ffn"]
    queries = shape["heads"] * shape["head_dim"]
    keys = shape["kv_heads"] * shape["head_dim"]
    sides = {
        "q_proj": (hidden, queries),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (queries, hidden),
        "gate_proj": (hidden, ffn),
        "up_proj": (hidden, ffn),
        "down_proj": (ffn, hidden),
    }
    each = [d_in + d_out for d_in, d_out in map(sides.get, targets)]
    return shape["layers"] * rank * sum(each)


QUERIES = 'shape["heads"] * shape["head_dim"]'
KEYS = 'shape["kv_heads"] * shape["head_dim"]'
SUM = "d_in + d_out for"
EACH = "[d_in + d_out for d_in, d_out in map(sides.get, targets)]"
PRODUCT = 'shape["layers"] * rank * sum(each)'
WIDTHS = "Use heads · head_dim for q_proj and o_proj, kv_heads · head_dim for k_proj and v_proj"
SIDES = "A layer's adapter has rank · (d_in + d_out) parameters"
OWN_WIDTH = "Write down d_in and d_out of each of the seven from the names in `shape`"


def _one(id: str, target: str, sides: str, wrong: str, diagnosis: str) -> Mutant:
    """One of the seven targets has other sides."""
    old = f'"{target}": ({sides})'
    return slip(count, id, old, f'"{target}": ({wrong})', diagnosis, OWN_WIDTH)


COUNT: tuple[Mutant, ...] = (
    slip(
        count,
        "no-grouped-queries",
        KEYS,
        QUERIES,
        "keys and values are counted with as many heads as queries; this model has fewer, kv_heads",
        "k_proj and v_proj put out kv_heads · head_dim numbers",
    ),
    slip(
        count,
        "one-layer",
        'shape["layers"] * rank',
        "rank",
        "one block is counted, and the model has several: the number of layers is missing",
        "Multiply by the number of layers",
    ),
    slip(
        count,
        "no-rank",
        'shape["layers"] * rank',
        'shape["layers"]',
        "the rank is missing: A and B have rank rows or columns each",
        "Multiply by rank",
    ),
    slip(
        count,
        "whole-matrices",
        SUM,
        "d_in * d_out for",
        "rank times the size of the matrix: the factors hold a sum, d_in + d_out, not a product",
        SIDES,
    ),
    slip(
        count,
        "full-matrices",
        SUM,
        "d_in * d_out for",
        "the full weight matrices are counted, d_in · d_out; LoRA trains d_in + d_out for each "
        "rank, not their product",
        SIDES,
        (PRODUCT, 'shape["layers"] * sum(each)'),
    ),
    slip(
        count,
        "one-factor",
        SUM,
        "d_in for",
        "A is counted and B is not: only d_in, and d_out is missing",
        "Add rank · d_out for each layer",
    ),
    slip(
        count,
        "other-factor",
        SUM,
        "d_out for",
        "B is counted and A is not: only d_out, and d_in is missing",
        "Add rank · d_in for each layer",
    ),
    slip(
        count,
        "q-and-o-square",
        QUERIES,
        "hidden",
        "q_proj and o_proj are taken as hidden × hidden; heads · head_dim need not be hidden",
        WIDTHS,
    ),
    slip(
        count,
        "square-projections",
        QUERIES,
        "hidden",
        "head_dim is taken as hidden / heads; the configuration says something else",
        WIDTHS,
        (KEYS, 'shape["kv_heads"] * (hidden / shape["heads"])'),
    ),
    slip(
        count,
        "head-dim-worked-out",
        QUERIES,
        'shape["heads"] * (hidden // shape["heads"])',
        "head_dim is worked out as hidden // heads; it is given, and heads · head_dim need not be "
        "hidden",
        WIDTHS,
        (KEYS, 'shape["kv_heads"] * (hidden // shape["heads"])'),
    ),
    slip(
        count,
        "all-targets",
        "map(sides.get, targets)",
        "sides.values()",
        "all seven are counted, whatever is asked for: the targets are ignored",
        "Add up the given targets only",
    ),
    slip(
        count,
        "first-target",
        "targets)]",
        "targets[:1])]",
        "only the first target is counted: a return inside the loop, or a sum that is overwritten",
        "Return behind the loop, when all targets are added up",
    ),
    slip(
        count,
        "last-target",
        "targets)]",
        "targets[-1:])]",
        "only the last target is counted: the sum is overwritten in the loop (= instead of +=)",
        "Add up the targets with +=",
    ),
    slip(
        count,
        "each-size-once",
        "sum(each)",
        "sum(set(each))",
        "targets of the same size are counted once: a set (or dictionary) drops the second one",
        "Add up a list, or a generator without braces",
    ),
    slip(
        count,
        "biases",
        EACH,
        "[d_in + d_out + d_out / rank for d_in, d_out in map(sides.get, targets)]",
        "a bias is counted, d_out more for each target: LoRA's factors have none",
        SIDES,
    ),
    slip(
        count,
        "twice",
        PRODUCT,
        "2 * " + PRODUCT,
        "everything is counted twice: A and B are in d_in + d_out already",
        SIDES,
    ),
    slip(
        count,
        "always-keys",
        EACH,
        "[hidden + keys for _ in targets]",
        "every target is counted as k_proj or v_proj, with kv_heads: `t == 'k_proj' or 'v_proj'` "
        "is always true",
        "Ask with `in`: t in ('k_proj', 'v_proj')",
    ),
    slip(
        count,
        "always-queries",
        EACH,
        "[hidden + queries for _ in targets]",
        "every target is counted as q_proj: a condition such as `t == 'q_proj' or 'o_proj'` is "
        "always true",
        "Ask with `in`: t in ('q_proj', 'o_proj')",
    ),
    slip(
        count,
        "all-square",
        EACH,
        "[2 * hidden for _ in targets]",
        "every target is taken as hidden × hidden: heads · head_dim, kv_heads and ffn are ignored",
        OWN_WIDTH,
    ),
    _one(
        "o-of-the-mlp",
        "o_proj",
        "queries, hidden",
        "ffn, hidden",
        "o_proj is counted as a layer of the MLP, with ffn: it takes heads · head_dim numbers",
    ),
    _one(
        "o-of-key-heads",
        "o_proj",
        "queries, hidden",
        "keys, hidden",
        "o_proj is counted with kv_heads: it takes the outputs of all query heads",
    ),
    _one(
        "o-square",
        "o_proj",
        "queries, hidden",
        "hidden, hidden",
        "o_proj is taken as hidden × hidden: it takes heads · head_dim numbers",
    ),
    _one(
        "q-square",
        "q_proj",
        "hidden, queries",
        "hidden, hidden",
        "q_proj is taken as hidden × hidden: it puts out heads · head_dim numbers",
    ),
    _one(
        "q-of-key-heads",
        "q_proj",
        "hidden, queries",
        "hidden, keys",
        "q_proj is counted with kv_heads: it puts out all query heads, heads · head_dim",
    ),
    _one(
        "k-as-wide-as-q",
        "k_proj",
        "hidden, keys",
        "hidden, queries",
        "k_proj is counted as wide as q_proj: keys have kv_heads heads, which are fewer",
    ),
    _one(
        "v-as-wide-as-q",
        "v_proj",
        "hidden, keys",
        "hidden, queries",
        "v_proj is counted as wide as q_proj: values have kv_heads heads, which are fewer",
    ),
    slip(
        count,
        "key-heads-alone",
        KEYS,
        'shape["kv_heads"]',
        "k_proj and v_proj are kv_heads wide; each head has head_dim numbers",
        WIDTHS,
    ),
    slip(
        count,
        "query-heads-alone",
        QUERIES,
        'shape["heads"]',
        "q_proj and o_proj are heads wide; each head has head_dim numbers",
        WIDTHS,
    ),
)


def _alone(target: str):
    """Whether no more than this target and what contains it is wrong."""

    def when(case, expected, observed) -> bool:
        others = [name for name in expected if name not in (target, "all of the targets")]
        return all(agree(expected[name], observed[name]) for name in others)

    return when


def _only_together(case, expected, observed) -> bool:
    others = [name for name in expected if name != "all of the targets"]
    return all(agree(expected[name], observed[name]) for name in others)


_SIDES_IN_WORDS = {
    "q_proj": "it goes from hidden to heads · head_dim",
    "k_proj": "it goes from hidden to kv_heads · head_dim",
    "v_proj": "it goes from hidden to kv_heads · head_dim",
    "o_proj": "it goes from heads · head_dim to hidden",
    "gate_proj": "it goes from hidden to ffn",
    "up_proj": "it goes from hidden to ffn",
    "down_proj": "it goes from ffn to hidden",
}

COUNT_SYMPTOMS = (
    Symptom(
        "all of the targets",
        "each target alone is counted rightly, and several together are not: one is lost or "
        "counted twice where they are added up (a return in the loop, a set)",
        "Add up the numbers of all targets",
        _only_together,
    ),
    *(
        Symptom(
            target,
            f"only {target} is counted wrongly: {words}",
            SIDES,
            _alone(target),
        )
        for target, words in _SIDES_IN_WORDS.items()
    ),
    *(
        Symptom(target, f"{target} alone is counted wrongly: {words}", SIDES)
        for target, words in _SIDES_IN_WORDS.items()
    ),
)

# How the numbers of a case are called.
COUNT_SYMBOLS = {
    "rank": "the rank",
    **{f"shape[{name}]": name for name in ("hidden", "heads", "kv_heads", "head_dim", "ffn")},
    "shape[layers]": "the number of layers",
}
