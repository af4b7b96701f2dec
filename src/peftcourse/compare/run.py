"""Compare methods: do what the plan asks for, keep a journal, put the result together."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from peftcourse.compare import journal
from peftcourse.compare.methods import METHODS
from peftcourse.compare.on_ray import OnRay
from peftcourse.compare.plan import COST, REPORT, TUNING_SEED, Plan
from peftcourse.compare.plan import plan as complete
from peftcourse.compare.search import FIRST_RATES, MOST_RATES, SEARCH, outcomes
from peftcourse.compare.tables import BASE, Comparison
from peftcourse.compare.workers import Local
from peftcourse.experiments import results
from peftlab import __version__
from peftlab.errors import PeftlabError

LOCAL, RAY = "local", "ray"
PER_GPU = 12  # small runs wait for kernel launches most of the time, so many share a GPU
MOST_WORKERS = 8  # times the usual number: each holds a model, and more than cores only wait


def compare(
    plan: Plan,
    folder: Path,
    *,
    workers: int | None = None,
    engine: str = LOCAL,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> Comparison:
    """Carry out a plan; a killed one goes on where it stopped.

    Args:
        plan: see ``plan.plan``.
        folder: of the journal.
        workers: processes side by side; by default ``PER_GPU`` for each GPU, or one for each core.
        engine: ``"local"``, or ``"ray"`` for a Ray cluster.
        say: is told what the user should know.
        progress: whether to show a progress bar on standard error.

    Returns:
        All results. Runs that failed are among the rows, with the reason.

    Raises:
        PeftlabError: an argument cannot be used, or the journal belongs to other settings.
    """
    if engine not in (LOCAL, RAY):
        raise PeftlabError(f'there is no engine "{engine}"; take "{LOCAL}" or "{RAY}".')
    gpus = torch.cuda.device_count()
    usual = PER_GPU * gpus or results.usable_cores()
    count = usual if workers is None else workers
    if not 1 <= count <= MOST_WORKERS * usual:
        raise PeftlabError(
            f"{count} workers are no use here, where {usual} are usual; take from 1 to "
            f"{MOST_WORKERS * usual}."
        )
    with journal.opened(folder, _of_journal(plan)) as (rows, add):
        needed = {run.key for run in plan.runs(rows)}
        rows = [row for row in rows if journal.key_of(row) in needed]
        # What broke may have been short of memory: once more, with half as many beside it. Until
        # then a search waits for it, so that a full memory chooses no learning rate.
        for patient, side_by_side in ((True, count), (False, max(1, count // 2))):
            done = [row for row in rows if not row.get("again")]
            left = plan.left(done)
            if not left:
                break
            if broken := len(rows) - len(done):
                say(f"{broken} runs broke, perhaps for want of memory; they are tried once more.")
            elif done:
                say(f"{len(done)} runs are in {folder} already; {len(left)} are left, or more.")
            given = _engine(engine, plan, side_by_side, gpus)
            rows = done + _carry_out(plan, done, add, given, progress, patient)
    return comparison(plan, rows)


def comparison(plan: Plan, rows: list[dict[str, Any]]) -> Comparison:
    """The result as it is recorded: rows of the same kind together, in the plan's order."""
    order = {run.key: place for place, run in enumerate(plan.runs(rows))}
    rows = sorted(rows, key=lambda row: order[journal.key_of(row)])
    rows = [{key: value for key, value in row.items() if key != "again"} for row in rows]
    by_purpose = {
        purpose: [row for row in rows if row["purpose"] == purpose]
        for purpose in (REPORT, SEARCH, COST)
    }
    costs = []
    for row in by_purpose[COST]:
        whole = {"model": row["model"], "method": "all", "failed": row.get("failed")}
        costs += row.get("costs", [whole])
    return Comparison(
        settings=_settings(plan)
        | {"methods": _methods(plan, costs), "report_seeds": list(plan.seeds)},
        rows=by_purpose[REPORT],
        search=by_purpose[SEARCH],
        chosen=outcomes({name: METHODS[name].rate for name in plan.methods}, rows),
        costs=costs,
    )


def record(found: Comparison, plan: Plan, file: str | Path) -> Path:
    """Write a comparison as a result, which ``tables.load`` reads."""
    return results.write(
        file,
        what="Quality, costs, forgetting and calibration of fine-tuning methods with the same data "
        "and budget; losses in nats per target token, scores from 0 to 1",
        command=_command(plan),
        seeds=plan.all_seeds,
        numbers={key: value for key, value in asdict(found).items() if key != "about"},
    )


