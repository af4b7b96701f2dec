"""The process inside the sandbox: imports torch once, then forks children for each submission.

``python -I -S worker.py CONFIG`` reads requests from standard input and writes replies to standard
output, each preceded by its length (8 bytes, big-endian). It knows the probes and nothing else:
neither solutions nor judges nor other submissions are where it can see them.

A request is handed to the first child as it came; a reply is one line of JSON, ``{"end": …}``, and
then the bytes that its children wrote (``kernel.py``), as far as they came. The server never
interprets them.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any

# How a submission ended, as replies name it.
DONE, TIME, DIED, TOO_MUCH, MEMORY = "done", "time", "died", "too much", "memory"

MAX_RESULT = 48 << 20  # bytes that a submission may return
MAX_PROCESSES = 64  # of a submission at once
LOOK = 0.05  # seconds between two looks at its processes


def read_exactly(fd: int, count: int) -> bytes:
    """``count`` bytes, or fewer at the end of the stream."""
    parts = []
    while count and (part := os.read(fd, min(count, 1 << 20))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_frame(fd: int) -> bytes | None:
    """One request, or None at the end of the stream."""
    head = read_exactly(fd, 8)
    return read_exactly(fd, int.from_bytes(head, "big")) if len(head) == 8 else None


def write_frame(fd: int, reply: dict[str, Any], body: bytes = b"") -> None:
    line = json.dumps(reply).encode() + b"\n"
    write_all(fd, (len(line) + len(body)).to_bytes(8, "big") + line + body)


# --- the child ------------------------------------------------------------------------------------


def confine(config: dict[str, Any], result: int) -> None:
    """Called in the child before a stranger's code runs: leave it one pipe and little else."""
    import lockdown

    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    last = max(result, 3)
    os.closerange(3, last)
    os.closerange(last + 1, 1024)
    lockdown.limit(  # first, because it reads /proc
        seconds=int(config["budget"]) + 2,
        memory=config["memory"],
        file_size=config["file_size"],
    )
    if config["namespaces"]:
        lockdown.private_folders([config["code"]])
        lockdown.drop_capabilities()
    os.chdir(config["work"])
    if config["filter"]:
        lockdown.filter_system_calls()


def child(config: dict[str, Any], request: bytes, result: int) -> None:
    """Let children work a submission off and write to the pipe what it did; never returns.

    This process is the first of its namespace and runs no line of the submission: it waits for
    the last of its children and takes all others with it when it ends.
    """
    status = 1
    try:
        confine(config, result)
        import kernel

        if os.fork() == 0:
            try:
                kernel.run(request, result, filtered=config["filter"])
                status = kernel.FINISHED
            finally:  # also after SystemExit: no handler, thread or buffer is waited for
                os._exit(status)
        os.close(result)
        with contextlib.suppress(ChildProcessError):  # all have ended, and none at the end
            while os.waitstatus_to_exitcode(os.wait()[1]) != kernel.FINISHED:
                pass
            status = 0
    finally:
        os._exit(status)


class Crowd:
    """The processes of a submission, as far as /proc shows them; it is hidden afterwards."""

    def __init__(self) -> None:
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        self._others = self._all()
        self._base: int | None = None

    def close(self) -> None:
        os.close(self._proc)

    def too_large(self, memory: int) -> bool:
        """Whether they are too many, or have more than so many bytes beyond those of the first."""
        sizes = [self._size(name) for name in sorted(self._all() - self._others, key=int)]
        if self._base is None and sizes:
            self._base = sizes[0]
        return len(sizes) > MAX_PROCESSES or (
            sum(max(0, size - (self._base or 0)) for size in sizes) > memory
        )

    def _all(self) -> set[str]:
        return {name for name in os.listdir(self._proc) if name.isdigit()}

    def _size(self, name: str) -> int:
        """Bytes of a process's own memory, what it still shares with its parent included."""
        try:
            file = os.open(f"{name}/status", os.O_RDONLY, dir_fd=self._proc)
            try:
                lines = os.read(file, 4096).splitlines()
            finally:
                os.close(file)
        except OSError:  # it has ended
            return 0
        own = (b"RssAnon:", b"RssShmem:")
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(own))


