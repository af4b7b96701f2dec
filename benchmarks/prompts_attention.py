"""Where does a model with virtual tokens look? The share of attention they take, by layer.

    python -m benchmarks.prompts_attention

Prompt and prefix tuning with 1, 10 and 50 virtual tokens, three seeds each, 40 steps of 8 pirate
logs of at most 64 tokens at the rates that ``prompts_grid`` found good for 200 steps. Takes some
minutes of one core. ``--quick`` runs one seed for two steps, to show that it works.
"""

from __future__ import annotations

import argparse

import torch
from tqdm import tqdm

import peftlab
from peftcourse.experiments import attention, evaluate, models, results, tasks, train
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig

COMMAND = "python -m benchmarks.prompts_attention"
WHAT = (
    "Share of the attention of texts in the pirate voice that goes to virtual tokens and to the "
    "first real token, by layer, before and after 40 steps of 8 x 64 tokens, and the validation "
    "loss (nats per token) after them, for prompt and prefix tuning of the bundled model"
)
SEEDS = (0, 1, 2)
TOKENS = (1, 10, 50)
METHODS = {"prompt": (PromptConfig, 0.03), "prefix": (PrefixConfig, 0.3)}


def main(arguments: list[str] | None = None) -> None:
    """Train, look, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/prompts_attention.json")
    parser.add_argument("--quick", action="store_true", help="one seed, two steps")
    options = parser.parse_args(arguments)
    seeds, steps = ((0,), 2) if options.quick else (SEEDS, 40)
    torch.set_num_threads(1)
    model, tokenizer = models.load("tiny", dtype=torch.float32)
    task = tasks.load("voice", voice="pirate")
    data = tasks.encode(task.train, tokenizer, 64)
    held_out = tasks.encode(task.validation, tokenizer, 64)
    runs = [(name, size, seed) for name in METHODS for size in TOKENS for seed in seeds]
    records = []
    for name, size, seed in tqdm(runs):
        kind, rate = METHODS[name]
        torch.manual_seed(seed)
        peftlab.apply(model, kind(size), name="run")
        record = {"method": name, "tokens": size, "seed": seed, "rate": rate, "steps": steps}
        record["before"] = attention.shares(model, held_out[:16], size)
        recipe = train.TrainConfig(steps, learning_rate=rate, seed=seed)
        train.train(model, data, recipe, progress=False)
        record["after"] = attention.shares(model, held_out[:16], size)
        record["loss"] = evaluate.loss(model, held_out[:32])
        peftlab.remove(model, "run")
        records.append(record)
    plain = attention.shares(model, held_out[:16])
    results.write(
        options.out,
        what=WHAT,
        command=COMMAND,
        seeds=seeds,
        numbers={"without": plain, "runs": records},
    )


if __name__ == "__main__":
    main()