def _command(plan: Plan) -> str:
    """The command with which the plan is carried out again."""
    whole = complete(plan.suite)
    command = f"peftlab compare --suite {plan.suite}"
    if plan.pairs != whole.pairs:
        command += f" --model {plan.models[0]}" if len(plan.models) == 1 else ""
        files = plan.pairs[0].files
        if files:
            named = {"data": files.path, "validation": files.validation, "test": files.test}
            named = {option: Path(path).name for option, path in named.items() if path}
            command += "".join(f" --{option} {name}" for option, name in named.items())
            command += f" --ignore-fields {','.join(files.ignore)}" if files.ignore else ""
        else:
            command += f" --task {','.join(dict.fromkeys(pair.task for pair in plan.pairs))}"
        command += "" if plan.max_length is None else f" --max-length {plan.max_length}"
    if plan.methods != whole.methods:
        command += f" --methods {','.join(plan.methods)}"
    if plan.seeds != whole.seeds:
        command += f" --seeds {','.join(map(str, plan.seeds))}"
    return command


def _carry_out(
    plan: Plan,
    rows: list[dict[str, Any]],
    add: Callable[[dict[str, Any]], None],
    engine: Any,
    progress: bool,
    patient: bool,
) -> list[dict[str, Any]]:
    """Do all that is left, also what only becomes known on the way; returns the new rows.

    A run that broke counts as one without a result; if ``patient``, as one that is still to come.
    """
    rows, new = list(rows), []
    submitted = {journal.key_of(row) for row in rows}
    running = 0
    with engine, tqdm(initial=len(rows), desc="runs", disable=not progress, **_pace()) as bar:
        while True:
            needed = plan.runs(row for row in rows if not (patient and row.get("again")))
            for run in needed:
                if run.key not in submitted:
                    submitted.add(run.key)
                    engine.submit(run)
                    running += 1
            bar.total = plan.expected(needed)
            if not running:
                return new
            row = engine.next()
            running -= 1
            add(row)
            rows.append(row)
            new.append(row)
            bar.update()
            if row.get("failed"):
                bar.write(f"{_name(row)}: {row['failed']}", file=sys.stderr)


def _engine(name: str, plan: Plan, workers: int, gpus: int) -> Any:
    if name == RAY:
        return OnRay(plan, per_gpu=PER_GPU)
    names = [f"cuda:{gpu}" for gpu in range(gpus)] or ["cpu"]
    return Local(plan, [names[worker % len(names)] for worker in range(workers)])


def _of_journal(plan: Plan) -> dict[str, Any]:
    """What decides the results; tasks, seeds and methods may be added to a journal later."""
    settings = _settings(plan)
    return settings | {f"{p['model']}, {p['task']}": p for p in settings.pop("pairs")}


def _settings(plan: Plan) -> dict[str, Any]:
    """How everything was trained and measured."""
    return {
        "suite": plan.suite,
        "peftlab": __version__,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "tuning_seed": TUNING_SEED if plan.search else None,
        "search": {"rates": FIRST_RATES, "most": MOST_RATES, "step": "half a decade"}
        if plan.search
        else None,
        "pairs": [pair.as_json() for pair in plan.pairs],
    }


def _methods(plan: Plan, costs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The table of methods as plain data."""
    reasons = {row["method"]: row.get("cannot_merge") for row in costs}
    return {
        name: {
            "label": METHODS[name].label,
            "what": METHODS[name].what,
            "base_rate": METHODS[name].rate if plan.search else None,
            "mergeable": reasons.get(name) is None,
            "cannot_merge": reasons.get(name),
        }
        for name in plan.methods
    }


def _name(row: dict[str, Any]) -> str:
    """A run in words."""
    if row["method"] == BASE and row["purpose"] == COST:
        return f"costs on {row['model']}"
    rate = "" if row["learning_rate"] is None else f", rate {row['learning_rate']:g}"
    return f"{row['method']} on {row['model']}, {row['task']}, seed {row['seed']}{rate}"


def _pace() -> dict[str, float]:
    """On a terminal the bar moves; in a log it adds a line now and then."""
    return {} if sys.stderr.isatty() else {"mininterval": 15.0, "ascii": True}
