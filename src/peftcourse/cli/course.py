"""The course itself: ``peftlab doctor``, ``labs``, ``release`` and ``grade``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from peftlab.errors import PeftlabError


def doctor(arguments: argparse.Namespace) -> int:
    """Say what is installed and what of the course runs here; 1 if a lesson does not."""
    from peftcourse import doctor

    found = doctor.report()
    print(json.dumps(found, indent=2) if arguments.json else doctor.describe(found))
    lessons = [entry["ok"] for entry in found["course"] if entry["what"].startswith("lesson")]
    return 0 if all(lessons) else 1


def labs_build(arguments: argparse.Namespace) -> int:
    """Generate the notebooks from solutions/*.md, and run the solutions that changed."""
    from peftcourse import labs

    for notebook in labs.build(Path.cwd()):
        print(notebook.relative_to(Path.cwd()))
    return 0


def labs_check(arguments: argparse.Namespace) -> int:
    """Compare the notebooks with what solutions/*.md generate; 1 if they differ."""
    from peftcourse import labs

    found = labs.check(Path.cwd())
    print("\n".join(found) if found else "the notebooks are what solutions/*.md generate")
    return 1 if found else 0


def release(arguments: argparse.Namespace) -> int:
    """Write what an instructor hands out for a lab, and the secret to grade it with."""
    from peftcourse.grading import release

    out = Path(arguments.out)
    made = release.release(
        Path.cwd(), arguments.lab, out, class_name=arguments.class_name, seed=arguments.seed
    )
    print(f"{made.lab} for the class “{made.class_name}”")
    for folder, what in (
        (release.HANDOUT, "hand this out"),
        (release.INSTRUCTOR, "keep this to yourself"),
    ):
        print(f"{out / folder}: {what}")
        for file in sorted((out / folder).iterdir()):
            print(f"  {file.name}")
    print(f"then: {release.command(out)}")
    return 0


def grade(arguments: argparse.Namespace) -> int:
    """Grade a class and say where the reports are."""
    from peftcourse.grading import run
    from peftcourse.grading.release import read_release
    from peftcourse.grading.rows import AWAITS, GRADED, UNJUDGED

    lab, seed = arguments.lab, arguments.seed
    if arguments.release is not None:
        release = read_release(arguments.release)
        lab = lab or release.lab
        seed = release.seed if seed is None else seed
        if lab != release.lab:
            raise PeftlabError(f"{arguments.release} is of {release.lab}, and --lab says {lab}.")
    if lab is None:
        raise PeftlabError("say which lab this is: --lab 03_lora, or --release DIR/instructor.")
    out = Path(arguments.out)
    rows = run.grade(
        Path(arguments.submissions),
        lab,
        out,
        root=Path.cwd(),
        seed=seed,
        jobs=arguments.jobs,
        timeout=arguments.timeout,
        budget=arguments.budget,
        unsafe=arguments.unsafe,
        lms=arguments.lms,
        regrade=arguments.regrade,
        only=arguments.only,
        engine=arguments.engine,
        compare_kernel=arguments.compare_kernel,
        say=lambda text: print(text, file=sys.stderr),
        progress=sys.stderr.isatty(),
    )
    results = [result for row in rows for result in row.results]
    mean = sum(row.points for row in rows) / len(rows) if rows else 0.0
    most = max((row.max_points for row in rows), default=0)
    print(f"{len(rows)} submissions, {mean:.1f} of {most:g} points on average")
    for what, count in (
        ("without a grade, see the notes", sum(row.state != GRADED for row in rows)),
        (f"to mark in {out}/written.html", sum(r.status == AWAITS for r in results)),
        ("not judged, please look", sum(r.status == UNJUDGED for r in results)),
    ):
        if count:
            print(f"{what}: {count}")
    print(f"grades: {out}/grades.csv   class report: {out}/report.html")
    return 0


def add(commands: argparse._SubParsersAction) -> None:
    """Add these commands to the parser."""
    command = commands.add_parser("doctor", help="what is installed, and what of the course runs")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=doctor)

    command = commands.add_parser("labs", help="generate the lab notebooks, or check them")
    verbs = command.add_subparsers(title="commands", metavar="build | check", required=True)
    verb = verbs.add_parser("build", help="write labs/ and solutions/*.ipynb from solutions/*.md")
    verb.set_defaults(run=labs_build)
    verb = verbs.add_parser("check", help="exit 1 if they are not what solutions/*.md generate")
    verb.set_defaults(run=labs_check)

    command = commands.add_parser("release", help="what an instructor hands out for a lab")
    command.add_argument("lab", metavar="LAB", help="such as 03_lora")
    command.add_argument("--out", required=True, metavar="DIR", help="gets handout/, instructor/")
    command.add_argument("--class", dest="class_name", metavar="NAME", help="whom it is for")
    command.add_argument(
        "--seed", type=int, help="of the grader's inputs (default: a random one, kept)"
    )
    command.set_defaults(run=release)

    command = commands.add_parser("grade", help="grade a class, in a sandbox")
    command.add_argument("submissions", metavar="SUBMISSIONS", help="a folder, a zip, a notebook")
    command.add_argument("--lab", metavar="NAME", help="the lab, such as 03_lora")
    command.add_argument("--out", required=True, metavar="DIR", help="where the results go")
    command.add_argument("--release", metavar="DIR", help="instructor/ of `peftlab release`")
    command.add_argument("--seed", type=int, help="of the inputs (default: secret, kept in DIR)")
    command.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="sandboxes (default: all cores)"
    )
    command.add_argument(
        "--timeout", type=float, default=10.0, help="seconds for one cell or answer (default 10)"
    )
    command.add_argument(
        "--budget", type=float, default=60.0, help="seconds for one submission (default 60)"
    )
    command.add_argument(
        "--regrade", action="append", default=[], metavar="EXERCISE", help="again, or all"
    )
    command.add_argument(
        "--only", action="append", default=[], metavar="SUBMISSION", help="leave the others"
    )
    command.add_argument(
        "--lms", choices=("moodle", "canvas"), default="moodle", help="format of lms.csv"
    )
    command.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="ray: a whole cluster"
    )
    command.add_argument(
        "--compare-kernel",
        action="store_true",
        help="say where `check` in IPython judges otherwise",
    )
    command.add_argument("--unsafe", action="store_true", help="without bubblewrap, at your risk")
    command.set_defaults(run=grade)
