"""The exercises of lesson 08, prefix and prompt tuning."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.prompts import (
    attention,
    attention_symptoms,
    cases,
    counting,
    front,
    layout,
    positions,
    probes,
    share,
    start,
)
from peftcourse.exercises.prompts.report import REPORT

TITLE = "08 Prefix and prompt tuning"

PARTS = (
    Exercise(
        id="prompts.count",
        title="how much trains",
        objective="count what prompt tuning and prefix tuning train, in any model.",
        points=2,
        difficulty=1,
        minutes=5,
        section="Something in front",
        hints=(
            "A soft token is one vector of the embedding's width. What does one virtual token of a "
            "prefix hold, in one layer?",
            "A prefix has a key and a value, in each layer, for each head that has keys.",
            "tokens * hidden_size, and tokens * layers * 2 * kv_heads * head_size.",
        ),
        meaning="a token of a prefix is many times as large as a soft token, and both are tiny.",
        cases=cases.count,
        probe=probes.count,
        solution=counting.count,
        mutants=counting.COUNT,
    ),
    Exercise(
        id="prompts.init",
        title="start from a text",
        objective="start a soft prompt from words that the model knows.",
        points=2,
        difficulty=2,
        minutes=8,
        section="Where it starts",
        hints=(
            "Which rows of the table are the text? What if there are fewer of them than tokens?",
            "Repeat the list of ids as a whole and cut it off: (ids * tokens)[:tokens].",
            "nn.Parameter(table[repeated].detach().clone()): a parameter of its own.",
        ),
        meaning="training starts from a prompt that already means something to the model.",
        cases=cases.init,
        probe=probes.init,
        solution=start.init,
        mutants=start.INIT,
        symptoms=start.INIT_SYMPTOMS,
    ),
    Exercise(
        id="prompts.concat",
        title="the prompt in front",
        objective="put soft tokens before a batch and keep its labels in line.",
        points=3,
        difficulty=2,
        minutes=8,
        section="Soft tokens",
        hints=(
            "The same prompt goes in front of every text. What should the model predict at its "
            "positions?",
            "prompt.expand(batch, -1, -1) repeats without copying; the labels there are -100.",
            "torch.cat along dim=1, prompt first, and "
            "labels.new_full((batch, tokens), -100) before the labels.",
        ),
        meaning="the loss is over the same tokens as before, so losses can be compared.",
        cases=cases.concat,
        probe=probes.concat,
        solution=front.concat,
        mutants=front.CONCAT,
        symptoms=front.CONCAT_SYMPTOMS,
    ),
    Exercise(
        id="prompts.shapes",
        title="a prefix as a cache holds it",
        objective="turn one matrix of parameters into the keys and values of all layers.",
        points=3,
        difficulty=3,
        minutes=12,
        section="A prefix in every layer",
        hints=(
            "A row holds layers × 2 × heads × head size numbers, in this order. Name all axes "
            "before you move one.",
            "prefix.unflatten(1, (layers, 2, heads, -1)) is (T, L, 2, H, D). permute moves axes; "
            "reshape would mix them.",
            "permute(2, 1, 3, 0, 4) gives (2, L, H, T, D); then unsqueeze(2) and expand over the "
            "batch, and unpack the first axis.",
        ),
        meaning="with this shape a model's own code for continuing a sequence takes the prefix.",
        cases=cases.shapes,
        probe=probes.shapes,
        solution=layout.shapes,
        mutants=layout.SHAPES,
        symptoms=layout.SHAPES_SYMPTOMS,
    ),
    Exercise(
        id="prompts.mask",
        title="the mask and the positions",
        objective="make room for virtual tokens in a padded batch.",
        points=3,
        difficulty=3,
        minutes=10,
        section="Masks and positions",
        hints=(
            "May a token of the text see the virtual tokens if its row is padded? And at which "
            "position does the text start?",
            "Ones in front of the mask, in its dtype. Padding has no position of its own: count "
            "what is visible.",
            "mask.new_ones(batch, tokens) in front; "
            "(mask.long().cumsum(dim=1) - 1).clamp(min=0) + tokens.",
        ),
        meaning="a text gets the same output alone and in a padded batch.",
        cases=cases.mask,
        probe=probes.mask,
        solution=positions.mask,
        mutants=positions.MASK,
        symptoms=positions.MASK_SYMPTOMS,
    ),
    Exercise(
        id="prompts.attend",
        title="attention with a prefix",
        objective="write grouped-query attention over learned and computed keys.",
        points=4,
        difficulty=4,
        minutes=20,
        section="Attention with a prefix",
        hints=(
            "First join: learned keys before computed keys, learned values before computed values. "
            "Then it is ordinary causal attention with more keys than queries.",
            "Expand the prefix over the batch; repeat_interleave the heads of keys and values for "
            "the query heads. Which columns may query i see?",
            "hidden = torch.ones(n, T + n, dtype=torch.bool).triu(T + 1); fill those scores with "
            "-inf before the softmax.",
        ),
        meaning="one softmax over both decides how far each query leaves the text for the prefix.",
        cases=cases.attend,
        probe=probes.attend,
        solution=attention.attend,
        mutants=attention.ATTEND,
        symptoms=attention_symptoms.ATTEND_SYMPTOMS,
    ),
    Exercise(
        id="prompts.mass",
        title="how much attention it takes",
        objective="measure the share of attention that goes to virtual tokens.",
        points=3,
        difficulty=2,
        minutes=8,
        section="Where attention looks",
        hints=(
            "The weights of one query add up to 1. Which of its columns are virtual tokens?",
            "Sum over the first T columns, mean over heads; then keep the queries that are text.",
            "weights[..., :tokens].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
        ),
        meaning="this share is the λ by which a prefix replaces a layer's output by its own.",
        cases=cases.mass,
        probe=probes.mass,
        solution=share.mass,
        mutants=share.MASS,
        symbols=share.MASS_SYMBOLS,
    ),
    REPORT,
)
