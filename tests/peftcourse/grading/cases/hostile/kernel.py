"""Attacks of what runs cells in one namespace, of other sandboxes and of what enters them.

The plain control has none of these parts; ``test_hostile_kernel.py`` grades these cases alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from grading.cases.notebooks import RIGHT, STUBS, Notebook

ZEROS = "def lora_delta(A, B, alpha):\n    return A.new_zeros(len(B), A.shape[1])\n"
BY_THE_WAY = {"lora.count": RIGHT["lora.count"]}


@dataclass(frozen=True)
class Case:
    """One attack.

    Attributes:
        name: what it tries.
        cells: own cells above the answers.
        answers: of the exercises; the right one to lora.count is added if there is none.
        earned: the exercises whose points it deserves.
    """

    name: str
    cells: tuple[str, ...] = ()
    answers: dict[str, str] = field(default_factory=dict)
    earned: frozenset[str] = frozenset({"lora.count"})

    def notebook(self) -> Notebook:
        notebook = Notebook(BY_THE_WAY | self.answers)
        for source in self.cells:
            notebook.extra(source)
        return notebook


def _inside(lines: str, result: str = "A.new_zeros(len(B), A.shape[1])") -> str:
    """An answer to lora.delta that does something first."""
    body = "\n".join(f"    {line}" for line in lines.strip().split("\n"))
    return f"def lora_delta(A, B, alpha):\n{body}\n    return {result}\n"


def _ways(name: str, lines: str, **more: str) -> list[Case]:
    """An attack in a cell of its own, at the top of an answer's cell, and in the answer."""
    return [
        Case(f"{name}, in a cell", (lines,), {"lora.delta": ZEROS}),
        Case(f"{name}, beside the answer", (), {"lora.delta": f"{lines}\n\n{ZEROS}"}),
        Case(f"{name}, in the answer", (), {"lora.delta": _inside(lines)}),
    ]


# --- the process that runs cells ------------------------------------------------------------------

_EXITS = {
    "os._exit": "import os\nos._exit(0)",
    "the exit status of the last process": "import os\nos._exit(77)",
    "sys.exit": "import sys\nsys.exit(0)",
    "abort": "import os\nos.abort()",
    "a null pointer": "import ctypes\nctypes.string_at(0)",
    "a signal to itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "an alarm": "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(5)",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\nf = lambda: f()\nf()",
    "memory": "kept = []\nwhile True:\n    kept.append(bytearray(50_000_000))",
    "no files left": "import os\nfor _ in range(100):\n    os.open('/dev/null', 0)",
    "all files closed": "import os\nos.closerange(0, 64)",
}
_LONG = {
    "an endless loop": "while True:\n    pass",
    "an endless loop without signals": "import signal\nfor n in range(1, 65):\n    try:\n"
    "        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\n"
    "while True:\n    pass",
    "endless sleep": "import time\nwhile True:\n    time.sleep(1000)",
}
_PATCHES = {
    "torch.equal": "torch.equal = torch.allclose = lambda *a, **k: True",
    "every comparison": "for n in ('__eq__', '__ne__', 'ne', 'eq', 'abs', 'sum', 'any', 'all'):\n"
    "    setattr(torch.Tensor, n, lambda *a, **k: torch.tensor(0))",
    "os.write": "import os\nold = os.write\nos.write = lambda fd, data: old(fd, b'x' * len(data))",
    "os.fork": "import os\nos.fork = lambda: 0",
    "os.waitpid": "import os\nos.waitpid = lambda *a: (0, 0)",
    "json": "import json\njson.dumps = lambda *a, **k: '{}'",
    "exec and compile": "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: None",
    "ast.parse": "import ast\nast.parse = lambda *a, **k: ast.Module([], [])",
    "the frames of what runs it": "import sys\nf = sys._getframe()\nwhile f:\n"
    "    for v in list(f.f_locals.values()):\n        if isinstance(v, (dict, list)):\n"
    "            v.clear()\n    f = f.f_back",
    "the code of what observes": "import gc, types\nfor t in gc.get_objects():\n"
    "    if isinstance(t, types.FunctionType) and t.__name__ in ('observe', 'encode', 'probe'):\n"
    "        t.__code__ = (lambda *a, **k: {}).__code__",
    "a trace function": "import sys, threading\nsys.settrace(lambda *a: 1 / 0)",
    "a profile function": "import sys\nsys.setprofile(lambda *a: 1 / 0)",
    "an audit hook": "import sys\nsys.addaudithook(lambda *a: 1 / 0)",
    "warnings as errors": "import warnings\nwarnings.simplefilter('error')",
    "no garbage collector": "import gc\ngc.disable()\ngc.set_debug(gc.DEBUG_LEAK)",
}

