"""Lesson 08, a prompt that starts from a text: reference solution, wrong answers, symptoms."""

from __future__ import annotations

from torch import Tensor, nn

from peftcourse.exercises.core import Mutant, Symptom, slip


def init(table: Tensor, ids: list[int], tokens: int) -> nn.Parameter:
    repeated = (ids * tokens)[:tokens]
    start = table[repeated].detach().clone()
    return nn.Parameter(start)


REPEATED = "(ids * tokens)[:tokens]"
ROWS = "table[repeated]"
WHOLE = "Repeat the text as a whole, from its beginning, and cut it off: (ids * tokens)[:tokens]"
PARAMETER = "Return nn.Parameter(...)"


INIT: tuple[Mutant, ...] = (
    slip(
        init,
        "zeros-after-the-text",
        "    return nn",
        "    start[len(ids) :] = 0\n    return nn",
        "where the text is too short the prompt is filled up with zero; the text is to be repeated",
        WHOLE,
    ),
    slip(
        init,
        "last-token-repeated",
        REPEATED,
        "(ids + ids[-1:] * tokens)[:tokens]",
        "where the text is too short its last token is repeated, and not the whole text from its "
        "beginning",
        WHOLE,
    ),
    slip(
        init,
        "stretched",
        REPEATED,
        "[ids[place * len(ids) // tokens] for place in range(tokens)]",
        "the text is stretched: each token is repeated beside itself, and not the text as a whole",
        "Repeat the text as a whole: a b c a b c, not a a b b c c",
    ),
    slip(
        init,
        "each-token-repeated",
        REPEATED,
        "[i for i in ids for _ in range(-(-tokens // len(ids)))][:tokens]",
        "each token is repeated beside itself (repeat_interleave), and not the text as a whole, "
        "from its beginning",
        "Repeat the text as a whole: a b c a b c, not a a b b c c",
    ),
    slip(
        init,
        "end-kept",
        REPEATED,
        "(ids * tokens)[-tokens:]",
        "the end of the repeated text is kept where its beginning should be",
        "Cut off behind the first tokens: [:tokens]",
    ),
    slip(
        init,
        "end-of-a-long-text",
        REPEATED,
        "(ids[-tokens:] * tokens)[:tokens]",
        "the beginning of a long text is cut off, and its end is kept; it is the other way round",
        "Cut off behind the first tokens: [:tokens]",
    ),
    slip(
        init,
        "not-a-parameter",
        "nn.Parameter(start)",
        "start",
        "the values are right, but nothing would train: this is no nn.Parameter",
        PARAMETER,
    ),
    slip(
        init,
        "does-not-train",
        "nn.Parameter(start)",
        "nn.Parameter(start, requires_grad=False)",
        "the Parameter has requires_grad=False: it gets no gradient and does not train",
        "Leave out requires_grad=False",
    ),
    slip(
        init,
        "mean-of-the-text",
        ROWS,
        "table[ids].mean(dim=0).expand(tokens, -1)",
        "all soft tokens start at the mean of the text's embeddings, so they get equal gradients",
        "Give each soft token the embedding of a token of its own",
    ),
    slip(
        init,
        "back-and-forth",
        REPEATED,
        "((ids + ids[::-1]) * tokens)[:tokens]",
        "the text is repeated backwards, in reverse order; each time it starts from its beginning",
        WHOLE,
    ),
    slip(
        init,
        "reversed",
        REPEATED,
        "(ids[::-1] * tokens)[:tokens]",
        "the text is in reverse order: the first soft token is its first token",
        WHOLE,
    ),
    slip(
        init,
        "one-token-on",
        REPEATED,
        "(ids * (tokens + 1))[1 : tokens + 1]",
        "the first row is the second token's: the text starts one token too late (off by one)",
        WHOLE,
    ),
    slip(
        init,
        "rows-of-the-table",
        ROWS,
        "table[:tokens]",
        "these are the first rows of the table: the ids of the text choose the rows, not their "
        "places",
        "Index the table with the ids: table[ids]",
    ),
    slip(
        init,
        "first-token-only",
        REPEATED,
        "ids[:1] * tokens",
        "only the first token of the text is used, for all soft tokens",
        WHOLE,
    ),
    slip(
        init,
        "each-token-once",
        REPEATED,
        "(list(dict.fromkeys(ids)) * tokens)[:tokens]",
        "a token that comes twice in the text is there only once: a set or dictionary drops it",
        WHOLE,
    ),
    slip(
        init,
        "sorted",
        REPEATED,
        "(sorted(ids) * tokens)[:tokens]",
        "the tokens are sorted: the order of the text is lost",
        WHOLE,
    ),
    slip(
        init,
        "mean-for-the-rest",
        "    return nn",
        "    start[len(ids) :] = table[ids].detach().mean(dim=0)\n    return nn",
        "where the text is too short the prompt is filled up with a mean; the text is to be "
        "repeated",
        WHOLE,
    ),
    slip(
        init,
        "scaled",
        ROWS,
        "nn.functional.normalize(table[repeated], dim=-1)",
        "the rows are normalized: the prompt starts as the embeddings themselves",
        "Leave the rows of the table as they are",
    ),
)


