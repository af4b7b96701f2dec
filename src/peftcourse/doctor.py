"""What is installed, what the machine can do, and what of the course runs here.

``peftlab doctor`` must work where things are broken, so this module imports nothing outside the
standard library. What may fail or even crash the interpreter (a package built for another
processor, a driver that does not fit) is tried in child processes, two at once, which print one
JSON line for each answer.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DISTRIBUTIONS = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "tqdm",
    "peft",
    "bitsandbytes",
    "accelerate",
    "matplotlib",
    "ipykernel",
    "jupyterlab",
    "jupyter-book",
    "pytest",
    "nbval",
    "playwright",
)
# Imported in this order in the first child process; some of them can crash it.
MODULES = ("torch", "safetensors", "tokenizers", "transformers", "matplotlib", "ipykernel", "peft")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROBE_SECONDS = 60
GIB = 2**30

TINY = Path(__file__).parent / "data" / "tiny"


# --- child processes -----------------------------------------------------------------------------


def _answer(key: str, value: Any) -> None:
    print(json.dumps({"probe": key, "value": value}), flush=True)


def _one_line(error: BaseException) -> str:
    """An exception in one line, without the pages that some packages print."""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:200]}"


def probe_imports() -> None:
    """Answer, for each of ``MODULES``, None or why it cannot be imported; then the devices."""
    for name in MODULES:
        try:
            importlib.import_module(name)
            _answer(name, None)
        except BaseException as error:
            _answer(name, _one_line(error))
        if name == "torch":
            _answer("accelerators", _accelerators())


def _accelerators() -> list[dict[str, Any]]:
    """The CUDA devices and Apple's GPU, as torch sees them; none if torch is not there."""
    found: list[dict[str, Any]] = []
    try:
        import torch

        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            free, total = torch.cuda.mem_get_info(index)
            found.append(
                {
                    "device": f"cuda:{index}",
                    "name": properties.name,
                    "capability": f"{properties.major}.{properties.minor}",
                    "memory_gib": round(total / GIB, 1),
                    "memory_free_gib": round(free / GIB, 1),
                }
            )
        if torch.backends.mps.is_available():
            found.append({"device": "mps", "name": "Apple GPU"})
    except Exception as error:
        print(_one_line(error), file=sys.stderr)
    return found


def probe_four_bit() -> None:
    """Answer, for each device, None or why 4-bit quantization does not work on it."""
    try:
        import bitsandbytes.functional as bnb
        import torch
    except BaseException as error:
        _answer("cpu", _one_line(error))
        return
    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    for device in devices:
        try:
            weight = torch.linspace(-1, 1, 4096, device=device).reshape(64, 64)
            packed, state = bnb.quantize_4bit(weight, blocksize=64, quant_type="nf4")
            error = (bnb.dequantize_4bit(packed, state) - weight).abs().max().item()
            # NF4's widest gap is the one between -1 and -0.696: rounding errs by at most half.
            if packed.numel() != weight.numel() // 2 or not error < 0.153:
                raise RuntimeError(f"the round trip through NF4 is off by {error:.3f}")
            _answer(device, None)
        except BaseException as error:
            _answer(device, _one_line(error))


PROBES: dict[str, Callable[[], None]] = {"imports": probe_imports, "four_bit": probe_four_bit}


def _start(probe: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "peftcourse.doctor", probe],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _answers(child: subprocess.Popen[str]) -> tuple[dict[str, Any], str | None]:
    """What a child answered, and, if it did not come to its end, why."""
    ended = None
    try:
        output, _ = child.communicate(timeout=PROBE_SECONDS)
        if child.returncode != 0:
            ended = f"the import crashed Python (exit status {child.returncode})"
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        ended = f"the import did not end within {PROBE_SECONDS} s"
    answers = {}
    for line in output.splitlines():
        # Packages print banners, too.
        if line.startswith('{"probe": '):
            answer = json.loads(line)
            answers[answer["probe"]] = answer["value"]
    return answers, ended


