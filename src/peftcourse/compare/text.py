"""A comparison in words: the tables that ``peftlab compare`` prints."""

from __future__ import annotations

from collections.abc import Iterator

from peftcourse.compare.tables import BASE, Comparison, Summary
from peftcourse.experiments.statistics import Interval

READ_MORE = (
    "± is half of a 95 % interval over the seeds (Student's t). The book's page on the comparison\n"
    "says what was measured; peftcourse.compare.tables reads what --json writes."
)


def report(comparison: Comparison) -> str:
    """One table for each model and task, the best method first, then costs and failures."""
    parts = ["\n".join(_table(comparison, model, task)) for model, task in comparison.pairs]
    parts += ["\n".join(_costs(comparison, model)) for model in _models(comparison)]
    failed = failures(comparison)
    if failed:
        parts.append("Failed:\n" + "\n".join(f"  {line}" for line in failed))
    return "\n\n".join([*parts, READ_MORE])


def _table(comparison: Comparison, model: str, task: str) -> Iterator[str]:
    metric = next(
        pair["metric"]
        for pair in comparison.settings["pairs"]
        if (pair["model"], pair["task"]) == (model, task)
    )
    yield f"{model}, {task}: score = {metric}; losses in nats per token"
    yield (
        f"  {'method':22} {'rate':>8} {'trained':>11}  {'score':>15}  {'test loss':>15}  "
        f"{'forgetting':>15}  {'ECE':>6}"
    )
    for line in comparison.summary(model, task):
        loss, forgetting, ece = (
            comparison.interval(model, task, line.method, measure)
            for measure in ("loss", "forgetting", "calibration.ece")
        )
        rate = "" if line.learning_rate is None else f"{line.learning_rate:.3g}"
        failed = f"  ({line.failed} failed)" if line.failed else ""
        yield (
            f"  {_name(line):22} {rate:>8} {line.trainable:>11,}  "
            f"{_plus_minus(line.value)}  {_plus_minus(loss)}  {_plus_minus(forgetting)}  "
            f"{ece.mean:6.3f}{failed}"
        )


def _costs(comparison: Comparison, model: str) -> Iterator[str]:
    yield f"{model}: costs, measured with the device to themselves"
    yield (
        f"  {'method':22} {'step':>9} {'of full':>8} {'peak':>9} {'file':>10}  "
        f"{'forward':>8} {'merged':>8}"
    )
    for row in comparison.costs:
        if row["model"] != model or row.get("failed"):
            continue
        ratio = "" if row["step_ratio"] is None else f"{row['step_ratio']:.2f}"
        merged = row["overhead_merged"]
        merged = "cannot" if merged is None else f"{merged:.2f}×"
        yield (
            f"  {comparison.label(row['method']):22} {1000 * row['step_seconds']:6.0f} ms "
            f"{ratio:>8} {row['peak_bytes'] / 1e6:6.0f} MB {_size(row['file_bytes']):>10}  "
            f"{row['overhead_unmerged']:7.2f}× {merged:>8}"
        )


def failures(comparison: Comparison) -> list[str]:
    """Reported runs and costs without a result; a diverged run of a search is no failure."""
    return [
        f"{comparison.label(row['method'])} on {row['model']}"
        + (f", {row['task']}, seed {row['seed']}" if "seed" in row else ", costs")
        + f": {row['failed']}"
        for row in [*comparison.rows, *comparison.costs]
        if row.get("failed")
    ]


def _models(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(model for model, _ in comparison.pairs))


def _name(line: Summary) -> str:
    return "(no training)" if line.method == BASE else line.label


def _plus_minus(interval: Interval) -> str:
    spread = f" ± {interval.half_width:5.3f}" if interval.count > 1 else ""
    return f"{interval.mean:7.3f}{spread:8}"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
