"""What the methods cost: time and memory of a training step, speed of the result.

Times are compared within one process that has the device for itself. The methods take turns, so
that a slow moment of the machine hits all of them, and medians are reported.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import peftlab
from peftcourse.compare.measure import data, file_bytes, rounded
from peftcourse.compare.methods import METHODS, Prepared, prepare
from peftcourse.compare.plan import Pair
from peftcourse.experiments import models, train
from peftcourse.experiments.activations import saved
from peftcourse.experiments.tasks import Encoded, collate
from peftlab.errors import PeftlabError

FULL = "full"
WARM_UP, MEASURED = 2, 4  # steps of one turn
SLOW = 1e-3  # share of a method's rate: the times count here, not what is learned
FORWARD_TOKENS = 128
ADDED_UP = "weights + gradients + optimizer states + tensors saved for the backward pass"


@dataclass
class Contestant:
    """A method on a model of its own, and the times that were measured."""

    name: str
    model: nn.Module
    prepared: Prepared
    steps: int = 0
    seconds: list[float] = field(default_factory=list)

    def turn(self, examples: Sequence[Encoded], pair: Pair, steps: int) -> None:
        """Train a few steps; those after the warm-up are timed."""
        clock = _clock(next(self.model.parameters()).device.type)
        times = [clock()]

        def on_step(step: int, model: nn.Module) -> None:
            self.steps += 1
            if self.prepared.on_step is not None:
                self.prepared.on_step(self.steps, model)
            times.append(clock())

        train.train(
            self.model,
            examples,
            train.TrainConfig(steps, pair.batch_size, learning_rate=SLOW * METHODS[self.name].rate),
            groups=self.prepared.groups,
            on_step=on_step,
            penalty=self.prepared.penalty,
            progress=False,
        )
        gaps = [after - before for before, after in pairwise(times)]
        self.seconds += gaps[WARM_UP:]


def measure_costs(pair: Pair, methods: Sequence[str], device: str) -> list[dict[str, Any]]:
    """Measure all methods on one model; the process should have the device for itself.

    Args:
        pair: the settings; its task gives the batches.
        methods: keys of ``METHODS``.
        device: a torch device.

    Returns:
        One row for each method. One that does not fit the model, or into the memory, has
        ``failed`` in its row.
    """
    base = models.load(pair.model, device="cpu", dtype=torch.float32).model
    examples = data(pair, 0, "cpu").train
    rows: dict[str, dict[str, Any]] = {}
    contestants = []
    _warm_up(device)
    for name in methods:
        rows[name] = {"model": pair.model, "task": pair.task, "method": name, "device": device}
        try:
            contestant = _contestant(name, base, pair, device)
            rows[name] |= _memory(contestant, examples, pair, device)
        except (PeftlabError, torch.OutOfMemoryError) as error:
            rows[name]["failed"] = str(error).splitlines()[0]
            continue
        contestant.model.to("cpu")  # make room for the next one
        contestants.append(contestant)

    for contestant in contestants:
        contestant.model.to(device)
    for _ in range(pair.cost_rounds):
        for contestant in contestants:
            contestant.turn(examples, pair, WARM_UP + MEASURED)
    full = next((c for c in contestants if c.name == FULL), None)
    for contestant in contestants:
        seconds = statistics.median(contestant.seconds)
        row = rows[contestant.name]
        row["step_seconds"] = seconds
        row["step_ratio"] = seconds / statistics.median(full.seconds) if full else None
        row["batch"] = [pair.batch_size, pair.max_length]

    tokens = torch.tensor([examples[0]["input_ids"]])
    ids = tokens.repeat(1, -(-FORWARD_TOKENS // tokens.shape[1]))[:, :FORWARD_TOKENS].to(device)
    base = base.to(device)
    for contestant in contestants:
        rows[contestant.name] |= _overhead(contestant, base, ids, 8 * pair.cost_rounds)
        contestant.model.to("cpu")
    return [rounded(row) for row in rows.values()]


def _contestant(name: str, base: nn.Module, pair: Pair, device: str) -> Contestant:
    torch.manual_seed(0)
    model = copy.deepcopy(base).to(device)
    return Contestant(name, model, prepare(model, name, SLOW * METHODS[name].rate, pair.steps))


def _memory(
    contestant: Contestant, examples: Sequence[Encoded], pair: Pair, device: str
) -> dict[str, Any]:
    """Most memory of a training step, and the size of what is trained and stored."""
    model = contestant.model
    trainable = [p for p in model.parameters() if p.requires_grad]
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        contestant.turn(examples, pair, WARM_UP)
        peak, how = torch.cuda.max_memory_allocated(device), "torch.cuda.max_memory_allocated"
    else:
        # No allocator keeps count on a CPU, so the parts are added up; AdamW keeps two moments.
        batch = collate(examples[: pair.batch_size], pad_id=0)
        weights = [*model.parameters(), *model.buffers()]
        peak = sum(tensor.nbytes for tensor in weights) + 3 * sum(p.nbytes for p in trainable)
        peak += saved(model, batch["input_ids"]).peak
        model.zero_grad(set_to_none=True)
        how = ADDED_UP
    cannot_merge = contestant.prepared.cannot_merge
    return {
        "peak_bytes": peak,
        "peak_measure": how,
        "trainable": sum(p.numel() for p in trainable),
        "file_bytes": file_bytes(model),
        "mergeable": cannot_merge is None,
        "cannot_merge": cannot_merge,
    }


@torch.no_grad()
def _overhead(
    contestant: Contestant, base: nn.Module, ids: Tensor, turns: int
) -> dict[str, float | None]:
    """Time of a forward pass over that of the base model, with the adapter and merged."""
    variants = {"base": base.eval(), "unmerged": contestant.model.eval()}
    if contestant.prepared.cannot_merge is None:
        merged = copy.deepcopy(contestant.model)
        if peftlab.adapters(merged):
            peftlab.merge(merged, keep_base=False)
        variants["merged"] = merged
    clock = _clock(ids.device.type)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(turns):
        for name, model in variants.items():
            _synchronize(ids)
            started = clock()
            model(ids)
            _synchronize(ids)
            if turn:  # the first one warms up
                seconds[name].append(clock() - started)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    merged_ratio = median["merged"] / median["base"] if "merged" in median else None
    return {
        "forward_seconds": median["unmerged"],
        "overhead_unmerged": median["unmerged"] / median["base"],
        "overhead_merged": merged_ratio,
    }


def _clock(device: str) -> Callable[[], float]:
    """Wall-clock time on a GPU. On a CPU the time that the process, one thread, was computing: its
    device is one core, and what else runs on the machine does not count."""
    return time.perf_counter if device == "cuda" else time.process_time


def _warm_up(device: str) -> None:
    """Let the libraries take their workspaces, which otherwise the first method would pay for."""
    square = torch.ones(64, 64, device=device)
    (square @ square).sum().item()


def _synchronize(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
