"""Train the bundled model, sweep its settings, measure it, write its card.

python -m pretrain train      train with the default recipe, export, measure
python -m pretrain sweep      vary one setting after the other, export and measure the best
python -m pretrain measure    measure the exported model again
python -m pretrain card       write the model card and the loss curve from the results
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pretrain import card
from pretrain.data import STORIES, Packed, encode, read_stories, split_reserved, train_tokenizer
from pretrain.recipe import VOCABULARY, Recipe, architecture
from pretrain.record import circumstances, measure_exported, write_json
from pretrain.train import build, export, measure_text, train

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "src" / "peftlab" / "data" / "tiny"
RESULTS = ROOT / "results" / "pretrain.json"
SWEEP = ROOT / "results" / "pretrain_sweep.json"
VALIDATION = 300  # stories at the end of the --extra file, kept to choose settings by


@dataclass
class Corpus:
    """What is trained on, encoded, and the sets of stories that are only measured."""

    tokenizer: Any
    train: list[list[int]]
    extra: list[list[int]]
    measured: dict[str, list[str]]

    def packed(self, recipe: Recipe, device: str) -> Packed:
        """The stories that `recipe` trains on."""
        return Packed.from_ids(self.train + self.extra * recipe.extra_copies, device)


def measured_sets(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The sets of stories that no run without extra stories has trained on."""
    sets = {"reserved": split_reserved(read_stories(STORIES))[1]}
    if arguments.extra:
        sets["validation"] = read_stories(arguments.extra)[-VALIDATION:]
    if arguments.heldout:
        sets["heldout"] = read_stories(arguments.heldout)
    return sets


def load_corpus(arguments: argparse.Namespace) -> Corpus:
    """Read the files, train the tokenizer on the training stories, encode them."""
    started = time.perf_counter()
    stories, _ = split_reserved(read_stories(STORIES))
    tokenizer = train_tokenizer(stories, VOCABULARY)
    extra = read_stories(arguments.extra)[:-VALIDATION] if arguments.extra else []
    corpus = Corpus(
        tokenizer,
        train=encode(stories, tokenizer),
        extra=encode(extra, tokenizer) if extra else [],
        measured=measured_sets(arguments),
    )
    tokens = sum(map(len, corpus.train))
    seconds = time.perf_counter() - started
    print(f"{len(stories):,} stories, {tokens:,} tokens, ready after {seconds:.0f} s", flush=True)
    return corpus


def run(recipe: Recipe, corpus: Corpus, model, loss_function, device: str) -> dict[str, Any]:
    """Train once; the losses are those of the float32 weights, before they are exported."""
    reserved = encode(corpus.measured["reserved"], corpus.tokenizer)
    trained = train(recipe, corpus.packed(recipe, device), model, loss_function, reserved)
    losses = {
        name: measure_text(model, corpus.tokenizer, stories)
        for name, stories in corpus.measured.items()
    }
    settings = dataclasses.asdict(recipe)
    return {"seeds": [recipe.seed], "recipe": settings, **trained, "losses": losses}


def finish(arguments: argparse.Namespace, record: dict[str, Any], device: str) -> None:
    """Measure what was exported and write the results."""
    record |= measure_exported(arguments.out, measured_sets(arguments), device)
    write_json(arguments.results, record)
    print(json.dumps(record["losses"], indent=1))


def command_train(arguments: argparse.Namespace, device: str) -> None:
    """Train with one recipe; export; measure."""
    corpus = load_corpus(arguments)
    model, loss_function = build(architecture(), device)
    record = circumstances("Pretraining of the bundled model")
    record |= run(recipe_of(arguments), corpus, model, loss_function, device)
    export(model, corpus.tokenizer, arguments.out)
    finish(arguments, record, device)


def command_measure(arguments: argparse.Namespace, device: str) -> None:
    """Measure the exported model again, and bring the results up to date."""
    finish(arguments, json.loads(arguments.results.read_text(encoding="utf-8")), device)


