"""The command ``peftlab`` (or ``python -m peftcourse.cli``); `parser` lists its subcommands.

Each subcommand is one function that calls the library and prints. A user's mistake is a
``PeftlabError`` there; here it becomes one sentence on stderr and exit code 2. The library is
imported inside the functions, so that ``peftlab --help`` does not wait for torch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from peftlab import __version__
from peftlab.errors import PeftlabError


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line, like the rest of the command."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"peftlab: error: {message}; see {self.prog} --help\n")


def _count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _names(text: str) -> list[str]:
    """A list such as voice,slots."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _seeds(text: str) -> list[int]:
    """A list such as 0,1,2."""
    if not all(part.isdecimal() for part in _names(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of seeds such as 0,1,2")
    return [int(part) for part in _names(text)]


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
    from peftcourse.grading.rows import AWAITS, UNJUDGED, UNREADABLE

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
        unsafe=arguments.unsafe,
        lms=arguments.lms,
        regrade=arguments.regrade,
        only=arguments.only,
        engine=arguments.engine,
        say=lambda text: print(text, file=sys.stderr),
        progress=sys.stderr.isatty(),
    )
    results = [result for row in rows for result in row.results]
    mean = sum(row.points for row in rows) / len(rows) if rows else 0.0
    most = max((row.max_points for row in rows), default=0)
    print(f"{len(rows)} submissions, {mean:.1f} of {most:g} points on average")
    for what, count in (
        ("not readable, see the notes", sum(row.state == UNREADABLE for row in rows)),
        (f"to mark in {out}/written.html", sum(r.status == AWAITS for r in results)),
        ("not judged, please look", sum(r.status == UNJUDGED for r in results)),
    ):
        if count:
            print(f"{what}: {count}")
    print(f"grades: {out}/grades.csv   class report: {out}/report.html")
    return 0


def model_info(arguments: argparse.Namespace) -> int:
    """Describe a base model."""
    from peftcourse.experiments import models

    facts = models.info(arguments.name)
    if arguments.json:
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:<{width}}  {f'{value:,}' if isinstance(value, int) else value}")
    return 0


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields of `peftlab.memory.Settings` that were given."""
    names = [option.removeprefix("--").replace("-", "_") for option in _SETTINGS]
    names += ["double_quantization", "gradient_checkpointing"]
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def estimate(arguments: argparse.Namespace) -> int:
    """Predict the peak memory of a training run."""
    from peftcourse.calculator import report
    from peftlab.memory import Settings, estimate

    made = estimate(arguments.model, Settings(**_settings(arguments)))
    print(json.dumps(report.as_json(made), indent=2) if arguments.json else report.table(made))
    return 0


def recommend(arguments: argparse.Namespace) -> int:
    """Say which method to use and why; 1 if nothing fits."""
    from peftcourse import recommend
    from peftlab.memory.shapes import closest, named

    if (arguments.model is None) == (arguments.params is None):
        raise PeftlabError("say which model: either --model NAME or --params 7e9.")
    need = recommend.Need(
        named(arguments.model) if arguments.model else closest(arguments.params),
        arguments.gpu_memory,
        task=arguments.task,
        examples=arguments.examples,
        tasks=arguments.tasks,
        serving=arguments.serving,
        seq_len=arguments.seq_len,
        batch_size=arguments.batch_size,
    )
    found = recommend.recommend(need)
    if arguments.json:
        print(json.dumps(recommend.as_json(found), indent=2, ensure_ascii=False))
    else:
        print(recommend.describe(found))
    return 0 if found.chosen else 1


def train(arguments: argparse.Namespace) -> int:
    """Fine-tune a base model with LoRA on a task, and save the adapter."""
    import peftlab
    from peftcourse.experiments import evaluate, models, tasks
    from peftcourse.experiments.train import TrainConfig
    from peftcourse.experiments.train import train as run

    # Cheap checks come first: a wrong value should not cost a model's loading time.
    targets = arguments.targets.split(",")
    config = peftlab.LoRAConfig(
        rank=arguments.rank,
        alpha=arguments.alpha,
        targets=targets[0] if len(targets) == 1 else targets,
    )
    schedule = TrainConfig(
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
    )
    task = tasks.load(arguments.task, voice=arguments.voice)
    model, tokenizer = models.load(arguments.model)

    # A stretch of a voice teaches it; the answers of the other tasks come after their prompts.
    length = arguments.max_length or (64 if task.name == "voice" else 160)
    encoded = tasks.encode(task.train, tokenizer, length)
    validation = tasks.encode(task.validation, tokenizer, length)
    before = evaluate.loss(model, validation)
    peftlab.apply(model, config, name=task.name)
    Path(arguments.out).mkdir(parents=True, exist_ok=True)  # fail before training, not after
    print(peftlab.trainable_report(model))
    history = run(model, encoded, schedule, progress=sys.stderr.isatty())
    after = evaluate.loss(model, validation)
    peftlab.save(model, arguments.out, task.name)

    print(f"validation loss: {before:.3f} before, {after:.3f} after (nats per token)")
    print(f"{schedule.steps} steps took {history.seconds:.0f} s; the adapter is in {arguments.out}")
    return 0


def generate(arguments: argparse.Namespace) -> int:
    """Continue a prompt, with an adapter if one is given."""
    import peftlab
    from peftcourse.experiments import evaluate, models

    model, tokenizer = models.load(arguments.model)
    if arguments.adapter is not None:
        peftlab.load(model, arguments.adapter)
    [text] = evaluate.generate(
        model,
        tokenizer,
        [arguments.prompt],
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    print(arguments.prompt + text)
    return 0


def parity(arguments: argparse.Namespace) -> int:
    """Compare every method with its reference; 1 if one is out of tolerance."""
    import warnings

    from tqdm import tqdm

    # The references warn about their own deprecations, between any two rows.
    warnings.simplefilter("ignore")
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
    if arguments.out:
        results.write(
            arguments.out,
            what="Relative errors of every method against its reference on small random models, "
            "and values of 4-bit quantization that differ from bitsandbytes",
            command=f"peftlab parity --device {arguments.device} --out {arguments.out}",
            seeds=[0, 1, 2],
            numbers={"device": arguments.device, "rows": data},
        )
    return 1 if failed else 0


def compare(arguments: argparse.Namespace) -> int:
    """Compare methods; 1 if something that is reported failed."""
    from peftcourse.compare import run
    from peftcourse.compare.plan import plan
    from peftcourse.compare.text import failures, report

    wanted = plan(
        arguments.suite, arguments.model, arguments.task, arguments.methods, arguments.seeds
    )
    found = run.compare(
        wanted,
        Path(arguments.journal or f"_build/compare_{arguments.suite}"),
        workers=arguments.workers,
        engine=arguments.engine,
        say=lambda text: print(f"peftlab: {text}", file=sys.stderr),
    )
    print(report(found))
    if arguments.json:
        run.record(found, wanted, arguments.json)
    return 1 if failures(found) else 0


# The options of `peftlab estimate` that are fields of `peftlab.memory.Settings`, which checks them.
_SETTINGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "--method": (
        str,
        "full, lora (default), qlora, dora, ia3, bitfit, bottleneck, prefix or prompt",
    ),
    "--rank": (_count, "rank of LoRA, QLoRA, DoRA (default 8)"),
    "--targets": (
        str,
        "layers they adapt: all-linear, or names (default q_proj,v_proj or their like)",
    ),
    "--tokens": (_count, "virtual tokens of a prefix or prompt (default 20)"),
    "--bottleneck": (_count, "width of a bottleneck adapter (default 64)"),
    "--precision": (str, "bf16 (default), mixed (full fine-tuning only) or fp32"),
    "--quantization": (str, "nf4 (default) or bitsandbytes' fp4, for qlora"),
    "--block-size": (_count, "weights of a quantization block (default 64)"),
    "--optimizer": (
        str,
        "adamw (default), adamw_32bit, adamw_8bit, paged_adamw_32bit, paged_adamw_8bit, sgd or "
        "sgd_momentum",
    ),
    "--batch-size": (_count, "sequences of a step (default 1)"),
    "--seq-len": (_count, "tokens of a sequence (default 512)"),
    "--attention": (str, "sdpa (default), flash or eager"),
    "--implementation": (str, "peft (default) or peftlab"),
}


def parser() -> argparse.ArgumentParser:
    """The command line and its help."""
    top = _Parser(prog="peftlab", description="Parameter-efficient fine-tuning: the course's tools")
    top.add_argument("--version", action="version", version=f"peftlab {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

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
        "--timeout", type=float, default=10.0, help="seconds for one answer (default 10)"
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
    command.add_argument("--unsafe", action="store_true", help="without bubblewrap, at your risk")
    command.set_defaults(run=grade)

    command = commands.add_parser("model", help="facts about a base model")
    verbs = command.add_subparsers(title="commands", metavar="info", required=True)
    verb = verbs.add_parser("info", help="parameters, size, architecture, SHA-256")
    verb.add_argument("name", nargs="?", help="tiny (default), smollm2, a hub id or a folder")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=model_info)

    command = commands.add_parser("estimate", help="peak memory of a training run")
    command.add_argument(
        "--model", required=True, help="a preset (llama-2-7b), a folder, a config.json or a hub id"
    )
    for option, (kind, text) in _SETTINGS.items():
        command.add_argument(option, type=kind, default=argparse.SUPPRESS, help=text)
    command.add_argument(
        "--no-double-quantization",
        dest="double_quantization",
        action="store_false",
        default=argparse.SUPPRESS,
        help="leave the block constants of qlora in 32 bit",
    )
    command.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        default=argparse.SUPPRESS,
        help="keep only the blocks' inputs, and compute each block twice",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=estimate)

    command = commands.add_parser("recommend", help="which method to use, and why")
    command.add_argument("--params", type=float, metavar="N", help="size of the model, such as 7e9")
    command.add_argument("--model", help="or which: a preset, a folder, a config.json or a hub id")
    command.add_argument(
        "--gpu-memory", type=float, required=True, metavar="GB", help="as vendors state it: 24"
    )
    command.add_argument(
        "--task", default="generation", help="generation (default), classification or domain"
    )
    command.add_argument(
        "--examples", type=_count, default=5000, help="for training, of one task (default 5000)"
    )
    command.add_argument("--tasks", type=_count, default=1, help="how many tasks (default 1)")
    command.add_argument(
        "--serving", default="any", help="any (default), merged, or many: adapters on one base"
    )
    command.add_argument("--seq-len", type=_count, default=512, help="tokens (default 512)")
    command.add_argument("--batch-size", type=_count, default=1, help="sequences (default 1)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=recommend)

    command = commands.add_parser("parity", help="compare every method with peft and bitsandbytes")
    command.add_argument("--quick", action="store_true", help="fewer models and block sizes")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    command.add_argument("--out", metavar="FILE", help="record the rows as a result")
    command.set_defaults(run=parity)

    command = commands.add_parser("compare", help="compare methods, with tuned rates and intervals")
    command.add_argument(
        "--suite",
        choices=("quick", "full"),
        default="quick",
        help="quick (default; minutes on two cores) or full (searches rates; for GPUs)",
    )
    command.add_argument("--model", help="only this one: tiny, smollm2, a hub id or a folder")
    command.add_argument("--task", type=_names, default=(), help="only these: voice,slots")
    command.add_argument("--methods", type=_names, default=(), help="only these: full,lora-8,…")
    command.add_argument("--seeds", type=_seeds, default=(), help="these instead: 0,1,2")
    command.add_argument("--workers", type=_count, help="runs side by side (default: all cores)")
    command.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="ray: a whole cluster"
    )
    command.add_argument(
        "--journal", metavar="DIR", help="finished runs (default _build/compare_quick or _full)"
    )
    command.add_argument("--json", metavar="FILE", help="record everything as a result")
    command.set_defaults(run=compare)

    model_help = "tiny (default), smollm2, a hub id or a folder"
    command = commands.add_parser("train", help="fine-tune a base model with LoRA")
    command.add_argument(
        "--task", default="voice", help="voice (default), facts, slots or sentiment"
    )
    command.add_argument("--voice", help="for --task voice: pirate (default) or robot")
    command.add_argument("--model", help=model_help)
    command.add_argument("--rank", type=int, default=8, help="rank of the update (default 8)")
    command.add_argument("--alpha", type=float, default=16, help="scaling × rank (default 16)")
    command.add_argument(
        "--targets", default="all-linear", help="all-linear (default), or names: q_proj,v_proj"
    )
    command.add_argument("--steps", type=int, default=200, help="optimizer steps (default 200)")
    command.add_argument("--batch-size", type=int, default=8, help="examples a step (default 8)")
    command.add_argument(
        "--max-length", type=_count, help="tokens of an example (default 64 for voice, else 160)"
    )
    command.add_argument("--learning-rate", type=float, default=2e-3, help="peak (default 0.002)")
    command.add_argument("--seed", type=int, default=0, help="order of the examples (default 0)")
    command.add_argument("--out", required=True, metavar="FOLDER", help="where the adapter goes")
    command.set_defaults(run=train)

    command = commands.add_parser("generate", help="continue a prompt")
    command.add_argument("--model", help=model_help)
    command.add_argument("--adapter", metavar="FOLDER", help="an adapter that train saved")
    command.add_argument("--prompt", default="Once upon a time", help="what to continue")
    command.add_argument(
        "--max-new-tokens", type=_count, default=120, help="length at most (default 120)"
    )
    command.add_argument(
        "--temperature", type=float, default=0.8, help="0: the likeliest token (default 0.8)"
    )
    command.add_argument("--seed", type=int, default=0, help="of the sampling (default 0)")
    command.set_defaults(run=generate)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments; those of the process if left out.

    Returns:
        The exit code: 0, 1 for a check that failed, 2 for bad input.
    """
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (PeftlabError, OSError, ModuleNotFoundError) as error:
        print(f"peftlab: error: {_sentence(error)}", file=sys.stderr)
        return 2


def _sentence(error: Exception) -> str:
    """What a user can do something about, in one sentence; other errors stay tracebacks."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").split(".")[0]
        if package in ("peftlab", "peftcourse"):
            raise error
        return f"the package {package} is not installed; pip install 'peftlab[labs]' adds it."
    if isinstance(error, OSError):  # a full disk, a folder that may not be written
        return f"{error.strerror or error}: {error.filename}."
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
