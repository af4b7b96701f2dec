"""The process inside the sandbox: imports torch once, then forks a child for each answer.

``python -I -S worker.py CONFIG`` reads requests from standard input and writes replies to standard
output, each preceded by its length (8 bytes, big-endian). It knows the probes and nothing else:
neither solutions nor judges nor other submissions are where it can see them.

A request is handed to the child as it came; a reply is one line of JSON, ``{"end": …}``, and then
the bytes that the child wrote. The server never interprets what comes from a child.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import time
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


def fork_child(config: dict[str, Any], request: bytes) -> tuple[int, int, int]:
    """Start a child.

    Returns:
        The process to wait for, the one to kill (the same, or the PID 1 of a namespace), and where
        to read the result.
    """
    import lockdown

    reader, writer = os.pipe()
    if not config["namespaces"]:
        pid = os.fork()
        if pid == 0:
            child(config, request, writer)
        os.close(writer)
        return pid, pid, reader
    told, tell = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        # The first process of a PID namespace has to be a child of the one that made it.
        try:
            lockdown.enter_namespaces()
            pid = os.fork()
            if pid == 0:
                os.close(tell)
                child(config, request, writer)
            os.close(writer)
            write_all(tell, pid.to_bytes(8, "big"))
            _, status = os.waitpid(pid, 0)
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        finally:
            os._exit(255)
    os.close(writer)
    os.close(tell)
    pid = int.from_bytes(read_exactly(told, 8), "big")
    os.close(told)
    return keeper, pid, reader


def run_child(config: dict[str, Any], request: bytes) -> tuple[dict[str, Any], bytes]:
    """Run one request in a child of its own, for no longer than allowed."""
    deadline = time.monotonic() + config["seconds"]
    waited, killed, reader = fork_child(config, request)
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
    if killed and not (end == DIED and _ended(waited, grace=0.5)):
        _kill(killed)
    status = _wait(waited)
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


def find_protections(config: dict[str, Any]) -> None:
    """Try in a child which protections this machine allows, and note them in ``config``."""
    import lockdown

    if not lockdown.LINUX:
        return
    for wanted in ({"namespaces": True, "filter": True}, {"filter": True}, {"namespaces": True}):
        trial = {**config, "namespaces": False, "filter": False, **wanted}
        reply, _ = run_child(trial, b"")
        if reply["end"] == DONE:
            config.update(wanted)
            return


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
    while (request := read_frame(requests)) is not None:
        write_frame(replies, *run_child(config, request))


if __name__ == "__main__":
    main()