def _prompt(case, observed) -> Tensor | None:
    """The prompt, if its rows can be compared with those of the table."""
    prompt = observed["prompt"]
    fits = isinstance(prompt, Tensor) and prompt.dim() == 2
    return prompt if fits and prompt.shape[1] == case["table"].shape[1] else None


def _of_the_text(case, observed) -> Tensor | None:
    """For each row of the prompt, whether it is the embedding of a token of the text."""
    prompt = _prompt(case, observed)
    if prompt is None or not prompt.is_floating_point():
        return None
    rows = case["table"][case["ids"]].double()
    close = (prompt.double()[:, None] - rows[None]).abs().amax(dim=-1) <= 1e-5
    return close.any(dim=1)


def _too_short(case, expected, observed) -> bool:
    prompt = _prompt(case, observed)
    return prompt is not None and len(prompt) < case["tokens"]


def _too_long(case, expected, observed) -> bool:
    prompt = _prompt(case, observed)
    return prompt is not None and len(prompt) > case["tokens"]


def _filled_up(case, expected, observed) -> bool:
    known, length = _of_the_text(case, observed), len(case["ids"])
    if known is None or len(known) != case["tokens"]:
        return False
    return bool(known[:length].all()) and not known[length:].any() and len(known) > length


def _another_order(case, expected, observed) -> bool:
    known = _of_the_text(case, observed)
    return known is not None and len(known) == case["tokens"] and bool(known.all())


def _no_row(case, expected, observed) -> bool:
    known = _of_the_text(case, observed)
    return known is None or not known.any()


INIT_SYMPTOMS = (
    Symptom(
        "prompts that are an nn.Parameter",
        "the result is no nn.Parameter: no optimizer would find it, and nothing would train",
        PARAMETER,
    ),
    Symptom(
        "table after a step of the prompt",
        "the prompt shares memory with the table: it is a view and not a copy, so training it "
        "changes the model's embeddings",
        "Copy the rows: .detach().clone()",
    ),
    Symptom(
        "prompt",
        "the prompt has too few rows: a text shorter than the prompt has to be repeated, often "
        "enough (rounded up) for {tokens} rows",
        WHOLE,
        _too_short,
    ),
    Symptom(
        "prompt",
        "the prompt has too many rows: the text, repeated or not, has to be cut off at {tokens} "
        "rows, [:tokens]",
        WHOLE,
        _too_long,
    ),
    Symptom(
        "prompt",
        "behind the end of the text the rows are none of its embeddings: a short text is to be "
        "repeated, not filled up with something else (zeros, random numbers, padding)",
        WHOLE,
        _filled_up,
    ),
    Symptom(
        "prompt",
        "every row is an embedding of the text, but in another order: the text is repeated as a "
        "whole, from its beginning, and cut off at its end",
        WHOLE,
        _another_order,
    ),
    Symptom(
        "prompt",
        "no row is the embedding of a token of the text: the ids choose the rows of the table, "
        "which are not to be random, averaged or changed",
        "Index the table with the ids: table[ids]",
        _no_row,
    ),
    Symptom(
        "prompts that train on their own",
        "it does not train on its own: it has requires_grad=False, or still hangs on the table",
        "Return nn.Parameter(table[...].detach().clone())",
    ),
)
