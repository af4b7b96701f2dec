"""Figures of lesson 00: the bundled model's pretraining, and what the tasks tell apart."""

from __future__ import annotations

from typing import Any

from peftcourse.figures.style import INK, PALETTE, Figure, drawing, finish


def pretraining(record: dict[str, Any]) -> Figure:
    """Training and reserved-story loss of the bundled model over its pretraining.

    Args:
        record: ``results/pretrain.json``.
    """
    curve = record["curve"]
    steps = [point["step"] for point in curve]
    train = [point["train"] for point in curve]
    reserved = [point["reserved"] for point in curve]
    held_out = record["losses"]["heldout"]["nats_per_character"]
    with drawing() as (canvas, axes):
        axes.plot(steps, train, color=PALETTE[0], linestyle="--", label="training stories")
        axes.plot(steps, reserved, color=PALETTE[1], label="stories kept aside")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss (nats per token)")
        axes.set_ylim(bottom=min(reserved + train) - 0.1, top=min(max(train), 4.5))
        axes.legend()
        return finish(
            canvas,
            alt=f"Line plot of the pretraining loss over {steps[-1]:,} steps: on stories kept "
            f"aside it falls from {reserved[0]:.2f} to {reserved[-1]:.2f} nats per token, on the "
            f"training stories to {train[-1]:.2f}.",
            caption=f"Pretraining on one {record['hardware']}, {record['seconds'] / 60:.1f} "
            f"min. On stories kept aside the loss reaches {reserved[-1]:.2f} nats per token; on "
            f"real TinyStories it is {held_out:.3f} nats per character.",
        )


def lora_separation(record: dict[str, Any]) -> Figure:
    """Scores of the base model, of LoRA with two ranks and of full fine-tuning on every task.

    Args:
        record: ``results/lora_separation.json``.
    """
    labels = {
        "base": "base model",
        "lora-1": "LoRA, rank 1",
        "lora-8": "LoRA, rank 8",
        "full": "full fine-tuning",
    }
    scores = {
        task: {method: entry["methods"][method]["score"] for method in labels}
        for task, entry in record["numbers"]["tasks"].items()
    }
    with drawing(height=3.2) as (canvas, axes):
        for place, (method, label) in enumerate(labels.items()):
            axes.bar(
                [index + 0.2 * (place - 1.5) for index in range(len(scores))],
                [task[method]["mean"] for task in scores.values()],
                width=0.18,
                yerr=[task[method]["standard_error"] for task in scores.values()],
                color=PALETTE[place],
                ecolor=INK,
                capsize=2,
                label=label,
            )
        axes.set_xticks(range(len(scores)), list(scores))
        axes.set_ylim(0, 1.03)
        axes.set_ylabel("test score (1 is perfect)")
        axes.grid(False, axis="x")
        axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.0)
        spoken = "; ".join(
            f"{name}: "
            + ", ".join(f"{labels[method]} {task[method]['mean']:.2f}" for method in labels)
            for name, task in scores.items()
        )
        gaps = {
            name: entry["full_minus_lora-1_score"]
            for name, entry in record["numbers"]["tasks"].items()
        }
        widest = max(gaps, key=lambda name: gaps[name]["difference"])
        return finish(
            canvas,
            alt=f"Bar chart of test scores by task. {spoken}.",
            caption=f"The base model fails every task. Full fine-tuning beats rank-1 LoRA most on "
            f"{widest}: by {gaps[widest]['difference']:.2f}, which is "
            f"{gaps[widest]['in_standard_errors']:.0f} standard errors of the difference. Mean and "
            f"standard error over the test seeds; {record['hardware']}.",
        )
