"""Attacks that end, stop or starve the process that grades."""

from __future__ import annotations

from grading.cases.hostile.base import BREAKS, attack
from grading.cases.notebooks import RIGHT

_DELTA = RIGHT["lora.delta"]


def _in_the_answer(lines: str) -> str:
    """An answer that does this when it is called, and then returns zeros."""
    body = "\n".join(f"    {line}" for line in lines.strip().split("\n"))
    return f"def lora_delta(A, B, alpha):\n{body}\n    return torch.zeros(len(B), A.shape[1])\n"


CASES = [
    # --- time ---
    attack("infinite-loop", BREAKS, _in_the_answer("while True:\n    pass")),
    attack("infinite-loop-in-the-cell", BREAKS, f"{_DELTA}\nwhile True:\n    pass"),
    attack("infinite-loop-in-another-answer", BREAKS, "while 1: 1", on="lora.merge"),
    attack(
        "infinite-loop-that-catches-all",
        BREAKS,
        _in_the_answer(
            "while True:\n    try:\n        while True:\n            pass\n"
            "    except BaseException:\n        pass"
        ),
    ),
    attack(
        "infinite-names",
        BREAKS,
        "import itertools\n\n\ndef inject(model, targets, wrap):\n"
        "    return itertools.cycle(['q_proj'])",
        on="lora.inject",
    ),
    attack(
        "signals-ignored",
        BREAKS,
        _in_the_answer(
            "import signal\nfor number in range(1, 65):\n    try:\n"
            "        signal.signal(number, signal.SIG_IGN)\n"
            "    except (OSError, ValueError):\n        pass\nwhile True:\n    pass"
        ),
    ),
    attack(
        "asleep-in-c-with-the-lock",
        BREAKS,
        _in_the_answer("import ctypes\nctypes.PyDLL(None).sleep(1000)"),
    ),
    attack(
        "stops-itself",
        BREAKS,
        _in_the_answer(
            "import ctypes, os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGSTOP)\n"
            "finally:\n    signal.pause()"
        ),
    ),
    attack(
        "endless-output",
        BREAKS,
        _in_the_answer("while True:\n    print('x' * 1_000_000)"),
    ),
    attack(
        "endless-text-of-an-error",
        BREAKS,
        "class Sly(Exception):\n    def __str__(self):\n        while True:\n            pass\n\n\n"
        + _in_the_answer("raise Sly"),
    ),
    attack(
        "endless-goodbye",
        BREAKS,
        "class Sticky:\n    def __del__(self):\n        while True:\n            pass\n\n\n"
        "def lora_delta(A, B, alpha):\n    return Sticky()",
    ),
    # --- processes and threads ---
    attack(
        "fork-bomb",
        BREAKS,
        # As root no limit on processes holds in the control, so the bomb goes off 200 times and
        # its parts wait; where a fork is refused, nothing is left of it.
        _in_the_answer(
            "import os, time\nfor _ in range(200):\n    if os.fork() == 0:\n"
            "        time.sleep(1000)\nwhile True:\n    time.sleep(1000)"
        ),
    ),
    attack(
        "daemon",
        BREAKS,
        _in_the_answer(
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
            "        time.sleep(1000)\n    os._exit(0)"
        ),
    ),
    attack(
        "thread-that-outlives-the-cell",
        BREAKS,
        "import threading, time\n\n\ndef wait():\n    while True:\n        time.sleep(1)\n\n\n"
        f"threading.Thread(target=wait).start()\n{_DELTA}",
        earns_it=True,
    ),
    attack(
        "many-threads",
        BREAKS,
        "import threading, time\n"
        + _in_the_answer(
            "for _ in range(2000):\n    threading.Thread(target=time.sleep, args=(1000,)).start()"
        ),
    ),
    attack("os-exit", BREAKS, _in_the_answer("import os\nos._exit(0)")),
    attack("os-exit-in-the-cell", BREAKS, f"import os\n{_DELTA}\nos._exit(0)"),
    attack("system-exit", BREAKS, _in_the_answer("raise SystemExit(0)")),
    attack("keyboard-interrupt", BREAKS, _in_the_answer("raise KeyboardInterrupt")),
    attack(
        "exit-without-an-exception",
        BREAKS,
        "class Quiet(BaseException):\n    pass\n\n\n" + _in_the_answer("raise Quiet"),
    ),
    attack(
        "kills-the-parent",
        BREAKS,
        _in_the_answer("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"),
    ),
    attack(
        "kills-everything",
        BREAKS,
        _in_the_answer(
            "import os, signal\nfor target in (-1, 0, os.getppid(), os.getpid()):\n    try:\n"
            "        os.kill(target, signal.SIGKILL)\n    except OSError:\n        pass"
        ),
    ),
    attack("aborts", BREAKS, _in_the_answer("import os\nos.abort()")),
    # --- memory ---
    attack(
        "memory-bomb",
        BREAKS,
        _in_the_answer("kept = []\nwhile True:\n    kept.append(bytearray(b'x') * 50_000_000)"),
    ),
    attack(
        "memory-bomb-in-torch",
        BREAKS,
        _in_the_answer("kept = []\nwhile True:\n    kept.append(torch.ones(10_000_000))"),
    ),
    attack(
        "shared-memory-bomb",
        BREAKS,
        _in_the_answer(
            "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 50_000_000))\n"
            "    kept[-1].write(b'x' * 50_000_000)"
        ),
    ),
    attack(
        "giant-result",
        BREAKS,
        "def lora_delta(A, B, alpha):\n"
        "    return A.new_zeros(1).expand(8_000_000, len(B), A.shape[1])",
    ),
    attack("recursion-in-python", BREAKS, "import sys\nsys.setrecursionlimit(10**9)\n\n\n"
           "def lora_delta(*args):\n    return lora_delta(*args, 1)"),
    attack(
        "recursion-in-c",
        BREAKS,
        "import sys\n\n\ndef lora_delta(A, B, alpha):\n    sys.setrecursionlimit(10**9)\n"
        "    nested = []\n    for _ in range(1_000_000):\n        nested = [nested]\n"
        "    return repr(nested)",
    ),
    # --- files and limits ---
    attack(
        "fills-the-disk",
        BREAKS,
        _in_the_answer(
            "import os, tempfile\ntry:\n    for i in range(100):\n"
            "        with open(f'{tempfile.gettempdir()}/fill{i}', 'wb', 0) as file:\n"
            "            while file.tell() < 20_000_000:\n"
            "                file.write(bytes(1_000_000))\nexcept OSError:\n    pass"
        ),
    ),
    attack(
        "long-message",
        BREAKS,
        _in_the_answer("raise ValueError('x' * 80_000_000)"),
    ),
    attack("closes-all-files", BREAKS, _in_the_answer("import os\nos.closerange(0, 4096)")),
    attack(
        "opens-all-files",
        BREAKS,
        "import os\nKEPT = []\n"
        + _in_the_answer(
            "try:\n    while True:\n        KEPT.append(os.open('/dev/null', 0))\n"
            "except OSError:\n    pass"
        ),
    ),
    attack(
        "lowers-the-limits",
        BREAKS,
        _in_the_answer(
            "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))"
        ),
    ),
    attack(
        "seccomp-for-the-grader",
        BREAKS,
        _in_the_answer("import ctypes\nctypes.CDLL(None).prctl(22, 1, 0, 0, 0)"),
    ),
    attack("reads-address-zero", BREAKS, _in_the_answer("import ctypes\nctypes.string_at(0)")),
    attack(
        "scribbles-over-memory",
        BREAKS,
        _in_the_answer("import ctypes\nctypes.memset(id(type(A)), 0, 200)"),
    ),
    attack(
        "writes-to-its-own-memory",
        BREAKS,
        _in_the_answer(
            "import sys\nwith open('/proc/self/mem', 'r+b', 0) as memory:\n"
            "    memory.seek(id(type(A)))\n    memory.write(bytes(200))"
        ),
    ),
    # --- values and texts that whoever judges or reports has to survive ---
    attack(
        "text-of-an-error-raises",
        BREAKS,
        "class Sly(Exception):\n    def __str__(self):\n        raise self\n\n\n"
        + _in_the_answer("raise Sly"),
    ),
    attack(
        "number-too-long-to-print",
        BREAKS,
        "class Loud(Exception):\n    def __str__(self):\n        return str(10 ** 5000)\n\n\n"
        + _in_the_answer("raise Loud"),
    ),
    attack(
        "half-a-character",
        BREAKS,
        _in_the_answer(r"raise ValueError('\ud800 \udfff')"),
    ),
    attack("no-python-text", BREAKS, f"{_DELTA}\n'\ud800'", earns_it=True),
    attack("deep-expression", BREAKS, f"{_DELTA}\nx = {'-' * 50_000}1"),
    attack("deep-attributes", BREAKS, f"{_DELTA}\nx = a{'.b' * 100_000}"),
    attack(
        "payload-in-the-result",
        BREAKS,
        "import os\n\n\nclass Payload:\n    def __reduce__(self):\n"
        "        return os._exit, (0,)\n\n\n"
        "def lora_delta(A, B, alpha):\n    return Payload()",
    ),
]  # fmt: skip
