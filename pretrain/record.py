"""What is written down about a run: circumstances, and measurements of the exported model."""

from __future__ import annotations

import datetime
import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from peftcourse.experiments.results import hardware, versions
from pretrain.train import measure_text, sample

SPOT_CHECK = 24  # reserved stories whose loss the tests recompute on a CPU
SAMPLE_SEEDS = (0, 1, 2)


def circumstances(what: str) -> dict[str, Any]:
    """What every results file says about how it came about."""
    return {
        "what": what,
        "command": "python -m pretrain " + shlex.join(sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "hardware": hardware(),
        "versions": versions() | {"tokenizers": tokenizers.__version__},
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def measure_exported(folder: Path, sets: dict[str, list[str]], device: str) -> dict[str, Any]:
    """Load the exported model as any user would, and measure it in float32.

    Args:
        folder: What `pretrain.train.export` wrote.
        sets: Name of each set of stories, and the stories; "reserved" must be among them.
        device: Where to compute the losses. Samples are always drawn on the CPU, so that anyone
            can draw them again.

    Returns:
        {"losses", "weights", "samples", "measured_on"}.
    """
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model.to(device)
    sets = sets | {"spot_check": sets["reserved"][:SPOT_CHECK]}
    losses = {name: measure_text(model, tokenizer, stories) for name, stories in sets.items()}
    model.to("cpu")
    weights = folder / "model.safetensors"
    return {
        "losses": losses,
        "weights": {
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "bytes": weights.stat().st_size,
            "parameters": model.num_parameters(),
        },
        "samples": [sample(model, tokenizer, seed) for seed in SAMPLE_SEEDS],
        "measured_on": hardware(),
    }
