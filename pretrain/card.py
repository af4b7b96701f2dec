"""The model card and the loss curve, made from the recorded results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template
from typing import Any

from peftcourse.experiments import models
from peftcourse.figures.start import pretraining
from pretrain.data import STORIES, read_stories

HERE = Path(__file__).parent
GREY = "#808080"  # legible on a white and on a black page
SETS = {
    "heldout": "TinyStories, held out",
    "validation": "TinyStories, validation",
    "reserved": "our own, reserved",
}


def write(results: Path, sweep: Path, model: Path) -> None:
    """Write `pretrain/README.md`, `pretrain/loss.svg` and the package's copy of the card.

    Args:
        results: `results/pretrain.json`.
        sweep: `results/pretrain_sweep.json`.
        model: Folder of the bundled model.
    """
    record = json.loads(results.read_text(encoding="utf-8"))
    sessions = json.loads(sweep.read_text(encoding="utf-8"))["sessions"]
    text = render(record, sessions, model)
    (HERE / "README.md").write_text(text, encoding="utf-8")
    # The package has the card without the picture, and names the licence as model cards do.
    without = re.sub(r"<!-- picture -->.*?<!-- /picture -->\n\n", "", text, flags=re.DOTALL)
    (model / "README.md").write_text(f"---\nlicense: mit\n---\n\n{without}", encoding="utf-8")
    (HERE / "loss.svg").write_text(loss_curve(record), encoding="utf-8")


def loss_curve(record: dict[str, Any]) -> str:
    """The book's figure of the pretraining as an SVG file that stands on light and dark pages."""
    return pretraining(record).svg.replace("currentColor", GREY) + "\n"


def render(record: dict[str, Any], sessions: list[dict[str, Any]], model: Path) -> str:
    """Fill the template of the card."""
    facts = models.info("tiny")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    runs = [run for session in sessions for run in session["runs"]]
    best = record["recipe"]
    extra = next(run for run in runs if run["recipe"]["extra_copies"])
    plain = find(runs, extra["recipe"] | {"extra_copies": 0})[0]
    repeats = next(same for run in runs if len(same := find(runs, run["recipe"])) > 1)
    low, high = sorted(heldout(run) for run in repeats)
    longer = find(runs, best | {"epochs": 32})[0]
    decays = [find(runs, runs[0]["recipe"] | {"weight_decay": value})[0] for value in (0.1, 0.3, 1)]
    values = {
        "parameters": f"{facts['parameters'] / 1e6:.2f} million",
        "parameters_exact": f"{facts['parameters']:,}",
        "embedding_parameters": f"{facts['embedding_parameters']:,}",
        "megabytes": f"{facts['bytes'] / 1e6:.1f}",
        "bytes": f"{facts['bytes']:,}",
        **{key: facts[key] for key in ("hidden", "layers", "heads", "kv_heads", "context")},
        "sha256": record["weights"]["sha256"],
        "mlp": config["intermediate_size"],
        "vocabulary": f"{facts['vocabulary']:,}",
        "losses": losses_table(record["losses"]),
        "stories": f"{len(read_stories(STORIES)):,}",
        "epochs": best["epochs"],
        "recipe": table(
            ("setting", "value"), ((name.replace("_", " "), best[name]) for name in best)
        ),
        "hardware": record["hardware"],
        "seconds": f"{record['seconds']:.0f}",
        "tokens": f"{record['tokens'] / 1e6:.0f} million",
        "steps": f"{record['steps']:,}",
        "date": record["date"],
        **{
            key: record["versions"][key]
            for key in ("python", "torch", "transformers", "tokenizers")
        },
        "measured_on": record["measured_on"],
        "command": record["command"],
        "repeat_settings": f"batch {repeats[0]['recipe']['batch_size']} and weight decay "
        f"{repeats[0]['recipe']['weight_decay']:g}",
        "repeat_losses": f"{low:.4f} and {high:.4f}",
        "noise": f"{100 * (high / low - 1):.1f}",
        "sweep": sweep_table(runs, best),
        "without_extra": f"{heldout(plain):.4f}",
        "with_extra": f"{heldout(extra):.4f}",
        "extra_gain": f"{100 * (1 - heldout(extra) / heldout(plain)):.1f}",
        "longer": f"{heldout(longer):.4f}",
        "best": f"{heldout(find(runs, best)[0]):.4f}",
        "decays": ", ".join(f"{heldout(run):.4f}" for run in decays),
        "samples": "\n\n".join(quote(text) for text in record["samples"]),
    }
    return Template((HERE / "card_template.md").read_text(encoding="utf-8")).substitute(values)


def find(runs: list[dict[str, Any]], recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of one recipe."""
    return [run for run in runs if run["recipe"] == recipe]


def heldout(run: dict[str, Any]) -> float:
    """Held-out loss of a run in nats per character."""
    return run["losses"]["heldout"]["nats_per_character"]


def losses_table(losses: dict[str, dict[str, float]]) -> str:
    """One row for each set of stories."""
    header = ("stories", "how many", "characters", "tokens", "nats per character", "nats per token")
    rows = (
        (
            label,
            f"{losses[name]['stories']:,}",
            f"{losses[name]['characters']:,}",
            f"{losses[name]['tokens']:,}",
            f"**{losses[name]['nats_per_character']:.4f}**",
            f"{losses[name]['nats_per_token']:.4f}",
        )
        for name, label in SETS.items()
    )
    return table(header, rows)


def sweep_table(runs: list[dict[str, Any]], best: dict[str, Any]) -> str:
    """One row for each run, in the order in which they were made."""
    header = ("epochs", "batch", "learning rate", "weight decay", "copies of extra", "steps")
    header += ("seconds", "validation", "held out", "reserved", "")
    rows = (
        (
            run["recipe"]["epochs"],
            run["recipe"]["batch_size"],
            f"{run['recipe']['learning_rate']:g}",
            f"{run['recipe']['weight_decay']:g}",
            run["recipe"]["extra_copies"],
            f"{run['steps']:,}",
            f"{run['seconds']:.0f}",
            *(f"{run['losses'][n]['nats_per_character']:.4f}" for n in ("validation", "heldout")),
            f"{run['losses']['reserved']['nats_per_character']:.4f}",
            "shipped" if run["recipe"] == best else "",
        )
        for run in runs
    )
    return table(header, rows)


def table(header, rows) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def quote(text: str) -> str:
    """A Markdown quotation that keeps the line breaks."""
    return "\n".join(f"> {line.strip()}  " for line in text.splitlines())
