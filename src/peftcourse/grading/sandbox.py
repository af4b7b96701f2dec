"""A warm process behind a wall, which runs strangers' code and sends back plain bytes.

Bubblewrap makes the wall: a root of its own with the interpreter, torch and numpy to read, an empty
/tmp to write, no network, no environment, no other processes. Inside it `worker.py` has imported
torch and forks a child for each submission, which takes away from itself what is left
(`lockdown.py`) and runs the cells (`kernel.py`).
"""

from __future__ import annotations

import functools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from peftcourse.grading.visible import SandboxError, input_transformer, visible_paths

# Inside the wall.
CODE, SITE, WORK = "/peftlab/code", "/peftlab/site", "/tmp"
# Imported before the first answer comes; the optimizers import torch._dynamo when they first step.
PRELOAD = (
    "numpy",
    "torch._dynamo",
    "torch.nn.functional",
    "torch.nn.utils",
    "torch.optim",
    "contextlib",
    "math",
    "pathlib",
    "tempfile",
    "typing",
)
_HERE = Path(__file__).parent
WORKER_FILES = {
    name: _HERE / f"{name}.py" for name in ("worker", "kernel", "stand_ins", "lockdown", "wire")
} | {"observe": _HERE.parent / "exercises" / "observe.py"}

# How a submission ends; the first two are the worker's words for it.
DONE, TIME, LOST = "done", "time", "lost"
START = 120.0  # seconds within which torch has to be imported
GRACE = 5.0  # seconds beyond a time limit after which the server itself is taken for dead
MAX_REPLY = 49 << 20  # bytes: the results of a submission and one line

# From 23.10 on, Ubuntu lets no ordinary user's program make the namespaces that bubblewrap needs.
USERNS = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
ALLOW_USERNS = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"

