"""Runs side by side on this machine: one process per worker, spread over the GPUs.

Each process keeps its models and data between runs. One that dies, for example because the system
ran out of memory, takes only its run with it: the run is reported as failed, and a new process
takes its place.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from peftcourse.compare.carry_out import carry_out
from peftcourse.compare.plan import COST, Plan, Run


@dataclass
class _Worker:
    device: str
    process: Any
    pipe: Connection
    run: Run | None = None


class Local:
    """An engine: takes runs, gives rows back as they are ready.

    Args:
        plan: the settings of the runs.
        devices: the device of each worker, such as ``["cuda:0", "cuda:1", "cuda:0", "cuda:1"]``.
        do: makes a row of (run, plan, device), in another process.
    """

    def __init__(
        self,
        plan: Plan,
        devices: Sequence[str],
        do: Callable[[Run, Plan, str], dict[str, Any]] = carry_out,
    ) -> None:
        self._plan = plan
        self._do = do
        # "spawn": a forked process cannot use its parent's CUDA.
        self._context = multiprocessing.get_context("spawn")
        self._queue: list[Run] = []
        self._free = list(devices)  # devices without a process yet
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()  # an idle worker ends when its pipe does
            if worker.run is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def submit(self, run: Run) -> None:
        """Take a run; it starts when a worker is free, in the order of submission."""
        self._queue.append(run)

    def next(self) -> dict[str, Any]:
        """Wait for the next finished run and return its row."""
        self._start()
        busy = {worker.pipe: worker for worker in self._workers if worker.run is not None}
        worker = busy[wait(list(busy))[0]]
        run, worker.run = worker.run, None
        try:
            return worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            message = (
                f"the process that ran it ended with exit code {worker.process.exitcode}; "
                "perhaps memory was short: try fewer --workers"
            )
            return run.as_row() | {"failed": message, "again": True}

    def _start(self) -> None:
        """Give every run that can start now to a worker."""
        for worker in list(self._workers):
            if worker.run is None and not worker.process.is_alive():
                self._bury(worker)
        waiting = []
        for run in self._queue:
            worker = self._idle(alone=run.purpose == COST)
            if worker is None:
                waiting.append(run)
                continue
            worker.run = run
            worker.pipe.send(run)
        self._queue = waiting

    def _idle(self, alone: bool) -> _Worker | None:
        """A worker for a run, if there is one; ``alone``: with no other process on its device.

        Runs that must be alone come first in a plan, so that they find empty devices.
        """
        crowd = Counter(worker.device for worker in self._workers)
        reserved = {w.device for w in self._workers if w.run is not None and w.run.purpose == COST}
        for worker in self._workers:
            free = worker.run is None and worker.device not in reserved
            if free and (not alone or crowd[worker.device] == 1):
                return worker
        for device in self._free:
            if device not in reserved and not (alone and crowd[device]):
                self._free.remove(device)
                return self._open(device)
        return None

    def _bury(self, worker: _Worker) -> None:
        """Clear a dead process away; its device is free for a new one."""
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        self._free.append(worker.device)

    def _open(self, device: str) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._do, self._plan, device), daemon=True
        )
        process.start()
        theirs.close()  # so that the pipe ends when the process does
        worker = _Worker(device, process, ours)
        self._workers.append(worker)
        return worker


def _serve(pipe: Connection, do: Callable, plan: Plan, device: str) -> None:
    """The life of a worker: take a run, send its row."""
    with suppress(EOFError, OSError, KeyboardInterrupt):  # the parent has gone
        while True:
            pipe.send(do(pipe.recv(), plan, device))
