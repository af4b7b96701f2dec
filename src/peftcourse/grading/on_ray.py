"""The same marking on a Ray cluster, for classes of thousands. Ray is an optional extra.

Every node needs this package, torch and bubblewrap. An actor holds a sandbox of its own; a
submission goes to whichever is free, and its row comes back. The journal stays with the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peftcourse.exercises.registry import LESSONS
from peftcourse.grading.marking import Marker, References, Task
from peftcourse.grading.rows import Row
from peftcourse.grading.sandbox import Limits
from peftcourse.grading.submissions import LabOutline
from peftlab.errors import PeftlabError


def mark_all(
    tasks: Sequence[Task],
    lesson_name: str,
    outline: LabOutline,
    seed: int,
    limits: Limits,
    unsafe: bool,
) -> Iterator[Row]:
    """Mark on all CPUs of the cluster that ``RAY_ADDRESS`` names, or else of this machine.

    Rows come as they are ready, and are those that the local engine gives.

    Raises:
        PeftlabError: Ray is not installed.
    """
    try:
        import ray
        from ray.util import ActorPool
    except ModuleNotFoundError:
        raise PeftlabError(
            "--engine ray needs Ray; pip install 'peftlab[ray]', or leave --engine out."
        ) from None

    @ray.remote(num_cpus=1)
    class Actor:
        def __init__(self) -> None:
            lesson = LESSONS[lesson_name]
            references = References(lesson, seed)
            self._marker = Marker(lesson, outline, references, limits=limits, unsafe=unsafe)

        def mark(self, *task: object) -> Row:
            return self._marker.mark(*task)

        def close(self) -> None:
            self._marker.__exit__()

    if not tasks:
        return
    started = not ray.is_initialized()
    if started:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    actors = [Actor.remote() for _ in range(min(cpus, len(tasks)))]
    try:
        yield from ActorPool(actors).map_unordered(
            lambda actor, task: actor.mark.remote(*task), list(tasks)
        )
        ray.get([actor.close.remote() for actor in actors])
    finally:
        if started:
            ray.shutdown()
