"""Mark on this machine: submissions side by side, each in a sandbox of its own."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from peftcourse.grading.marking import Marker, Task
from peftcourse.grading.rows import Row


def mark_all(tasks: Sequence[Task], make_marker: Callable[[], Marker], jobs: int) -> Iterator[Row]:
    """Mark ``jobs`` submissions at a time; rows come as they are ready."""
    with contextlib.ExitStack() as stack:
        idle: queue.SimpleQueue[Marker] = queue.SimpleQueue()
        for _ in range(jobs):
            idle.put(stack.enter_context(make_marker()))

        def mark(task: Task) -> Row:
            marker = idle.get()
            try:
                return marker.mark(*task)
            finally:
                idle.put(marker)

        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        futures = [pool.submit(mark, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
