"""The clinic's nine runs, eight of them broken on purpose, measured.

    python -m benchmarks.evaluate_clinic

Each trains the bundled model for 60 steps as `peftcourse.experiments.clinic` describes, one seed,
one core: about two minutes in all. ``--quick`` takes four steps each, to show that it works.
"""

from __future__ import annotations

import argparse
import multiprocessing
from dataclasses import asdict

import torch

from peftcourse.experiments import clinic, results

COMMAND = "python -m benchmarks.evaluate_clinic"


def chart(case: tuple[str, int, int]) -> clinic.Chart:
    """One run: a cause, the steps, and the steps between two evaluations."""
    torch.set_num_threads(1)
    cause, steps, every = case
    made = clinic.examine(cause, steps=steps, every=every)
    print(f"{cause}: diagnosed as {clinic.diagnose(made.measurements())}", flush=True)
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run every case and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="results/evaluate_clinic.json")
    parser.add_argument("--workers", type=int, default=1, help="runs at once")
    parser.add_argument("--quick", action="store_true", help="four steps each")
    options = parser.parse_args(arguments)
    steps, every = (4, 2) if options.quick else (60, 10)
    cases = [(cause, steps, every) for cause in clinic.CAUSES]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        charts = [asdict(made) for made in pool.imap(chart, cases)]
    results.write(
        options.out,
        what="Losses (nats per target token) and other measurements of nine LoRA runs of the "
        "bundled model on the slots task, eight of them with one bug each",
        command=COMMAND,
        seeds=(0,),
        numbers={"steps": steps, "charts": charts},
    )


if __name__ == "__main__":
    main()