def command_sweep(arguments: argparse.Namespace, device: str) -> None:
    """Vary one field after the other from the best recipe so far.

    The best is the run with the lowest loss per character on the validation stories (reserved
    stories where there is no `--extra` file). Runs with extra stories are only compared.
    """
    started = time.perf_counter()
    corpus = load_corpus(arguments)
    model, loss_function = build(architecture(), device)
    criterion = "validation" if "validation" in corpus.measured else "reserved"
    session = circumstances("Sweep of the pretraining recipe")
    described = tuple(session)  # the file as a whole is described by its latest session
    session |= {"criterion": criterion, "runs": []}
    best: dict[str, Any] = {}
    per_token = 0.0  # seconds

    def attempt(recipe: Recipe) -> None:
        nonlocal best, per_token
        if any(done["recipe"] == dataclasses.asdict(recipe) for done in session["runs"]):
            return
        seconds_left = arguments.minutes * 60 - (time.perf_counter() - started)
        if recipe.epochs * sum(map(len, corpus.train)) * per_token > seconds_left:
            print(f"skipped, {seconds_left:.0f} s left: {recipe}", flush=True)
            return
        result = run(recipe, corpus, model, loss_function, device)
        per_token = result["seconds"] / result["tokens"]
        session["runs"].append(result)
        report = {key: session[key] for key in described} | {"sessions": [*earlier, session]}
        write_json(arguments.sweep_results, report)
        loss = result["losses"][criterion]["nats_per_character"]
        print(f"{criterion} {loss:.4f} nats per character: {recipe}", flush=True)
        if recipe.extra_copies == 0 and (
            not best or loss < best["losses"][criterion]["nats_per_character"]
        ):
            best = result
            export(model, corpus.tokenizer, arguments.out)

    file = arguments.sweep_results
    earlier = json.loads(file.read_text(encoding="utf-8"))["sessions"] if file.exists() else []
    attempt(recipe_of(arguments))
    for field, values in arguments.vary:
        for value in values:
            start = Recipe(**best["recipe"]) if best else recipe_of(arguments)
            attempt(dataclasses.replace(start, **{field: value}))
    finish(arguments, circumstances("Pretraining of the bundled model") | best, device)


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """The recipe that the command line describes."""
    return Recipe(**{f.name: getattr(arguments, f.name) for f in dataclasses.fields(Recipe)})


def variation(text: str) -> tuple[str, list[float]]:
    """Read `field=value,value` of `--vary`."""
    field, _, values = text.partition("=")
    kinds = {f.name: type(f.default) for f in dataclasses.fields(Recipe)}
    if field not in kinds or not values:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not field=value,value; fields: {', '.join(kinds)}"
        )
    return field, [kinds[field](value) for value in values.split(",")]


def parser() -> argparse.ArgumentParser:
    """The command line; every field of `Recipe` is an option of train and sweep."""
    top = argparse.ArgumentParser(prog="python -m pretrain", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)
    functions = {"train": command_train, "sweep": command_sweep, "measure": command_measure}
    for name, function in functions.items():
        sub = commands.add_parser(name, help=function.__doc__.splitlines()[0])
        sub.set_defaults(function=function)
        sub.add_argument("--extra", type=Path, help="more stories, xz; the last 300 validate")
        sub.add_argument("--heldout", type=Path, help="real stories, xz; only measured")
        sub.add_argument("--out", type=Path, default=MODEL, help="folder of the model")
        sub.add_argument("--results", type=Path, default=RESULTS, help="JSON file to write")
        if name == "measure":
            continue
        for field in dataclasses.fields(Recipe):
            option = "--" + field.name.replace("_", "-")
            sub.add_argument(option, type=type(field.default), default=field.default)
        if name == "sweep":
            sub.add_argument("--sweep-results", type=Path, default=SWEEP, help="JSON, appended to")
            sub.add_argument("--minutes", type=float, default=60, help="start no run ending later")
            sub.add_argument("--vary", type=variation, action="append", default=[])
    sub = commands.add_parser("card", help="Write the model card and the loss curve.")
    sub.set_defaults(function=lambda arguments, device: card.write(RESULTS, SWEEP, MODEL))
    return top


def main() -> None:
    """Run one command."""
    arguments = parser().parse_args()
    arguments.function(arguments, "cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    main()
