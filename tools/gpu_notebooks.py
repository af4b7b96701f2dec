"""Run every lab and every solution on a CUDA GPU: `make gpu`, or

    python tools/gpu_notebooks.py [labs/03_lora.ipynb ...] [--jobs 8] [--out FILE]

Each notebook runs twice under nbval, with PEFTLAB_4BIT=1 and with PEFTLAB_4BIT=0, in a kernel and
a folder of its own, several at a time on one GPU. As losses differ a little between processors,
nbval compares the outputs of the checks alone (--nbval-lax): every answer of a solution must be
found right, and no cell of any notebook may raise. A notebook that asks for a model in 4 bit must
have computed with packed 4-bit layers on the GPU; `notebook_watch.py` sees them in its kernel.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SANITIZE = ROOT / "tests" / "notebooks" / "sanitize.cfg"
TIMEOUT = 900  # seconds for one notebook
MOST_JOBS = 8  # more kernels than this wait for one GPU rather than for the CPU


@dataclass
class Run:
    """One notebook in one pass.

    Attributes:
        notebook: its path in the repository.
        four_bit: whether PEFTLAB_4BIT=1 was set.
        passed, failed, skipped: code cells.
        seconds: start of pytest and kernel included.
        peak_gpu_mb: the most that tensors held at any time, in 10⁶ bytes.
        four_bit_layers: the most packed Linear4bit layers that computed something and were alive
            at the same time.
        example: one of them: its shape, the format of its codes, the device they are on.
        problems: why it is not green; empty if it is.
    """

    notebook: str
    four_bit: bool
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    peak_gpu_mb: float = 0.0
    four_bit_layers: int = 0
    example: str = ""
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "FAILED" if self.problems else "ok"
        bits = "4 bit" if self.four_bit else "16 bit"
        return (
            f"{verdict:6} {self.notebook:32} {bits:6} {self.passed:3} cells, "
            f"{self.four_bit_layers:3} 4-bit layers, {self.peak_gpu_mb:6.0f} MB, "
            f"{self.seconds:4.0f} s"
        )


def missing() -> str | None:
    """Why the notebooks cannot run on this machine's GPU, and what to do; None if they can."""
    import torch

    if not torch.cuda.is_available():
        build = f"torch {torch.__version__}"
        if torch.version.cuda is None and shutil.which("nvidia-smi"):
            return (
                f"{build} was built without CUDA, and this machine seems to have an NVIDIA GPU: "
                "install a CUDA build of the same version into .venv, as https://pytorch.org says."
            )
        return (
            f"{build} sees no CUDA device: run this on a machine with an NVIDIA GPU and its "
            "driver. make notebooks runs the same notebooks on the CPU."
        )
    for package in ("bitsandbytes", "accelerate", "nbval", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is missing: pip install {package}."
    return None


def wants_four_bit(notebook: Path, four_bit: bool) -> bool:
    """Whether a run has to hold 4-bit layers: its code configures them, or the pass does."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return "BitsAndBytesConfig(" in code or (four_bit and "models.load(" in code)


def run(notebook: Path, four_bit: bool, *, threads: int = 1, model: Path | None = None) -> Run:
    """Run one notebook under nbval in a copy of its own.

    Args:
        notebook: an .ipynb file below `ROOT` or elsewhere.
        four_bit: the pass: PEFTLAB_4BIT=1 or PEFTLAB_4BIT=0.
        threads: how many CPU threads torch may use.
        model: another base than the bundled one.
    """
    name = str(notebook.relative_to(ROOT)) if notebook.is_relative_to(ROOT) else notebook.name
    found = Run(name if model is None else f"{name} ({model.name})", four_bit)
    started = time.monotonic()
    # In a copy, two passes write neither into each other's files nor into the repository.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(notebook, folder))
        junit, seen = Path(folder, "junit.xml"), Path(folder, "watch.json")
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", str(copy)]
        command += [f"--nbval-sanitize-with={SANITIZE}", f"--rootdir={folder}", "--color=no"]
        command += [f"--junitxml={junit}", "-p", "no:cacheprovider", "-q"]
        # Many kernels start at once, and torch may come from a slow disk.
        command += ["--nbval-kernel-startup-timeout=300"]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=_environment(Path(folder), seen, four_bit, threads)
                | ({"PEFTLAB_MODEL": str(model)} if model else {}),
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
            _count(found, junit, done.stdout + done.stderr)
        except subprocess.TimeoutExpired:
            found.problems.append(f"it ran for more than {TIMEOUT} s")
        if seen.exists():
            watched = json.loads(seen.read_text(encoding="utf-8"))
            found.peak_gpu_mb = round(watched["peak_gpu_bytes"] / 1e6, 1)
            found.four_bit_layers, found.example = watched["four_bit_layers"], watched["example"]
    found.seconds = round(time.monotonic() - started, 1)
    if wants_four_bit(notebook, four_bit) and not found.four_bit_layers:
        found.problems.append("it asks for a model in 4 bit, and no 4-bit layer computed anything")
    return found


def _environment(folder: Path, seen: Path, four_bit: bool, threads: int) -> dict[str, str]:
    """What pytest, and the kernel that it starts, find in their environment."""
    from peftcourse.labs.execute import ENVIRONMENT

    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "watch.py").write_text(
        'get_ipython().run_line_magic("load_ext", "notebook_watch")\n', encoding="utf-8"
    )
    # Absolute, because the kernel runs in another folder.
    paths = [ROOT / "src", ROOT / "tools"]
    paths += [
        Path(path).resolve() for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path
    ]
    return (
        os.environ
        | ENVIRONMENT
        | {
            "IPYTHONDIR": str(folder / "ipython"),
            "NOTEBOOK_WATCH": str(seen),
            "OMP_NUM_THREADS": str(threads),
            "PEFTLAB_4BIT": str(int(four_bit)),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
        }
    )


def _count(found: Run, junit: Path, output: str) -> None:
    """Count the cells by result, and keep what the failed ones say."""
    cases = list(ElementTree.parse(junit).iter("testcase")) if junit.exists() else []
    for case in cases:
        bad = case.find("failure")
        if bad is None:
            bad = case.find("error")
        if bad is not None:
            found.failed += 1
            found.problems.append(f"{case.get('name')}: {(bad.text or '').strip()[-1500:]}")
        elif case.find("skipped") is not None:
            found.skipped += 1
        else:
            found.passed += 1
    if not cases:
        found.problems.append(f"pytest ran no cell: {output.strip()[-1500:]}")


def run_all(notebooks: Sequence[Path], jobs: int, threads: int) -> list[Run]:
    """Run each notebook in both passes, ``jobs`` at a time; prints a line as each one ends."""
    passes = [(notebook, four_bit) for notebook in notebooks for four_bit in (True, False)]
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run, *each, threads=threads) for each in passes]
        for future in as_completed(running):
            print(future.result(), flush=True)
    return [future.result() for future in running]


def run_large(threads: int) -> Run:
    """Run the notebook for large models on random numbers in the shape of one."""
    from tools import random_model

    with tempfile.TemporaryDirectory() as folder:
        model = random_model.write(Path(folder, "7B shape"))
        return run(ROOT / "labs" / "your_7b.ipynb", True, threads=threads, model=model)


def report(runs: Iterable[Run], file: Path, jobs: int, seconds: float) -> None:
    """Write all runs with their circumstances."""
    from peftcourse.experiments import results

    runs = list(runs)
    results.write(
        file,
        what="every lab and solution under nbval on a GPU, with 4-bit bases and without: code "
        "cells passed, failed and skipped, seconds, peak GPU memory in 10^6 bytes, 4-bit layers",
        command="make gpu",
        seeds=[0],
        numbers={
            "jobs": jobs,
            "seconds": round(seconds, 1),
            "green": sum(not run.problems for run in runs),
            "runs": [asdict(run) for run in runs],
        },
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebooks, write the report; 0 if all are green."""
    from peftcourse.experiments.results import usable_cores

    cores = usable_cores()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "notebooks", nargs="*", type=Path, help="which ones; without any, all labs and solutions"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=max(1, min(MOST_JOBS, cores // 2)),
        help="how many run at a time (default: half the cores, %(default)s here)",
    )
    parser.add_argument(
        "--large",
        action="store_true",
        help="run your_7b.ipynb on a model of that size, too, even if notebooks are named",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu_notebooks.json")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs is at least 1, not {options.jobs}")
    for path in options.notebooks:
        if path.suffix != ".ipynb" or not path.is_file():
            parser.error(f"{path} is no notebook: give .ipynb files of labs/ or solutions/")
    if problem := missing():
        print(f"peftlab: {problem}", file=sys.stderr)
        return 2
    every = sorted(ROOT.glob("labs/*.ipynb")) + sorted(ROOT.glob("solutions/*.ipynb"))
    notebooks = [path.resolve() for path in options.notebooks] or every
    started = time.monotonic()
    runs = run_all(notebooks, options.jobs, threads=max(1, cores // options.jobs))
    if options.large or not options.notebooks:
        runs.append(run_large(cores))
        print(runs[-1])
    report(runs, options.out, options.jobs, time.monotonic() - started)
    failed = [run for run in runs if run.problems]
    for each in failed:
        print("\n".join([f"\n{each}", *each.problems]), file=sys.stderr)
    print(
        f"{len(runs) - len(failed)} of {len(runs)} runs are green; {options.out} has the details."
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