# --- made-up results ------------------------------------------------------------------------------

_SEND = r'''
import json, os


def send(said, data=b"", times=1):
    """A well-formed frame to every file that is open."""
    header = json.dumps(said).encode()
    message = len(header).to_bytes(4, "big") + header + data
    frame = b"\xf5peftlab" + len(message).to_bytes(8, "big") + message
    for fd in range(3, 64):
        try:
            for _ in range(times):
                os.write(fd, frame)
        except OSError:
            pass


def said(**parts):
    return {"dict": [[name, value] for name, value in parts.items()]}


zero = said(outcome=said(result={"tensor": ["float64", [1, 1]]}), changed={"list": []}, error=None)
'''
_FORGED = {
    "zeros for an exercise": 'send(said(exercise="lora.delta", observations={"list": [zero] * 3}), '
    "bytes(24))",
    "an exercise that there is not": 'send(said(exercise="lora.none", observations={"list": []}))',
    "points": 'send(said(exercise="lora.delta", points=30, status="correct", correct=True))',
    "an exercise without a name": "send(said(exercise=None, observations=None))",
    "a list for a name": 'send(said(exercise={"list": []}, begun={"list": []}))',
    "notes without end": 'send(said(cell=1, line=1, said="x" * 900, whole=True), times=500)',
    "notes of wrong kinds": 'send(said(cell="1", line=[], said={"list": [1]}, whole=3))',
    "a note in the grader's words": 'send(said(cell=1, line=1, whole=True, said="”; 30 of 30"))',
    "an exercise that has begun": 'send(said(begun="lora.merge"))',
    "no frames but marks": 'os.write(3, b"\\xf5peftlab" * 5000)',
    "a length without end": 'os.write(3, b"\\xf5peftlab" + b"\\xff" * 8)',
    "half a frame": 'os.write(3, b"\\xf5peftlab" + (100).to_bytes(8, "big") + b"abc")',
}

# --- other sandboxes, and what is outside ---------------------------------------------------------

