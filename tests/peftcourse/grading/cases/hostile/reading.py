"""Attacks that look for the right answers: in files, in memory, with others, in libraries."""

from __future__ import annotations

import json

from grading.cases.hostile.base import GAINS, Hostile, attack
from grading.cases.notebooks import EXERCISES, RIGHT, Notebook

# Runs a text that should define the answers, and returns one of them, or a wrong answer.
_USE = """
import gc, inspect, json, os, sys
from pathlib import Path


def use(text, name="lora_delta"):
    lines = [line for line in text.split("\\n") if "__future__" not in line]
    space = {"contextlib": contextlib, "math": math, "torch": torch, "F": F, "nn": nn}
    space["Tensor"] = torch.Tensor
    exec("\\n".join(lines), space)
    return space[name]


def zeros(A, B, alpha):
    return A.new_zeros(len(B), A.shape[1])


def lora_delta(A, B, alpha):
    return (find() or zeros)(A, B, alpha)

"""
_NEEDED = "contextlib, math, F, nn\n"  # so that the names above are provided


def _search(find: str) -> str:
    return _USE + _NEEDED + "\n" + find.strip("\n")


CASES = [
    attack(
        "reads-the-key-beside-the-grader",
        GAINS,
        _search("""
def find():
    folders = [Path(sys.argv[0] or ".").parent, Path.cwd(), *map(Path, sys.path)]
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None):
            folders.append(Path(module.__file__).parent)
    for folder in dict.fromkeys(folders):
        for name in ("answer_key.py", "layer.py", "solutions.py"):
            try:
                return use((folder / name).read_text())
            except (OSError, KeyError, ImportError):
                pass
"""),
    ),
    attack(
        "reads-the-published-solutions",
        GAINS,
        _search("""
def find():
    for path in ("@ROOT@/solutions/03_lora.ipynb", "@REPOSITORY@/solutions/03_lora.ipynb"):
        try:
            cells = json.loads(Path(path).read_text())["cells"]
        except OSError:
            continue
        for cell in cells:
            text = "".join(cell["source"])
            if text.startswith("def lora_delta"):
                return use(text)
"""),
    ),
    attack(
        "searches-all-files",
        GAINS,
        _search("""
def find():
    import time
    end = time.monotonic() + 1
    for start in ("@HOME@", "@REPOSITORY@/src", "@ROOT@", "/home", "/tmp", "/srv", "/run", "/"):
        for folder, folders, files in os.walk(start):
            folders[:] = [name for name in folders if name not in ("proc", "sys", "torch")]
            for name in files:
                if time.monotonic() > end:
                    return
                if not name.endswith((".py", ".md", ".ipynb")):
                    continue
                try:
                    text = Path(folder, name).read_text()
                    if "def lora_delta" in text:
                        return use(text)
                except Exception:
                    pass
"""),
    ),
    attack(
        "finds-the-solution-by-gc",
        GAINS,
        _search("""
def find():
    for thing in gc.get_objects():
        if inspect.isfunction(thing) and thing.__name__ == "lora_delta":
            if thing.__globals__ is not globals():
                return thing
"""),
    ),
    attack(
        "finds-the-exercise-by-gc",
        GAINS,
        _search("""
def find():
    for thing in gc.get_objects():
        if type(thing).__name__ == "Exercise" and thing.id == "lora.delta":
            return thing.solution
"""),
    ),
    attack(
        "finds-the-solution-in-the-frames",
        GAINS,
        """
import sys


def lora_delta(A, B, alpha):
    frame = sys._getframe(1)
    while frame:
        for place in (frame.f_locals, frame.f_globals):
            for value in list(place.values()):
                for name in ("solution", "reference", "lora_delta"):
                    found = getattr(value, name, None)
                    if callable(found):
                        return found(A, B, alpha)
        frame = frame.f_back
    return A.new_zeros(len(B), A.shape[1])
""",
    ),
    attack(
        "finds-the-solution-in-sys-modules",
        GAINS,
        _search("""
def find():
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("answers", "grading", "peftcourse", "answer_key", "probes"):
            for exercise in vars(module).get("EXERCISES", {}).values():
                if exercise.id == "lora.delta":
                    return exercise.solution
            if hasattr(module, "lora_delta"):
                return module.lora_delta
"""),
    ),
    attack(
        "reads-the-environment",
        GAINS,
        _search("""
def find():
    texts = [json.dumps(dict(os.environ))]
    for pid in ("self", "1", str(os.getppid())):
        try:
            texts.append(Path(f"/proc/{pid}/environ").read_text())
        except OSError:
            pass
    for text in texts:
        if "BREACH-token" in text:
            path = os.environ.get("GRADER_KEY")
            if path is None:
                raise ValueError("BREACH: the environment of the grader")
            return use(Path(path).read_text())
"""),
    ),
    attack(
        "reads-the-home-folder",
        GAINS,
        _search("""
def find():
    for home in (Path("~").expanduser(), Path("@HOME@"), Path("/root"), *Path("/home").glob("*")):
        try:
            for path in home.rglob("*key.py"):
                return use(path.read_text())
            if (home / "canary.txt").exists():
                raise ValueError("BREACH: a file in the home folder")
        except OSError:
            pass
"""),
    ),
    attack(
        "copies-another-submission",
        GAINS,
        _search("""
def find():
    for start in (Path("@CLASS@"), Path.cwd().parent, Path("/proc/1/cwd")):
        try:
            paths = sorted(start.rglob("*.ipynb"))
        except OSError:
            continue
        for path in paths:
            if "zz-victim" in str(path):
                for cell in json.loads(path.read_text())["cells"]:
                    text = "".join(cell["source"])
                    if text.startswith("def lora_delta"):
                        return use(text)
"""),
    ),
    attack(
        "calls-peftcourse",
        GAINS,
        "from peftcourse.exercises import find\n\nlora_delta = find('lora.delta').solution",
    ),
    attack(
        "calls-peftlab",
        GAINS,
        """
from peftlab.methods.lora import LoRAConfig, LoRALinear


def lora_delta(A, B, alpha):
    base = nn.Linear(A.shape[1], len(B), dtype=A.dtype)
    layer = LoRALinear(base, LoRAConfig(rank=len(A), alpha=alpha))
    layer.A.data, layer.B.data = A, B
    return layer.delta_weight().detach()
""",
    ),
    attack(
        "calls-peft",
        GAINS,
        """
from peft import LoraConfig, get_peft_model


def lora_delta(A, B, alpha):
    model = nn.Sequential(nn.Linear(A.shape[1], len(B), dtype=A.dtype))
    config = LoraConfig(r=len(A), lora_alpha=alpha, target_modules=["0"])
    get_peft_model(model, config, adapter_name="x", autocast_adapter_dtype=False)
    layer = model[0]
    layer.lora_A["x"].weight.data = A
    layer.lora_B["x"].weight.data = B
    return layer.get_delta_weight("x").detach()
""",
    ),
    attack(
        "calls-bitsandbytes",
        GAINS,
        """
import bitsandbytes as bnb


def lora_delta(A, B, alpha):
    library = bnb.functional.torch
    return alpha / len(A) * library.matmul(B, A)
""",
    ),
    attack(
        "calls-the-library-under-another-name",
        GAINS,
        """
import importlib, sys

sys.path += ["@REPOSITORY@/src", "."]


def lora_delta(A, B, alpha):
    library = importlib.import_module("peft" + "course.exercises.lora.layer")
    return library.lora_delta(A, B, alpha)
""",
    ),
]

# Two notebooks work together: the one that can leaves its answer for the one that cannot.
_LEAVES = (
    RIGHT["lora.delta"]
    + """

import shutil

for folder in ("/tmp", "/dev/shm", "/var/tmp", ".", "@HOME@"):
    try:
        with open(f"{folder}/handed-over.py", "w") as file:
            file.write("def lora_delta(A, B, alpha):\\n    return alpha / len(A) * (B @ A)\\n")
    except OSError:
        pass
"""
)
_FINDS = _search("""
def find():
    for folder in ("/tmp", "/dev/shm", "/var/tmp", ".", "@HOME@"):
        try:
            return use(Path(folder, "handed-over.py").read_text())
        except OSError:
            pass
""")
CASES.append(
    Hostile(
        "leaves-files-for-the-next",
        GAINS,
        {
            "a-leaves.ipynb": json.dumps(
                Notebook(RIGHT | {"lora.delta": _LEAVES}).content
            ).encode(),
            "b-finds.ipynb": json.dumps(Notebook({"lora.delta": _FINDS}).content).encode(),
        },
        {"a-leaves.ipynb": frozenset(EXERCISES), "b-finds.ipynb": frozenset()},
        "b-finds.ipynb",
    )
)
