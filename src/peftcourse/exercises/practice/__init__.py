"""The exercises of lesson 04, LoRA in practice."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.practice import (
    batches,
    budget,
    budget_symptoms,
    cases,
    grid,
    packing,
    packing_symptoms,
    probes,
    ratio,
    scale,
    schedule,
    targets,
)
from peftcourse.exercises.practice.report import REPORT

TITLE = "04 LoRA in practice"

PARTS = (
    Exercise(
        id="practice.count",
        title="what a choice of targets costs",
        objective="count the parameters of any choice of targets from a model's configuration.",
        points=2,
        difficulty=2,
        minutes=8,
        section="Which layers",
        hints=(
            "Every target is a linear layer of d_in × d_out. How many numbers do A and B hold "
            "together, and what are d_in and d_out of each of the seven?",
            "q_proj puts out heads · head_dim numbers, k_proj and v_proj kv_heads · head_dim; "
            "o_proj takes heads · head_dim and puts out hidden.",
            "Make a dictionary from name to d_in + d_out, add up the targets, and multiply by "
            "rank and layers.",
        ),
        meaning="with grouped queries k and v are cheap to adapt, and the MLP costs most.",
        cases=cases.count,
        probe=probes.count,
        solution=targets.count,
        mutants=targets.COUNT,
        symptoms=targets.COUNT_SYMPTOMS,
        symbols=targets.COUNT_SYMBOLS,
    ),
    Exercise(
        id="practice.scale",
        title="the factor when the rank changes",
        objective="change a rank without changing the size of the update by accident.",
        points=2,
        difficulty=1,
        minutes=5,
        section="The factor in front",
        hints=(
            "LoRA multiplies BA by α/r, rank-stabilized LoRA by α/√r. Which r holds after the "
            "change?",
            "To keep the factor, α_new / new_rank has to equal α / rank; or the same with roots.",
            "With size(r) = √r if stabilized else r: "
            "(alpha / size(new_rank), alpha * size(new_rank) / size(rank)).",
        ),
        meaning="a comparison of ranks that leaves α alone compares factors as well.",
        cases=cases.scale,
        probe=probes.scale,
        solution=scale.scale,
        mutants=scale.SCALE,
        symptoms=scale.SCALE_SYMPTOMS,
    ),
    Exercise(
        id="practice.choose",
        title="read a grid honestly",
        objective="choose a rank and a rate from a grid of runs without fooling yourself.",
        points=4,
        difficulty=4,
        minutes=18,
        section="A grid search done properly",
        hints=(
            "Average over the seeds first. A run that diverged has the loss NaN, and must not "
            "look better for it.",
            "The standard error of the best cell is its losses' standard deviation over the root "
            "of the number of seeds. Which ranks have a cell within that of the lowest mean?",
            "means = losses.nan_to_num(nan=math.inf).mean(dim=2); the smallest rank whose "
            "means.min(dim=1) is at most lowest + error; then argmin in its row, and compare that "
            "with 0 and the last column.",
        ),
        meaning="an optimum at the edge is no optimum yet: widen the grid and run again.",
        cases=cases.choose,
        probe=probes.choose,
        solution=grid.choose,
        mutants=grid.CHOOSE,
        symptoms=grid.CHOOSE_SYMPTOMS,
    ),
    Exercise(
        id="practice.ratio",
        title="two learning rates: LoRA+",
        objective="give B a higher rate than A, and forget no parameter that trains.",
        points=3,
        difficulty=2,
        minutes=10,
        section="Two rates, another start",
        hints=(
            "Three kinds of parameters: B, other ones that train, and frozen ones. Which of them "
            "belong into which group?",
            "model.named_parameters() gives names such as blocks.0.A; which matrix it is says the "
            "last part, after the last dot.",
            "Skip what does not require a gradient; name.split('.')[-1] == 'B' goes into a group "
            "with lr = factor * rate, everything else into one with lr = rate.",
        ),
        meaning="an optimizer moves what its groups hold and nothing else, so count them.",
        cases=cases.ratio,
        probe=probes.ratio,
        solution=ratio.ratio,
        mutants=ratio.RATIO,
        symptoms=ratio.RATIO_SYMPTOMS,
    ),
    Exercise(
        id="practice.allocate",
        title="AdaLoRA shares a budget",
        objective="compute how much rank is left at a step, and which layers get it.",
        points=4,
        difficulty=4,
        minutes=15,
        section="Ranks that find themselves",
        hints=(
            "The budget starts at all directions there are, importance.numel(), and ends at goal. "
            "Between warmup and total - final it falls with the cube of what is left of the way.",
            "left = 1 - (step - warmup) / (total - final - warmup). Then the directions of all "
            "layers compete with each other.",
            "budget = int(goal + (start - goal) * left**3); importance.flatten().topk(budget) has "
            "the kept ones; index // directions per layer is the layer: torch.bincount.",
        ),
        meaning="layers compete for rank, so one layer may end with none.",
        cases=cases.allocate,
        probe=probes.allocate,
        solution=budget.allocate,
        mutants=budget.ALLOCATE,
        symptoms=budget_symptoms.ALLOCATE_SYMPTOMS,
        keeps_dtype=False,
    ),
    Exercise(
        id="practice.schedule",
        title="warm-up and cosine",
        objective="say what learning rate any step has, and waste no step.",
        points=2,
        difficulty=2,
        minutes=8,
        section="The rest of the recipe",
        hints=(
            "Two pieces: a line up to the peak, then half a cosine down. Steps count from 1.",
            "rising = ceil(warmup * steps). In the warm-up the rate is peak · step / rising; "
            "progress after it goes from 0 to just below 1.",
            "progress = (step - 1 - rising) / (steps - rising); "
            "peak * 0.5 * (1 + cos(pi * progress)).",
        ),
        meaning="AdamW's first steps are long and badly aimed; the warm-up keeps them short.",
        cases=cases.schedule,
        probe=probes.schedule,
        solution=schedule.schedule,
        mutants=schedule.SCHEDULE,
        symptoms=schedule.SCHEDULE_SYMPTOMS,
    ),
    Exercise(
        id="practice.accumulate",
        title="a large batch in small parts",
        objective="accumulate gradients so that every token counts the same.",
        points=3,
        difficulty=3,
        minutes=12,
        section="The rest of the recipe",
        hints=(
            "Parts hold different numbers of targets, since some labels are -100. What does a mean "
            "of their means do to a part with few?",
            "Count the targets of all parts before the first backward(), then divide each part's "
            "sum by that number.",
            "cross_entropy(model(x), labels, ignore_index=-100, reduction='sum') / targets, "
            "backward() for each part, and add up the losses.",
        ),
        meaning="accumulated in this way, four parts give the gradient of one batch exactly.",
        cases=cases.accumulate,
        probe=probes.accumulate,
        solution=batches.accumulate,
        mutants=batches.ACCUMULATE,
        symptoms=batches.ACCUMULATE_SYMPTOMS,
    ),
    Exercise(
        id="practice.pack",
        title="several texts in one row",
        objective="pack short texts without letting one see another.",
        points=4,
        difficulty=3,
        minutes=15,
        section="The rest of the recipe",
        hints=(
            "Three things know where a text begins: its labels, its positions and the attention "
            "mask.",
            "Labels are not shifted here: the label at t is the token at t, and position t - 1 "
            "predicts it. Which token of a text must nothing predict?",
            "owner = the number of each token's text; mask = (owner[:, None] == owner).tril(); "
            "positions restart at 0, and where they are 0 the label is -100.",
        ),
        meaning="packed like this a row trains exactly what its texts would, without padding.",
        cases=cases.pack,
        probe=probes.pack,
        solution=packing.pack,
        mutants=packing.PACK,
        symptoms=packing_symptoms.PACK_SYMPTOMS,
    ),
    REPORT,
)