# --- what needs no child -------------------------------------------------------------------------


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except Exception:  # not installed, or its metadata are damaged
        return None


def _cpu() -> dict[str, Any]:
    """Usable cores and memory; None for what cannot be found out."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        cores = os.cpu_count() or 1
    total = free = None
    try:
        import psutil

        memory = psutil.virtual_memory()
        total, free = round(memory.total / GIB, 1), round(memory.available / GIB, 1)
    except Exception:
        pass
    return {
        "device": "cpu",
        "name": platform.processor() or platform.machine(),
        "cores": cores,
        "memory_gib": total,
        "memory_free_gib": free,
    }


def bundled_model(folder: Path = TINY) -> dict[str, Any]:
    """Whether the bundled model is there and is the one that its card describes.

    Args:
        folder: the model's folder; the card, ``README.md``, names the SHA-256 of the weights.

    Returns:
        ``name``, ``ok``, ``sha256`` of the weights (None if they are missing) and ``reason``
        (None if all is well).
    """
    digest = reason = None
    try:
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        published = re.findall(r"\b[0-9a-f]{64}\b", (folder / "README.md").read_text("utf-8"))
        if digest not in published:
            reason = "model.safetensors is not the file that its card describes (another SHA-256)"
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            json.loads((folder / name).read_text("utf-8"))
    except FileNotFoundError as error:
        reason = f"{Path(error.filename).name} is missing"
    except (OSError, ValueError) as error:
        reason = f"one of its files is damaged ({_one_line(error)})"
    return {"name": "tiny", "ok": reason is None, "sha256": digest, "reason": reason}


def _first_on_path(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


# --- the report ----------------------------------------------------------------------------------


def report() -> dict[str, Any]:
    """Look at everything.

    Returns:
        A dictionary that JSON can hold. Its keys stay: ``peftlab``, ``device`` (the best one),
        ``versions`` (None: not installed), ``broken`` (module → why its import fails), ``system``,
        ``devices``, ``four_bit`` (device → ``ok`` and ``reason``), ``disk``, ``model``, ``tools``
        and ``course`` (what runs here: ``what``, ``ok``, ``reason``, ``remedy``).
    """
    children = {probe: _start(probe) for probe in PROBES}
    versions = {"python": platform.python_version()}
    versions |= {name: _version(name) for name in DISTRIBUTIONS}
    model = bundled_model()
    tools = {"chromium": _first_on_path(*CHROMIUM), "bubblewrap": _first_on_path("bwrap")}
    disk = shutil.disk_usage(sys.prefix)

    imports, ended = _answers(children["imports"])
    accelerators = imports.pop("accelerators", None) or []
    broken = {
        name: imports.get(name, ended)
        for name in MODULES
        if versions.get(name) is not None and imports.get(name, ended) is not None
    }
    devices = [_cpu(), *accelerators]
    answers, ended = _answers(children["four_bit"])
    four_bit = {}
    for device in (entry["device"] for entry in devices):
        if versions["bitsandbytes"] is None:
            reason = "bitsandbytes is not installed"
        elif device == "mps":
            reason = "bitsandbytes has no 4-bit kernels for Apple's GPU; use the CPU"
        else:
            # When the import itself fails, the one answer is the CPU's.
            reason = answers.get(device, ended or answers.get("cpu"))
        four_bit[device] = {"ok": reason is None, "reason": reason}

    result = {
        "peftlab": _version("peftlab"),
        "device": devices[1]["device"] if accelerators else "cpu",
        "versions": versions,
        "broken": broken,
        "system": f"{platform.system()} {platform.machine()}",
        "devices": devices,
        "four_bit": four_bit,
        "disk": {"free_gib": round(disk.free / GIB, 1)},
        "model": model,
        "tools": tools,
    }
    return result | {"course": what_runs(result)}


def what_runs(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What of the course runs with what was found, or why not and how to mend it.

    Args:
        found: ``report()``'s dictionary without ``course``.
    """
    versions, broken, tools = found["versions"], found["broken"], found["tools"]

    def lacks(*names: str) -> tuple[str, str] | None:
        """The first of these packages that is missing or broken, and the remedy."""
        for name in names:
            if versions[name] is None:
                return f"{name} is not installed", "make setup, or pip install 'peftlab[labs]'"
            if name in broken:
                return (
                    f"{name} cannot be imported ({broken[name]})",
                    f"pip install --force-reinstall {name}=={versions[name].split('+')[0]}",
                )
        return None

    core = lacks("torch", "safetensors", "tokenizers", "transformers", "tqdm")
    if core is None and not found["model"]["ok"]:
        core = f"the bundled model: {found['model']['reason']}", "install peftlab again"

    works = [device for device, entry in found["four_bit"].items() if entry["ok"]]
    reason = found["four_bit"]["cpu"]["reason"]
    four_bit = None if works else (reason, "pip install --upgrade bitsandbytes")

    on_gpu = found["device"] != "cpu"
    gpu = None if on_gpu else ("torch sees no GPU", "not needed: every lesson runs on the CPU")

    browser = lacks("playwright", "pytest")
    if browser is None and tools["chromium"] is None:
        browser = "there is no Chromium", "apt-get install chromium, or install Google Chrome"

    verdicts = {
        "lesson 00: a first look at the bundled model": core or lacks("matplotlib"),
        "lessons 01 to 11: chapters and labs": core or lacks("matplotlib", "peft", "ipykernel"),
        "4-bit base models (PEFTLAB_4BIT=1)": core or four_bit,
        "training on a GPU": core or gpu,
        "make labs: the notebooks in JupyterLab": lacks("jupyterlab", "ipykernel"),
        "make book: the executed book": core or lacks("jupyter-book", "matplotlib", "ipykernel"),
        "make test: the tests": core or lacks("pytest", "nbval"),
        "make test: the book in a browser": browser,
    }
    return [
        {
            "what": what,
            "ok": problem is None,
            "reason": problem and problem[0],
            "remedy": problem and problem[1],
        }
        for what, problem in verdicts.items()
    ]


