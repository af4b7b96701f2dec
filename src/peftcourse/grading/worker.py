"""The process inside the sandbox: imports torch once, then forks a child for each answer.

``python -I -S worker.py CONFIG`` reads requests from standard input and writes replies to standard
output, each preceded by its length (8 bytes, big-endian). It knows the probes and nothing else:
neither solutions nor judges nor other submissions are where it can see them.

A request is handed to the child as it came; a reply is one line of JSON, ``{"end": …}``, and then
the bytes that the child wrote. The server never interprets what comes from a child.
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
from collections.abc import Callable
from typing import Any

# How a child ended, as replies name it.
DONE, TIME, DIED, TOO_MUCH = "done", "time", "died", "too much"

MAX_RESULT = 16 << 20  # bytes that a child may return


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
        seconds=int(config["seconds"]) + 2,
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
    """Run one answer and write what it did to the pipe; never returns."""
    status = 1
    try:
        confine(config, result)
        import answers

        write_all(result, answers.run(request))
        status = 0
    finally:  # also after SystemExit: no handler, thread or buffer of the answer's is waited for
        os._exit(status)


def run_child(config: dict[str, Any], request: bytes) -> tuple[dict[str, Any], bytes]:
    """Run one request in a child of this process, for no longer than allowed.

    This process enters the namespaces as well: call it in one that does nothing else.
    """
    import lockdown

    deadline = time.monotonic() + config["seconds"]
    reader, writer = os.pipe()
    if config["namespaces"]:
        lockdown.enter_namespaces()
    pid = os.fork()
    if pid == 0:
        child(config, request, writer)
    os.close(writer)
    parts: list[bytes] = []
    size, end = 0, DIED
    while True:
        left = deadline - time.monotonic()
        ready = select.select([reader], [], [], max(left, 0))[0]
        if not ready:
            end = TIME
            break
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
    return {"end": end, "status": status}, b"".join(parts) if end == DONE else b""


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


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


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
        if succeeds(lambda trial=trial: run_child(trial, b"")[0]["end"] == DONE):
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
            write_frame(replies, *run_child(config, request))
        return request is not None

    select.select([requests], [], [])
    return succeeds(answer)


def main() -> None:
    config = json.loads(sys.argv[1])
    # Where these files are; -I keeps Python from adding it.
    sys.path[:0] = [config["code"], *config["packages"]]
    requests, replies = os.dup(0), os.dup(1)
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY)):
        os.dup2(os.open(os.devnull, flags), fd)

    # All that an answer and its probe will import, so that a child has it at once. No torch
    # operation runs here: threads do not survive a fork.
    for name in ("torch", *config["preload"], "lockdown", "wire", "observe", "answers"):
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
