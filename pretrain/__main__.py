"""`python -m pretrain`: train the bundled model, sweep its settings, write its card.

python -m pretrain train     train with the default recipe, export, measure, write the results
python -m pretrain sweep     vary one setting after the other, keep the best
python -m pretrain card      write the model card and the loss curve from the results
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import platform
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pretrain import card
from pretrain.data import STORIES, Packed, encode, read_stories, split_reserved, train_tokenizer
from pretrain.recipe import VOCABULARY, Recipe, architecture
from pretrain.train import build, export, measure_text, sample, train

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "src" / "peftlab" / "data" / "tiny"
RESULTS = ROOT / "results" / "pretrain.json"
VALIDATION = 300  # stories at the end of the --extra file, kept to choose settings by
SPOT_CHECK = 24  # reserved stories whose loss the tests recompute on a CPU


@dataclass
class Corpus:
    """All text of a session: what is trained on, and what is only measured."""

    tokenizer: Any
    train: list[list[int]]
    extra: list[list[int]]
    reserved_ids: list[list[int]]
    measured: dict[str, list[str]]  # name of the set -> stories

    def packed(self, recipe: Recipe, device: str) -> Packed:
        """The stories that `recipe` trains on."""
        return Packed.from_ids(self.train + self.extra * recipe.extra_copies, device)


def load_corpus(arguments: argparse.Namespace) -> Corpus:
    """Read the files, train the tokenizer on the training stories, encode them."""
    started = time.perf_counter()
    stories, reserved = split_reserved(read_stories(STORIES))
    tokenizer = train_tokenizer(stories, VOCABULARY)
    extra = read_stories(arguments.extra) if arguments.extra else []
    measured = {"reserved": reserved, "spot_check": reserved[:SPOT_CHECK]}
    if extra:
        measured["validation"] = extra[-VALIDATION:]
    if arguments.heldout:
        measured["heldout"] = read_stories(arguments.heldout)
    corpus = Corpus(
        tokenizer=tokenizer,
        train=encode(stories, tokenizer),
        extra=encode(extra[:-VALIDATION], tokenizer) if extra else [],
        reserved_ids=encode(reserved, tokenizer),
        measured=measured,
    )
    tokens = sum(map(len, corpus.train))
    seconds = time.perf_counter() - started
    print(f"{len(stories):,} stories, {tokens:,} tokens, ready after {seconds:.0f} s", flush=True)
    return corpus


def header(what: str, device: str) -> dict[str, Any]:
    """What every results file says about how it came about."""
    import tokenizers
    import transformers

    return {
        "what": what,
        "command": "python -m pretrain " + shlex.join(sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "hardware": torch.cuda.get_device_name() if device == "cuda" else platform.processor(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__.split("+")[0],
            "cuda": torch.version.cuda,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def run(recipe: Recipe, corpus: Corpus, model, loss_function, device: str) -> dict[str, Any]:
    """Train once and measure on every set of stories; losses are the float32 weights'."""
    trained = train(
        recipe, corpus.packed(recipe, device), model, loss_function, corpus.reserved_ids
    )
    losses = {
        name: measure_text(model, corpus.tokenizer, stories)
        for name, stories in corpus.measured.items()
    }
    return {"recipe": dataclasses.asdict(recipe), **trained, "losses": losses}


def command_train(arguments: argparse.Namespace, recipe: Recipe, device: str) -> None:
    """Train with one recipe; export; measure what was exported; write the results."""
    from transformers import AutoModelForCausalLM

    corpus = load_corpus(arguments)
    model, loss_function = build(architecture(), device)
    result = run(recipe, corpus, model, loss_function, device)
    export(model, corpus.tokenizer, arguments.out)

    shipped = AutoModelForCausalLM.from_pretrained(arguments.out, dtype=torch.float32).to(device)
    result["losses"] = {
        name: measure_text(shipped, corpus.tokenizer, stories)
        for name, stories in corpus.measured.items()
    }
    weights = arguments.out / "model.safetensors"
    result["weights"] = {
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "bytes": weights.stat().st_size,
        "parameters": shipped.num_parameters(),
    }
    shipped.cpu()  # so that anyone's CPU draws the same samples
    result["samples"] = [sample(shipped, corpus.tokenizer, seed) for seed in range(3)]
    write_json(arguments.results, header("Pretraining of the bundled model", device) | result)
    print(json.dumps(result["losses"], indent=1))


def command_sweep(arguments: argparse.Namespace, recipe: Recipe, device: str) -> None:
    """Vary one field after the other from the best recipe so far.

    The best is the run with the lowest loss per character on the validation stories (reserved
    stories where there is no `--extra` file). Runs with extra stories are only compared.
    """
    started = time.perf_counter()
    corpus = load_corpus(arguments)
    model, loss_function = build(architecture(), device)
    criterion = "validation" if "validation" in corpus.measured else "reserved"
    report = header("Sweep of the pretraining recipe", device)
    report |= {"criterion": criterion, "runs": []}
    best, best_loss, per_token = recipe, float("inf"), 0.0

    def attempt(candidate: Recipe) -> None:
        nonlocal best, best_loss, per_token
        if any(done["recipe"] == dataclasses.asdict(candidate) for done in report["runs"]):
            return
        tokens = candidate.epochs * sum(map(len, corpus.train))
        seconds_left = arguments.minutes * 60 - (time.perf_counter() - started)
        if tokens * per_token > seconds_left:
            print(f"skipped, {seconds_left:.0f} s left: {candidate}", flush=True)
            return
        result = run(candidate, corpus, model, loss_function, device)
        per_token = result["seconds"] / result["tokens"]
        report["runs"].append(result)
        write_json(arguments.results, report)
        loss = result["losses"][criterion]["nats_per_character"]
        figures = {k: v["nats_per_character"] for k, v in result["losses"].items()}
        print(f"RESULT {result['recipe']} {result['seconds']} s {figures}", flush=True)
        if candidate.extra_copies == 0 and loss < best_loss:
            best, best_loss = candidate, loss
            export(model, corpus.tokenizer, arguments.out)

    attempt(recipe)
    for field, values in arguments.vary:
        for value in values:
            attempt(dataclasses.replace(best, **{field: value}))
    print(f"best: {best}, {criterion} {best_loss:.4f} nats per character")


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
    for name in ("train", "sweep"):
        sub = commands.add_parser(name)
        sub.add_argument("--extra", type=Path, help="more stories, xz; the last 300 validate")
        sub.add_argument("--heldout", type=Path, help="real stories, xz; only measured")
        sub.add_argument("--out", type=Path, default=MODEL, help="folder for the model")
        sub.add_argument("--results", type=Path, default=RESULTS, help="JSON file to write")
        for field in dataclasses.fields(Recipe):
            option = "--" + field.name.replace("_", "-")
            sub.add_argument(option, type=type(field.default), default=field.default)
    sub.add_argument("--minutes", type=float, default=60, help="start no run that would end later")
    sub.add_argument("--vary", type=variation, action="append", default=[], metavar="FIELD=V,V")
    commands.add_parser("card")
    return top


def main() -> None:
    """Run one command."""
    arguments = parser().parse_args()
    if arguments.command == "card":
        card.write(RESULTS, MODEL)
        return
    fields = [field.name for field in dataclasses.fields(Recipe)]
    recipe = Recipe(**{name: getattr(arguments, name) for name in fields})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    {"train": command_train, "sweep": command_sweep}[arguments.command](arguments, recipe, device)


if __name__ == "__main__":
    main()
