"""The same engine on a Ray cluster, for larger models and more seeds. Ray is an optional extra.

Every node needs this package with what it needs, and the models and data in its cache. An actor
stands for a worker; the journal stays with the caller.
"""

from __future__ import annotations

from typing import Any, Self

from peftcourse.compare.carry_out import carry_out
from peftcourse.compare.plan import COST, Plan, Run
from peftlab.errors import PeftlabError


class OnRay:
    """An engine on the cluster that ``RAY_ADDRESS`` names, or else on this machine.

    Args:
        plan: the settings of the runs.
        per_gpu: runs that share one GPU; without GPUs there is one run on each CPU.

    Raises:
        PeftlabError: Ray is not installed.
    """

    def __init__(self, plan: Plan, per_gpu: int) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise PeftlabError(
                "--engine ray needs Ray; pip install 'peftlab[ray]', or leave --engine out."
            ) from None
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        gpus = int(ray.cluster_resources().get("GPU", 0))
        device = "cuda" if gpus else "cpu"
        share = {"num_gpus": 1 / per_gpu} if gpus else {}

        @ray.remote(num_cpus=1, max_retries=0)
        def do(run: Run) -> dict[str, Any]:
            return carry_out(run, plan, device)

        self._shared = do.options(**share)
        self._alone = do.options(num_gpus=1) if gpus else do
        self._running: dict[Any, Run] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            self._ray.shutdown()

    def submit(self, run: Run) -> None:
        """Hand a run to the cluster, which starts it when there is room."""
        task = self._alone if run.purpose == COST else self._shared
        self._running[task.remote(run)] = run

    def next(self) -> dict[str, Any]:
        """Wait for the next finished run and return its row."""
        (ready, *_), _ = self._ray.wait(list(self._running))
        run = self._running.pop(ready)
        try:
            return self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            message = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            return run.as_row() | {"failed": message, "again": True}
