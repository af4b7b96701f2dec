"""Where the control may run hostile code: a sandbox of its own, and nothing to do with the grader.

One bubblewrap shows the machine read-only and a work folder writable. In it, one process imports
torch and forks the control for each case, as PID 1's grandchild in a namespace of its own, with an
own /tmp of 64 MB. When its time is up, or when it takes too much memory, as the kernel
would see to on a machine that runs out, everything in the namespace is killed.

``run`` is called by the tests; the module's main program is the process inside.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
AT_ONCE = 8  # most of them wait for something
# Seconds for a class of two notebooks, which takes a tenth of them: by the clock, and of the CPU.
PATIENCE, CPU = 5.0, 2.0
MEGABYTE = 1 << 20
MEMORY = 512 * MEGABYTE  # beyond what the process with torch has
# What has to stay in sight if it lies in /tmp, as a clone may.
KEPT = [
    str(path)
    for path in (HERE.parents[2], Path(sys.prefix))
    if path.is_relative_to("/tmp") or path.is_relative_to("/var/tmp")
]
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18


def unavailable() -> str:
    """Why nothing can be run here, or an empty string."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (bwrap) is not installed"
    trial = subprocess.run(
        [*_bwrap(Path("/tmp")), sys.executable, "-c", "import ctypes; "
         f"raise SystemExit(-ctypes.CDLL(None).unshare({CLONE_NEWPID | CLONE_NEWNS}))"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    return "" if trial.returncode == 0 else f"bubblewrap does not run here: {trial.stderr.strip()}"


def run(cases: Iterable[str], work: Path) -> dict[str, dict]:
    """Let the control grade a class for each case.

    Args:
        cases: names of folders in ``work``, each with ``class`` (the submissions), ``home`` and
            ``grader`` (with the answer key).
        work: the one folder that hostile code can write to, seen as ``/mnt`` by it.

    Returns:
        For each case ``end`` ("done", "time" or "memory") and ``output``, all that the control
        printed; None if whoever collects it is gone.
    """
    result = subprocess.run(
        [*_bwrap(work), sys.executable, str(HERE / "bubble.py")],
        input=json.dumps(list(cases)),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)},
        check=True,
    )
    return json.loads(result.stdout)


def _bwrap(work: Path) -> list[str]:
    return [
        "bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc",
        "--cap-add", "CAP_SYS_ADMIN", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
        "--tmpfs", "/tmp", "--tmpfs", "/var/tmp",
        *(part for path in KEPT for part in ("--ro-bind", path, path)),
        "--bind", str(work), "/mnt", "--chdir", "/mnt",
    ]  # fmt: skip


# --- inside the bubble ----------------------------------------------------------------------------


def main() -> None:
    cases = json.load(sys.stdin)
    answer = os.dup(1)
    os.dup2(2, 1)
    # What the control and the answers import, once for all cases; torch's optimizers import
    # torch._dynamo when they first step.
    import bitsandbytes  # noqa: F401
    import control
    import peft  # noqa: F401
    import psutil
    import torch._dynamo  # noqa: F401

    own = psutil.Process().memory_info().rss
    results: dict[str, dict] = {}
    running: dict[str, tuple[psutil.Process, float]] = {}
    waiting = list(reversed(cases))
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            name = waiting.pop()
            pid = _start(control, Path("/mnt") / name)
            running[name] = (psutil.Process(pid), time.monotonic() + PATIENCE)
        for name, (process, deadline) in list(running.items()):
            end = _state(process, deadline, own)
            if end:
                for victim in process.children():  # PID 1 of the namespace takes all with it
                    victim.kill()
                os.waitpid(process.pid, 0)
                collected = Path("/mnt") / name / "collected.txt"
                output = collected.read_bytes() if collected.exists() else None
                text = None if output is None else output.decode(errors="replace")
                results[name] = {"end": end, "output": text}
                del running[name]
        time.sleep(0.04)
    os.write(answer, json.dumps(results).encode())


def _state(process, deadline: float, own: int) -> str | None:
    """How a case has ended, or None: "done", "time" or "memory"."""
    import psutil

    if process.status() == psutil.STATUS_ZOMBIE:
        return "done"
    if time.monotonic() > deadline:
        return "time"
    for child in process.children(recursive=True):
        try:
            memory, cpu = child.memory_info().rss - own, sum(child.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
        if memory > MEMORY:
            return "memory"
        if cpu > CPU:
            return "time"
    return None


def _start(control, folder: Path) -> int:
    """Fork the process that enters new namespaces; its child is PID 1 there."""
    outer = os.fork()
    if outer:
        return outer
    os.closerange(3, 4096)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC) == 0
    assert libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0
    kept = [(path, os.open(path, os.O_PATH)) for path in KEPT]
    for place in (b"/tmp", b"/dev/shm"):
        assert libc.mount(b"tmpfs", place, b"tmpfs", 0, b"size=64m") == 0
    for path, fd in kept:
        os.makedirs(path, exist_ok=True)
        seen = f"/proc/self/fd/{fd}".encode()
        assert libc.mount(seen, path.encode(), None, MS_BIND | MS_REC, None) == 0
        os.close(fd)
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        os._exit(0)
    # PID 1: wait for the process that collects the marks, then end, and all others with it.
    assert libc.mount(b"proc", b"/proc", b"proc", 0, None) == 0
    os.setsid()  # signals to a process group do not stop at a namespace
    collector = os.fork()
    if collector == 0:
        _collect(control, folder)
    os.waitpid(collector, 0)
    os._exit(0)


def _collect(control, folder: Path) -> None:
    """Run the control as a child and keep what it prints, as ``subprocess.run`` does."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(writer, 1)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * MEGABYTE, 64 * MEGABYTE))
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        os.environ.update(
            HOME=str(folder / "home"),
            GRADER_KEY=str(folder / "grader" / "answer_key.py"),
            GRADER_TOKEN="BREACH-token",
        )
        sys.argv = [str(folder / "grader" / "grade.py")]
        os.chdir(folder / "grader")
        try:
            control.grade(folder / "class", folder / "grader" / "lab.ipynb")
        finally:
            # The interpreter's ordinary end, also after an exception, without the second that it
            # takes to tear torch down.
            threading._shutdown()
            atexit._run_exitfuncs()
            sys.stdout.flush()
            os._exit(0)
    os.close(writer)
    kept = b""
    while part := os.read(reader, 1 << 16):
        kept = (kept + part)[-MEGABYTE:]
    (folder / "collected.txt").write_bytes(kept)
    os.waitpid(child, 0)
    os._exit(0)


if __name__ == "__main__":
    main()
