"""Carry out a run of any kind, and make a row of whatever comes of it."""

from __future__ import annotations

from typing import Any

import torch

from peftcourse.compare.costs import measure_costs
from peftcourse.compare.measure import measure
from peftcourse.compare.plan import COST, Plan, Run
from peftlab.errors import PeftlabError


def carry_out(run: Run, plan: Plan, device: str) -> dict[str, Any]:
    """Do a run; a failure becomes part of the row and never ends the process.

    A run that failed by itself (it diverged, the method does not fit the model) would fail again.
    Any other failure, such as a full memory, may be due to what ran beside it, and the row says
    that it may be tried again.

    Args:
        run: what to do.
        plan: its settings.
        device: a torch device.
    """
    torch.set_num_threads(1)  # as many processes as cores: more threads would only wait
    # What is measured outside of training's bfloat16 may round products to ten bits, too.
    torch.set_float32_matmul_precision("high")
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)  # nothing of this process belongs on another GPU
    pair = plan.by_name[run.model, run.task]
    try:
        if run.purpose == COST:
            return run.as_row() | {"costs": measure_costs(pair, plan.methods, device)}
        return run.as_row() | measure(run, pair, device)
    except PeftlabError as error:
        return run.as_row() | {"failed": str(error)}
    except Exception as error:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        message = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return run.as_row() | {"failed": message, "again": True}