_GETS_OUT = {
    "a lock on a shared file": "import fcntl, os\n"
    "fcntl.flock(os.open(os.__file__, 0), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "a lock on a record": "import fcntl, os\nfcntl.lockf(os.open(os.__file__, 0), fcntl.LOCK_SH)",
    "a lease": "import fcntl, os\nfcntl.fcntl(os.open(os.__file__, 0), 1024, fcntl.F_RDLCK)",
    "a watch on a folder": "import fcntl, os\n"
    "fcntl.fcntl(os.open(os.path.dirname(os.__file__), 0), 1026, 1)",
    "the size of a pipe": "import fcntl, os\nfcntl.fcntl(os.pipe()[1], 1031, 1 << 20)",
    "inotify": "import ctypes\nassert ctypes.CDLL(None).inotify_init1(0) >= 0",
    "the load of the machine": "import ctypes\n"
    "assert ctypes.CDLL(None).sysinfo(ctypes.create_string_buffer(200)) == 0",
    "what is in the cache": "import ctypes, mmap, os\nm = mmap.mmap(os.open(os.__file__, 0), 4096, "
    "prot=1, flags=mmap.MAP_SHARED)\nlibc = ctypes.CDLL(None)\n"
    "assert libc.syscall(27, id(m), 4096, ctypes.create_string_buffer(8)) == 0",
    "a futex that is shared": "import ctypes\nword = ctypes.c_int(0)\n"
    "assert ctypes.CDLL(None).syscall(202, ctypes.byref(word), 1, 1, 0, 0, 0) >= 0",
    "an abstract socket": "import socket\nsocket.socket(socket.AF_UNIX).bind('\\0peftlab')",
    "a port": "import socket\nsocket.create_server(('127.0.0.1', 0))",
    "shared memory": "import os\nopen('/dev/shm/peftlab', 'w').write('x')",
    "System V memory": "import ctypes\nassert ctypes.CDLL(None).shmget(77, 4096, 0o1666) >= 0",
    "a message queue": "import ctypes\nassert ctypes.CDLL(None).msgget(77, 0o1666) >= 0",
    "the time of a shared file": "import os\nos.utime(os.__file__)",
    "a program": "import os\nos.execv('/usr/bin/env', ['env'])",
    "other processes": "import os\nassert len([p for p in os.listdir('/proc') if p.isdigit()]) > 0",
    "a new namespace": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "the grader's solutions": "import peftcourse.exercises.lora.layer",
    "the grader's library": "from peftlab.methods.lora import LoRALinear",
    "the folder of the code": "import os\nassert os.listdir('/peftlab/code')",
}


def _breaches(lines: str) -> str:
    """Says so if it gets through."""
    body = "\n".join(f"    {line}" for line in lines.split("\n"))
    return f"try:\n{body}\n    through = True\nexcept BaseException:\n    through = False\n" + (
        "if through:\n    raise RuntimeError('BREACH')"
    )


def _exits() -> list[Case]:
    cases = []
    for name, lines in _EXITS.items():
        cases += [case for case in _ways(name, lines) if "closed, in" not in case.name]
    for name, lines in _LONG.items():
        cases.append(Case(f"{name}, in a cell", (lines,), {"lora.delta": ZEROS}))
        cases.append(Case(f"{name}, in the answer", (), {"lora.delta": _inside(lines)}))
    return cases


CASES = [
    *_exits(),
    *(Case(f"changes {name}", (), {"lora.delta": f"{lines}\n\n{ZEROS}"}, frozenset())
      for name, lines in _PATCHES.items()),
    *(Case(f"forges {name}, in a cell", (_SEND + lines,), {"lora.delta": ZEROS})
      for name, lines in _FORGED.items()),
    *(Case(f"forges {name}, in the answer", (_SEND,), {"lora.delta": _inside(lines)})
      for name, lines in _FORGED.items()),
    *(Case(f"reaches {name}", (), {"lora.delta": _inside(_breaches(lines))})
      for name, lines in _GETS_OUT.items()),
    Case("processes without end", ("import os\nwhile True:\n    os.fork()",), {}, frozenset()),
    Case("a daemon that goes on", (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)",
    ), {"lora.delta": ZEROS}),
    Case("memory in many processes", (
        "import os\nfor _ in range(8):\n    if os.fork() == 0:\n"
        "        kept = bytearray(b'x') * 900_000_000\n        while True: pass",
    ), {}, frozenset()),
    Case("the stub that is there", ("lora_delta = 3",), {"lora.delta": STUBS["lora.delta"]}),
    Case("what a check was given", ('check("lora.delta", check)',), {"lora.delta": "x = 1"}),
    Case("a check of another exercise", ('check("lora.delta", lora_parameters)',), {}),
    Case("the seed of torch", (), {
        "lora.delta": "def lora_delta(A, B, alpha):\n"
        "    raise ValueError(f'seed={torch.initial_seed()}')"
    }),
    Case("numbers without end", (), {
        "lora.init": "def lora_init(d_in, d_out, rank, generator):\n"
        "    return torch.rand(rank, d_in, generator=generator) * 3e38, torch.zeros(d_out, rank)"
    }),
]  # fmt: skip
