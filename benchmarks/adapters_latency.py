"""What does each method cost at inference? Forward passes and greedy generation, as ratios.

    OMP_NUM_THREADS=1 python -m benchmarks.adapters_latency --out results/adapters_latency.json
    python -m benchmarks.adapters_latency --rounds 9 --out results/adapters_latency_cuda.json
    python -m benchmarks.adapters_latency --model smollm2 --out results/adapters_smollm2.json

Every method is put on a model of its own, with random parameters (their values cost no time) in the
model's dtype, as one would serve it. Merged adapters are merged for good, so that the original
classes run. All of them take turns with the bare model, and each ratio is taken within its round;
the bare model takes a second turn under another name, and its ratio shows the noise. BitFit needs
biases, which a Llama has none of, so it runs on a model that was given some.

``--quick`` shows that it works; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

import peftlab
from peftcourse.experiments import models, results
from peftcourse.experiments.biases import add_biases
from peftcourse.experiments.latency import interleaved, ratio

COMMAND = "python -m benchmarks.adapters_latency --model {model} --rounds {rounds} --out {out}"
BASE, AGAIN, BIASED = "base", "base, again", "base with biases"
METHODS: dict[str, Any] = {
    "LoRA": peftlab.LoRAConfig(rank=8, targets="all-linear"),
    "Houlsby": peftlab.BottleneckConfig(size=64, style="houlsby"),
    "Pfeiffer": peftlab.BottleneckConfig(size=64, style="pfeiffer"),
    "parallel": peftlab.BottleneckConfig(size=64, style="parallel"),
    "IA³": peftlab.IA3Config(),
    "prefix": peftlab.PrefixConfig(20),
    "prompt": peftlab.PromptConfig(20),
}
MERGEABLE = ("LoRA", "IA³")
# Name → (batch, tokens of the prompt, tokens to generate; 0 is a forward pass).
LOADS = {
    "cpu": {
        "forward, batch 1": (1, 64, 0),
        "forward, batch 8": (8, 64, 0),
        "generate, batch 1": (1, 16, 8),
    },
    "cuda": {
        "forward, batch 1": (1, 128, 0),
        "forward, batch 64": (64, 256, 0),
        "generate, batch 1": (1, 32, 32),
        "generate, batch 64": (64, 32, 32),
    },
}


def contestants(name: str, device: str) -> dict[str, nn.Module]:
    """A model for each method, merged and not, and the bare ones."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32

    def bare() -> nn.Module:
        return models.load(name, device=device, dtype=dtype).model

    def adapted(model: nn.Module, method: Any, merged: bool = False) -> nn.Module:
        peftlab.apply(model, method, name="adapter")
        for _, layer in peftlab.adapter_layers(model):
            for parameter in layer.adapter_parameters().values():
                nn.init.normal_(parameter, std=0.02)
        if merged:
            peftlab.merge(model, keep_base=False)
        return model.to(dtype)

    found = {BASE: bare(), AGAIN: bare(), BIASED: add_biases(bare())}
    found |= {label: adapted(bare(), method) for label, method in METHODS.items()}
    found |= {f"{label}, merged": adapted(bare(), METHODS[label], True) for label in MERGEABLE}
    found["BitFit"] = adapted(add_biases(bare()), peftlab.BitFitConfig())
    found["BitFit, merged"] = adapted(add_biases(bare()), peftlab.BitFitConfig(), True)
    return found


def work(model: nn.Module, load: tuple[int, int, int]) -> Callable[[], Any]:
    """One forward pass, or one call of greedy generation."""
    batch, tokens, new = load
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 4000, (batch, tokens), generator=generator).to(device)
    mask = torch.ones_like(ids)

    @torch.inference_mode()
    def run() -> Any:
        if not new:
            return model(ids, attention_mask=mask, use_cache=False)
        return model.generate(
            ids, attention_mask=mask, do_sample=False, min_new_tokens=new, max_new_tokens=new,
            pad_token_id=1,
        )  # fmt: skip

    return run


def main(arguments: list[str] | None = None) -> None:
    """Time everything and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help='"tiny" or "smollm2"')
    parser.add_argument("--out", default="results/adapters_latency.json")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="2 rounds, to show that it works")
    options = parser.parse_args(arguments)
    rounds = 2 if options.quick else options.rounds
    torch.manual_seed(0)

    found = contestants(options.model, options.device)
    loads = {}
    for label, load in LOADS[options.device].items():
        runs = {name: work(model, load) for name, model in found.items()}
        times = interleaved(runs, rounds)
        batch, tokens, new = load
        loads[label] = {
            "batch": batch,
            "tokens": tokens,
            "new_tokens": new,
            "milliseconds": {
                name: round(1e3 * sorted(values)[rounds // 2] / max(new, 1), 4)
                for name, values in times.items()
            },
            "ratios": {
                name: {key: round(value, 5) for key, value in asdict(
                    ratio(values, times[BIASED if "BitFit" in name else BASE])
                ).items()}
                for name, values in times.items()
            },
        }  # fmt: skip
        print(label, {name: r["median"] for name, r in loads[label]["ratios"].items()}, flush=True)
    results.write(
        options.out,
        what="Time of a forward pass, and per new token of greedy generation (milliseconds, median "
        f"of {rounds} interleaved rounds), and as a ratio to the bare model in the same round "
        "(median and quartiles); BitFit's ratios are to the model with biases",
        command=COMMAND.format(model=options.model, rounds=rounds, out=options.out),
        seeds=[0],
        numbers={
            "model": options.model,
            "rounds": rounds,
            "methods": {name: repr(method) for name, method in METHODS.items()},
            "loads": loads,
        },
    )


if __name__ == "__main__":
    main()
