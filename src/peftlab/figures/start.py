"""Figures of lesson 00: the bundled model's pretraining, and what the tasks tell apart."""

from __future__ import annotations

from typing import Any

from peftlab.figures.style import INK, PALETTE, Figure, drawing, finish


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


def task_separation(record: dict[str, Any]) -> Figure:
    """Scores of the base model, rank-1 LoRA and full fine-tuning on every task.

    Args:
        record: ``results/task_separation.json``.
    """
    tasks = record["numbers"]["tasks"]
    methods = {"base": "base model", "lora_r1": "LoRA, rank 1", "full": "full fine-tuning"}
    with drawing(height=3.2) as (canvas, axes):
        for offset, (method, label) in enumerate(methods.items()):
            places = [index + 0.27 * (offset - 1) for index in range(len(tasks))]
            scores = [task["test"][method]["mean"] for task in tasks.values()]
            errors = [task["test"][method].get("standard_error", 0.0) for task in tasks.values()]
            axes.bar(
                places,
                scores,
                0.25,
                yerr=errors,
                color=PALETTE[offset],
                ecolor=INK,
                capsize=3,
                label=label,
            )
        axes.set_xticks(range(len(tasks)), list(tasks))
        axes.set_ylim(0, 1)
        axes.set_ylabel("test score (1 is perfect)")
        axes.grid(False, axis="x")
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        gaps = {
            name: task["test"]["full"]["mean"] - task["test"]["lora_r1"]["mean"]
            for name, task in tasks.items()
        }
        widest = max(gaps, key=gaps.get)
        spoken = "; ".join(
            f"{name}: base {task['test']['base']['mean']:.2f}, rank 1 "
            f"{task['test']['lora_r1']['mean']:.2f}, full {task['test']['full']['mean']:.2f}"
            for name, task in tasks.items()
        )
        return finish(
            canvas,
            alt=f"Bar chart of test scores by task. {spoken}.",
            caption=f"The base model fails each task. Full fine-tuning is furthest ahead of rank-1 "
            f"LoRA on {widest}, by {gaps[widest]:.2f}. Mean of {len(record['seeds'])} seeds with "
            f"standard errors, {record['hardware']}.",
        )