def describe(found: dict[str, Any]) -> str:
    """The report for people."""
    versions = found["versions"]
    rows = [("peftlab", f"{found['peftlab']}, Python {versions['python']} on {found['system']}")]
    for entry in found["devices"]:
        facts = [entry["name"]]
        if "cores" in entry:
            facts.append(f"{entry['cores']} usable cores")
        if "capability" in entry:
            facts.append(f"capability {entry['capability']}")
        if entry.get("memory_gib"):
            facts.append(f"{entry['memory_gib']} GiB, {entry['memory_free_gib']} GiB free")
        nf4 = found["four_bit"][entry["device"]]
        facts.append("4-bit works" if nf4["ok"] else f"no 4-bit: {nf4['reason']}")
        rows.append((entry["device"], "; ".join(facts)))
    model = found["model"]
    rows += [
        ("disk", f"{found['disk']['free_gib']} GiB free"),
        ("model", f"tiny: {'as published' if model['ok'] else model['reason']}"),
    ]
    rows += [(tool, path or "not found") for tool, path in found["tools"].items()]
    rows += [(name, versions[name] or "not installed") for name in DISTRIBUTIONS]
    lines = [f"{name:<13} {text}" for name, text in rows]
    lines += ["", "What of the course runs here"]
    for entry in found["course"]:
        lines.append(f"  {'yes' if entry['ok'] else 'no ':<4} {entry['what']}")
        if not entry["ok"]:
            lines.append(f"         {entry['reason']}; {entry['remedy']}.")
    return "\n".join(lines)


if __name__ == "__main__":
    PROBES[sys.argv[1]]()
