"""Before training: ``peftlab model info``, ``estimate`` and ``recommend``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from peftcourse.cli.options import count
from peftlab.errors import PeftlabError

# The options of `peftlab estimate` that are fields of `peftlab.memory.Settings`, which checks them.
_SETTINGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "--method": (
        str,
        "full, lora (default), qlora, dora, ia3, bitfit, bottleneck, prefix or prompt",
    ),
    "--rank": (count, "rank of LoRA, QLoRA, DoRA (default 8)"),
    "--targets": (
        str,
        "layers they adapt: all-linear, or names (default q_proj,v_proj or their like)",
    ),
    "--tokens": (count, "virtual tokens of a prefix or prompt (default 20)"),
    "--bottleneck": (count, "width of a bottleneck adapter (default 64)"),
    "--precision": (str, "bf16 (default), mixed (full fine-tuning only) or fp32"),
    "--quantization": (str, "nf4 (default) or bitsandbytes' fp4, for qlora"),
    "--block-size": (count, "weights of a quantization block (default 64)"),
    "--optimizer": (
        str,
        "adamw (default), adamw_32bit, adamw_8bit, paged_adamw_32bit, paged_adamw_8bit, sgd or "
        "sgd_momentum",
    ),
    "--batch-size": (count, "sequences of a step (default 1)"),
    "--seq-len": (count, "tokens of a sequence (default 512)"),
    "--attention": (str, "sdpa (default), flash or eager"),
    "--implementation": (str, "peft (default) or peftlab"),
}


def model_info(arguments: argparse.Namespace) -> int:
    """Describe a base model."""
    from peftcourse.experiments import models

    facts = models.info(arguments.name)
    if arguments.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:<{width}}  {f'{value:,}' if isinstance(value, int) else value}")
    return 0


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `peftlab.memory.Settings` that were given."""
    names = [option.removeprefix("--").replace("-", "_") for option in _SETTINGS]
    names += ["double_quantization", "gradient_checkpointing"]
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def estimate(arguments: argparse.Namespace) -> int:
    """Predict the peak memory of a training run."""
    from peftcourse.calculator import report
    from peftlab.memory import Settings, estimate

    made = estimate(_shape(arguments.model), Settings(**_settings(arguments)))
    print(json.dumps(report.as_json(made), indent=2) if arguments.json else report.table(made))
    return 0


def _shape(model: str) -> str:
    """What `peftlab.memory` calls a model that the course has a short name for."""
    from peftcourse.experiments import models

    if model == "tiny":
        return str(models.path(model))
    return {"smollm2": "smollm2-135m"}.get(model, model)


def recommend(arguments: argparse.Namespace) -> int:
    """Say which method to use and why; 1 if nothing fits."""
    from peftcourse import recommend
    from peftlab.memory.shapes import closest, named

    if (arguments.model is None) == (arguments.params is None):
        raise PeftlabError("say which model: either --model NAME or --params 7e9.")
    need = recommend.Need(
        named(_shape(arguments.model)) if arguments.model else closest(arguments.params),
        arguments.gpu_memory,
        task=arguments.task,
        examples=arguments.examples,
        tasks=arguments.tasks,
        serving=arguments.serving,
        seq_len=arguments.seq_len,
        batch_size=arguments.batch_size,
    )
    found = recommend.recommend(need)
    if arguments.json:
        print(json.dumps(recommend.as_json(found), indent=2, ensure_ascii=False))
    else:
        print(recommend.describe(found))
    return 0 if found.chosen else 1


def add(commands: argparse._SubParsersAction) -> None:
    """Add these commands to the parser."""
    command = commands.add_parser("model", help="facts about a base model")
    verbs = command.add_subparsers(title="commands", metavar="info", required=True)
    verb = verbs.add_parser("info", help="parameters, size, architecture, SHA-256")
    verb.add_argument("name", nargs="?", help="tiny (default), smollm2, a hub id or a folder")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=model_info)

    command = commands.add_parser("estimate", help="peak memory of a training run")
    command.add_argument(
        "--model", required=True, help="a preset (llama-2-7b), a folder, a config.json or a hub id"
    )
    for option, (kind, text) in _SETTINGS.items():
        command.add_argument(option, type=kind, default=argparse.SUPPRESS, help=text)
    command.add_argument(
        "--no-double-quantization",
        dest="double_quantization",
        action="store_false",
        default=argparse.SUPPRESS,
        help="leave the block constants of qlora in 32 bit",
    )
    command.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        default=argparse.SUPPRESS,
        help="keep only the blocks' inputs, and compute each block twice",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=estimate)

    command = commands.add_parser("recommend", help="which method to use, and why")
    command.add_argument("--params", type=float, metavar="N", help="size of the model, such as 7e9")
    command.add_argument("--model", help="or which: a preset, a folder, a config.json or a hub id")
    command.add_argument(
        "--gpu-memory", type=float, required=True, metavar="GB", help="as vendors state it: 24"
    )
    command.add_argument(
        "--task", default="generation", help="generation (default), classification or domain"
    )
    command.add_argument(
        "--examples", type=count, default=5000, help="for training, of one task (default 5000)"
    )
    command.add_argument("--tasks", type=count, default=1, help="how many tasks (default 1)")
    command.add_argument(
        "--serving", default="any", help="any (default), merged, or many: adapters on one base"
    )
    command.add_argument("--seq-len", type=count, default=512, help="tokens (default 512)")
    command.add_argument("--batch-size", type=count, default=1, help="sequences (default 1)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=recommend)