def run_child(
    config: dict[str, Any], request: bytes, budget: float
) -> tuple[dict[str, Any], bytes]:
    """Run one request in children of this process, for no longer and no larger than allowed.

    This process enters the namespaces as well: call it in one that does nothing else.
    """
    import lockdown

    deadline = time.monotonic() + budget
    reader, writer = os.pipe()
    crowd = Crowd() if config["namespaces"] else None
    if config["namespaces"]:
        lockdown.enter_namespaces()
    pid = os.fork()
    if pid == 0:
        if crowd:
            crowd.close()
        os.setsid()
        child(config, request, writer)
    os.close(writer)
    parts: list[bytes] = []
    size, end, looked = 0, DIED, 0.0
    while True:
        now = time.monotonic()
        if now > deadline:
            end = TIME
            break
        if crowd and now > looked + LOOK:
            looked = now
            # A cell's memory is there twice when it has changed in a fork.
            if crowd.too_large(2 * config["memory"]):
                end = MEMORY
                break
        if not select.select([reader], [], [], min(deadline - now, LOOK))[0]:
            continue
        part = os.read(reader, 1 << 20)
        if not part:
            break
        parts.append(part)
        size += len(part)
        if size > MAX_RESULT:
            end = TOO_MUCH
            break
    os.close(reader)
    # What closed its pipe may still run; a killed PID 1 takes its whole namespace with it.
    if not (end == DIED and _ended(pid, grace=0.5)):
        _kill(pid)
    status = _wait(pid)
    if end == DIED and status == 0:
        end = DONE
    return {"end": end, "status": status}, b"".join(parts)[:MAX_RESULT]


_statuses: dict[int, int] = {}


def _ended(pid: int, grace: float) -> bool:
    """Whether a process has ended, or does so within the grace period (seconds)."""
    deadline = time.monotonic() + grace
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            _statuses[pid] = os.waitstatus_to_exitcode(status)
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)


def _wait(pid: int) -> int:
    if pid not in _statuses:
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)
    return _statuses.pop(pid)


def _kill(leader: int) -> None:
    """End a process and those of its group, which are all where there are no namespaces."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(leader, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


# --- the server -----------------------------------------------------------------------------------


def succeeds(work: Callable[[], bool]) -> bool:
    """Do something in a process of its own; whether that returned True."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def find_protections(config: dict[str, Any]) -> None:
    """Try in a child which protections this machine allows, and note them in ``config``."""
    import lockdown

    if not lockdown.LINUX:
        return
    for wanted in ({"namespaces": True, "filter": True}, {"filter": True}, {"namespaces": True}):
        trial = {**config, "namespaces": False, "filter": False, **wanted}
        if succeeds(lambda trial=trial: run_child(trial, b"", 10.0)[0]["end"] == DONE):
            config.update(wanted)
            return


def serve_one(config: dict[str, Any], requests: int, replies: int) -> bool:
    """Answer the next request; False at the end of the stream.

    The server itself never holds what a submission sent or returned: a later child would inherit
    it, and could find it in memory that was given back and not overwritten.
    """

    def answer() -> bool:
        request = read_frame(requests)
        if request is not None:
            # A request begins with its own budget, in milliseconds (8 bytes, big-endian).
            budget = int.from_bytes(request[:8], "big") / 1000
            write_frame(replies, *run_child(config, request[8:], budget))
        return request is not None

    select.select([requests], [], [])
    return succeeds(answer)


def bare_packages(*names: str) -> None:
    """Make packages importable without running what they import when they start.

    Of IPython only the input transformer is needed, which needs nothing else of it.
    """
    for name in names:
        parent, _, last = name.rpartition(".")
        package = types.ModuleType(name)
        places = sys.modules[parent].__path__ if parent else sys.path
        package.__path__ = [f"{place}/{last}" for place in places]
        sys.modules[name] = package


def main() -> None:
    config = json.loads(sys.argv[1])
    # Where these files are; -I keeps Python from adding it.
    sys.path[:0] = [config["code"], *config["packages"]]
    requests, replies = os.dup(0), os.dup(1)
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY)):
        os.dup2(os.open(os.devnull, flags), fd)

    # All that an answer and its probe will import, so that a child has it at once. No torch
    # operation runs here: threads do not survive a fork.
    bare_packages("IPython", "IPython.core")
    for name in ("torch", *config["preload"], "lockdown", "kernel"):
        importlib.import_module(name)
    for name in config["probes"]:
        importlib.import_module(name)
    import lockdown
    import torch

    # Finds out what this processor can do, which takes a look at /proc that a child has not got.
    torch.backends.cpu.get_cpu_capability()
    lockdown.undumpable()
    config.update(namespaces=False, filter=False)
    find_protections(config)
    write_frame(replies, {key: config[key] for key in ("namespaces", "filter")})
    gc.freeze()  # a child's collector need not touch, and so copy, what is here already
    while serve_one(config, requests, replies):
        pass


if __name__ == "__main__":
    main()