NO_BUBBLEWRAP = (
    "answers are strangers' code, and bubblewrap, which would keep them away from your files and "
    "network, {why}. Install it (on Debian and Ubuntu: apt-get install bubblewrap), or add "
    "--unsafe if you trust every author."
)


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        seconds: by the clock, for one cell and for one exercise.
        budget: seconds by the clock, for all of them together.
        memory: bytes of address space beyond those of Python with torch, for one process; twice as
            many bytes of memory for all of them together.
        file_size: bytes of any one file in its /tmp, which holds 16 MiB altogether.
    """

    seconds: float = 10.0
    budget: float = 60.0
    memory: int = 1 << 30
    file_size: int = 8 << 20


@dataclass(frozen=True)
class Ran:
    """What came of one request.

    Attributes:
        end: ``done``, ``time``, ``died``, ``too much`` or ``memory`` (the constants of
            ``worker.py``), or ``lost``: the server itself is gone.
        status: the exit status; a negative one is the signal that ended it.
        data: what the submission's processes wrote until then. It may be anything.
    """

    end: str
    status: int
    data: bytes


@functools.cache
def why_no_bubblewrap() -> str | None:
    """None if bubblewrap works on this machine, else what is wrong, to follow its name."""
    program = shutil.which("bwrap")
    if sys.platform != "linux":
        return f"does not exist for {sys.platform}"
    if program is None:
        return "is not installed"
    trial = subprocess.run(
        [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"],
        env={},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if trial.returncode:
        lines = trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"]
        why = f"does not work here ({lines[-1]})"
        if USERNS.is_file() and USERNS.read_text(encoding="ascii").strip() == "1":
            why += f": Ubuntu forbids what it is made of, and `{ALLOW_USERNS}` allows it"
        return why
    return None


class Sandbox:
    """One warm server; a context manager.

    Args:
        probes: files of probe modules by the name under which requests ask for them.
        packages: distributions that answers may import; their requirements come along.
        limits: what one submission may use.
        unsafe: without bubblewrap, with the limits alone.

    Raises:
        SandboxError: there is no bubblewrap and ``unsafe`` is not set, or torch does not start.
    """

    def __init__(
        self,
        probes: Mapping[str, Path],
        *,
        packages: Sequence[str] = ("torch", "numpy"),
        limits: Limits | None = None,
        unsafe: bool = False,
    ) -> None:
        if os.name != "posix":
            raise SandboxError("grading needs Linux or macOS; on Windows, use WSL.")
        why = why_no_bubblewrap()
        if why and not unsafe:
            raise SandboxError(NO_BUBBLEWRAP.format(why=why))
        self.limits = limits or Limits()
        self._probes = dict(probes)
        self._packages = tuple(packages)
        self._walled = not unsafe
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._site: tempfile.TemporaryDirectory[str] | None = None
        # What the server found that it can do to a child: "namespaces" and "filter".
        self.protections: dict[str, bool] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def single_use(self) -> bool:
        """Whether children have no namespaces of their own, so that each needs a new sandbox."""
        return self._walled and not self.protections.get("namespaces", False)

    def start(self) -> None:
        """Start the server, and wait until it has imported torch."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the server
        process = subprocess.Popen(
            [*self._command(), json.dumps(self._config())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            pass_fds=self._fds,
            # Bubblewrap stays as the first process inside; its environment can be seen there.
            env=_ENVIRONMENT,
            start_new_session=True,
            cwd="/",
        )
        self._process = process
        for fd in self._fds:
            os.close(fd)
        hello = self._reply(time.monotonic() + START)
        if hello is None:
            said = self._said()
            self.close()
            raise SandboxError(f"the sandbox does not start: {said}")
        self.protections = json.loads(hello[0])

    def run(self, request: bytes, budget: float | None = None) -> Ran:
        """Send one request and wait for what comes of it.

        Args:
            request: what ``kernel.py`` reads.
            budget: seconds that it may take; those of the limits if left out.
        """
        budget = self.limits.budget if budget is None else budget
        if self._process is None:
            self.start()
        try:
            self._send(int(1000 * budget).to_bytes(8, "big") + request)
            reply = self._reply(time.monotonic() + budget + GRACE)
        except (BrokenPipeError, ConnectionResetError):
            reply = None
        if reply is None:  # the server is gone or hangs, and with it the answer
            self.close()
            return Ran(LOST, 0, b"")
        head, body = reply
        if self.single_use:
            self.close()
        said = json.loads(head)
        return Ran(said["end"], said["status"], bytes(body))

    def close(self) -> None:
        """End the server and everything that it started."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                pipe.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None
        if self._site is not None:
            self._site.cleanup()
            self._site = None

    # --- how it is started ------------------------------------------------------------------------

    def _config(self) -> dict[str, Any]:
        inside = self._walled
        return {
            "code": CODE if inside else self._site.name,
            "packages": [SITE if inside else f"{self._site.name}/site"],
            "preload": PRELOAD,
            "probes": list(self._probes),
            "budget": self.limits.budget,
            "memory": self.limits.memory,
            "file_size": self.limits.file_size,
            "work": WORK,
        }

    def _command(self) -> list[str]:
        files = {**WORKER_FILES, **self._probes}
        python = os.path.realpath(sys.executable)
        visible = (*visible_paths(self._packages), input_transformer())
        self._fds: tuple[int, ...] = ()
        if not self._walled:
            self._site = tempfile.TemporaryDirectory(prefix="peftlab-worker-")
            folder = Path(self._site.name)
            (folder / "site").mkdir()
            for name, path in files.items():
                shutil.copy(path, folder / f"{name}.py")
            for path in visible:
                (folder / "site" / path.name).symlink_to(path)
            return [python, "-I", "-S", "-B", str(folder / "worker.py")]
        options = list(_wall(Path(python)))
        for name, path in files.items():
            options += ["--ro-bind", str(path.resolve()), f"{CODE}/{name}.py"]
        for path in visible:
            options += ["--ro-bind", str(path), f"{SITE}/{path.name}"]
        options += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]
        # Through a file, because a command line can be read inside and would name our folders.
        with tempfile.TemporaryFile() as given:
            given.write(b"".join(os.fsencode(option) + b"\0" for option in options))
            given.seek(0)
            self._fds = (os.dup(given.fileno()),)
        bwrap = shutil.which("bwrap")
        return [bwrap, "--args", str(self._fds[0]), python, "-I", "-S", "-B", f"{CODE}/worker.py"]

    # --- talking to it ----------------------------------------------------------------------------

    def _send(self, request: bytes) -> None:
        view = memoryview(len(request).to_bytes(8, "big") + request)
        while view:
            view = view[self._process.stdin.write(view) :]

    def _reply(self, deadline: float) -> tuple[bytes, memoryview] | None:
        """One reply as its line of JSON and the rest; None at the end of the stream or of time."""
        head = self._read(8, deadline)
        if head is None or (length := int.from_bytes(head, "big")) > MAX_REPLY:
            return None
        frame = self._read(length, deadline)
        if frame is None:
            return None
        line = frame.index(b"\n")
        return bytes(frame[:line]), memoryview(frame)[line + 1 :]

    def _read(self, count: int, deadline: float) -> bytearray | None:
        data, pipe = bytearray(), self._process.stdout
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return None
            part = pipe.read(min(count - len(data), 1 << 20))
            if not part:
                return None
            data += part
        return data

    def _said(self) -> str:
        """The last line that the server wrote to its standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word."


# Nothing of the grader's own environment. One thread: two servers on two cores would only wait for
# each other. No GPU: answers are small, and a device is one more way out.
_ENVIRONMENT = {
    "HOME": WORK,
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",  # threads do not survive the fork that follows each cell
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PATH": "/nowhere",
    "TORCHINDUCTOR_CACHE_DIR": f"{WORK}/inductor",
}


def _wall(python: Path) -> Iterator[str]:
    """Options of bubblewrap for a root with this interpreter and the system's libraries."""
    yield from ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net")
    yield from ("--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session")
    yield from ("--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--clearenv")
    for name, value in _ENVIRONMENT.items():
        yield from ("--setenv", name, value)
    system = [Path(path) for path in ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store")]
    for path in (Path("/lib"), Path("/lib64"), Path("/lib32")):
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), str(path))
        elif path.is_dir():
            system.append(path)
    own = Path(sys.base_prefix).resolve() / "lib"
    shown = [path for path in system if path.is_dir()]
    if own.is_dir() and not any(own.is_relative_to(path) for path in shown):
        shown.append(own)
    for path in shown:
        yield from ("--ro-bind", str(path), str(path))
    for file in ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/alternatives"):
        yield from ("--ro-bind-try", file, file)
    # Installed packages lie below these; an answer is to see none but those bound one by one.
    for path in shown:
        for folder in sorted(path.glob("python*/*-packages")):
            yield from ("--tmpfs", str(folder))
    yield from ("--ro-bind", str(python), str(python))
    yield from ("--proc", "/proc", "--dev", "/dev", "--tmpfs", WORK)
    yield from ("--setenv", "PYTHONHOME", str(Path(sys.base_prefix).resolve()))
