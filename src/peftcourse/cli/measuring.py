"""Measurements: ``peftlab parity`` and ``compare``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from peftcourse.cli import options
from peftlab.errors import PeftlabError


def parity(arguments: argparse.Namespace) -> int:
    """Compare every method with its reference; 1 if one is out of tolerance."""
    import warnings

    from tqdm import tqdm

    options.check_device(arguments.device)
    out = options.file_to_write(arguments.out) if arguments.out else None
    # The references warn about their own deprecations, between any two rows.
    warnings.simplefilter("ignore")
    if arguments.families:
        return _families(arguments, out)
    from peftcourse.experiments import results
    from peftcourse.parity import run, table

    found = []
    if not arguments.json:
        print(table.HEADER)
    bar = tqdm(
        run.rows(quick=arguments.quick, device=arguments.device),
        desc="comparisons",
        disable=not sys.stderr.isatty(),
    )
    for row in bar:
        found.append(row)
        if not arguments.json:
            bar.write(table.line(row), file=sys.stdout)
    failed = sum(not row.ok for row in found)
    data = [run.as_json(row) for row in found]
    if arguments.json:
        print(json.dumps(data, indent=1, ensure_ascii=False))
    else:
        print("\nDifferent on purpose:", *table.differences(), sep="\n  ")
        print(f"\n{len(found)} comparisons, {failed} out of tolerance")
    if out:
        results.write(
            out,
            what="Relative errors of every method against its reference on small random models, "
            "and values of 4-bit quantization that differ from bitsandbytes",
            command=f"peftlab parity --device {arguments.device} --out {arguments.out}",
            seeds=[0, 1, 2],
            numbers={"device": arguments.device, "rows": data},
        )
    return 1 if failed else 0


def _families(arguments: argparse.Namespace, out: Path | None) -> int:
    """Try every method on many architectures; 1 if one is wrong."""
    from tqdm import tqdm

    from peftcourse.experiments import results
    from peftcourse.parity import families

    found = []
    bar = tqdm(families.cells(quick=arguments.quick), desc="cells", disable=not sys.stderr.isatty())
    for cell in bar:
        found.append(cell)
        if not arguments.json:
            bar.write(families.line(cell), file=sys.stdout)
    data = [families.as_json(cell) for cell in found]
    if arguments.json:
        print(json.dumps(data, indent=1, ensure_ascii=False))
    else:
        print(f"\n{families.summary(found)}")
    if out:
        results.write(
            out,
            what="Every method on tiny models of many architectures: works, refused, or wrong",
            command=f"peftlab parity --families --out {arguments.out}",
            seeds=[0, 1, 2],
            numbers={"cells": data},
        )
    return 1 if any(cell.verdict == families.WRONG for cell in found) else 0


def compare(arguments: argparse.Namespace) -> int:
    """Compare methods; 1 if something that is reported failed."""
    from peftcourse.compare import check, own, run
    from peftcourse.compare.plan import plan
    from peftcourse.compare.rates import recorded
    from peftcourse.compare.text import failures, report

    def say(text: str) -> None:
        for line in text.splitlines():
            print(f"peftlab: {line}", file=sys.stderr)

    out = options.file_to_write(arguments.json) if arguments.json else None
    files = None
    if arguments.data:
        files = own.files(
            arguments.data, arguments.validation, arguments.test, arguments.ignore_fields or ()
        )
        data = files.read()
        say("\n".join([data.describe(), data.split]))
    elif arguments.validation or arguments.test or arguments.ignore_fields:
        raise PeftlabError(
            "--validation, --test and --ignore-fields belong to --data; give it too."
        )
    wanted = plan(
        arguments.suite,
        arguments.model,
        arguments.task,
        arguments.methods,
        arguments.seeds,
        files=files,
        max_length=arguments.max_length,
    )
    journal = f"_build/compare_{arguments.suite}" + (f"_{Path(files.path).stem}" if files else "")
    folder = options.folder_to_write(arguments.journal or journal)
    wanted = check.checked(wanted, say)
    if not wanted.search and not all(recorded(m, "lora-8") for m in wanted.models):
        say("no rates are recorded for this model, so they are guesses; --suite full finds better.")
    found = run.compare(wanted, folder, workers=arguments.workers, engine=arguments.engine, say=say)
    print(report(found))
    if out:
        run.record(found, wanted, out)
    return 1 if failures(found) else 0


def add(commands: argparse._SubParsersAction) -> None:
    """Add these commands to the parser."""
    command = commands.add_parser("parity", help="compare every method with peft and bitsandbytes")
    command.add_argument("--quick", action="store_true", help="fewer models and block sizes")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    command.add_argument(
        "--out", type=options.given, metavar="FILE", help="record the rows as a result"
    )
    command.add_argument(
        "--families",
        action="store_true",
        help="every method on tiny models of many architectures instead",
    )
    command.set_defaults(run=parity)

    command = commands.add_parser("compare", help="compare methods, with tuned rates and intervals")
    command.add_argument(
        "--suite",
        choices=("quick", "full"),
        default="quick",
        help="quick (default; minutes on two cores) or full (searches rates; for GPUs)",
    )
    command.add_argument(
        "--model", type=options.given, help="only this one: tiny, smollm2, a hub id or a folder"
    )
    command.add_argument("--task", type=options.names, default=(), help="only these: voice,slots")
    command.add_argument(
        "--methods", type=options.names, default=(), help="only these: full,lora-8,…"
    )
    options.add_data(command)
    command.add_argument(
        "--max-length", type=options.count, help="tokens at which examples are cut off"
    )
    command.add_argument("--seeds", type=options.seeds, default=(), help="these instead: 0,1,2")
    command.add_argument(
        "--workers", type=options.count, help="runs side by side (default: all cores)"
    )
    command.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="ray: a whole cluster"
    )
    command.add_argument(
        "--journal",
        type=options.given,
        metavar="DIR",
        help="finished runs (default _build/compare_quick or _full)",
    )
    command.add_argument(
        "--json", type=options.given, metavar="FILE", help="record everything as a result"
    )
    command.set_defaults(run=compare)
