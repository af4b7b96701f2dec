"""Training and what comes after it: ``peftlab train``, ``generate`` and ``ship``."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcourse.cli import options
from peftlab import __version__
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from peftcourse.experiments.models import Loaded
    from peftcourse.experiments.own_data import OwnData, Tokens
    from peftcourse.experiments.tasks import Task
    from peftcourse.experiments.train import TrainConfig
    from peftcourse.experiments.training_record import TrainingRecord

TASK, TASK_STEPS = "voice", 200
# Own data: how often training goes through them at most, how often it looks at the validation
# loss, and how many looks in a row may bring nothing new.
PASSES, LOOKS, PATIENCE = 5, 20, 3


def train(arguments: argparse.Namespace) -> int:
    """Fine-tune a base model with LoRA on a task or on own data, and save the adapter."""
    import peftlab
    from peftcourse.experiments import models, tasks
    from peftcourse.experiments.capstone import REPORT
    from peftcourse.experiments.train import train as run

    # Cheap checks come first: a wrong value should not cost a model's loading time.
    _check_options(arguments)
    targets = arguments.targets
    config = peftlab.LoRAConfig(
        rank=arguments.rank,
        alpha=arguments.alpha,
        targets=targets[0] if len(targets) == 1 else targets,
    )
    out = options.folder_to_write(arguments.out)
    data = _own_data(arguments) if arguments.data else None
    task = None if data else tasks.load(arguments.task or TASK, voice=arguments.voice)
    loaded = models.load(arguments.model)
    tokens = _tokens(loaded, data, task, arguments.max_length)
    schedule = _schedule(arguments, loaded.name, task, len(tokens.train))
    model, name = loaded.model, "own" if task is None else task.name
    peftlab.apply(model, config, name=name)
    print(peftlab.trainable_report(model))
    out.mkdir(parents=True, exist_ok=True)  # fail before training, not after
    progress = sys.stderr.isatty()
    history = run(model, tokens.train, schedule, validation=tokens.validation, progress=progress)

    before, after = history.validation[0][1], dict(history.validation)[history.kept]
    if history.kept == 0:
        print(
            f"peftlab: the validation loss never fell below the {before:.3f} of the model without "
            "the adapter, and nothing was saved; lower --learning-rate, or give more examples.",
            file=sys.stderr,
        )
        return 1
    peftlab.save(model, out, name)
    (out / REPORT).unlink(missing_ok=True)  # it is of the adapter that was there before
    _record(arguments, loaded.name, task, data, schedule, history).write(out)
    print(f"validation loss: {before:.3f} before, {after:.3f} after (nats per token)")
    if schedule.patience:
        print(f"the weights are those of step {history.kept}, with the lowest validation loss")
    steps = len(history.steps)
    took = f"{steps} steps" if steps == schedule.steps else f"{steps} of {schedule.steps} steps"
    print(f"{took} took {history.seconds:.0f} s; the adapter is in {out}")
    return 0


def _check_options(arguments: argparse.Namespace) -> None:
    """Options that belong to own data alone, or to tasks alone."""
    if arguments.data is None:
        for option in ("validation", "test", "ignore_fields", "split_seed"):
            if getattr(arguments, option) is not None:
                shown = option.replace("_", "-")
                raise PeftlabError(f"--{shown} belongs to --data; give that too, or leave it out.")
    else:
        for option in ("task", "voice"):
            if getattr(arguments, option) is not None:
                raise PeftlabError(f"--{option} and --data exclude each other; leave one out.")


def _own_data(arguments: argparse.Namespace) -> OwnData:
    from peftcourse.experiments import own_data

    data = own_data.read_jsonl(
        arguments.data,
        validation=arguments.validation,
        test=arguments.test,
        seed=arguments.split_seed or 0,
        ignore=arguments.ignore_fields or (),
    )
    print(data.describe())
    print(data.split)
    return data


def _tokens(
    loaded: Loaded, data: OwnData | None, task: Task | None, max_length: int | None
) -> Tokens:
    """What is trained on, in tokens."""
    from peftcourse.experiments import models, own_data, tasks

    context = models.context(loaded.model)
    if data is not None:
        tokens = own_data.encode(data, loaded.tokenizer, context, max_length)
        print(own_data.lengths(tokens, max_length))
        return tokens
    own_data.check_length(max_length, context)
    # A stretch of a voice teaches it; the answers of the other tasks come after their prompts.
    length = max_length or min(64 if task.name == "voice" else 160, context or math.inf)
    parts = (task.train, task.validation)
    encoded = [tasks.encode(examples, loaded.tokenizer, length) for examples in parts]
    return own_data.Tokens(*encoded, test=[], longest=length, cut=0, targets=0)


def _schedule(
    arguments: argparse.Namespace, model: str, task: Task | None, examples: int
) -> TrainConfig:
    """How to train, and a line on what was not said and therefore chosen."""
    from peftcourse.compare import rates
    from peftcourse.experiments.train import TrainConfig
    from peftcourse.recommend.rules import RATE

    rate, batch = arguments.learning_rate, arguments.batch_size
    if rate is None:
        found = rates.recorded(model, "lora-8", task and task.name)
        rate = found.value if found else RATE
        source = f"this course found: {found}" if found else "the usual one of larger models"
        print(f"learning rate {rate:g} ({source})")
    patience = arguments.early_stopping
    if patience is None:
        patience = 0 if task else PATIENCE
    steps = arguments.steps or (TASK_STEPS if task else math.ceil(PASSES * examples / batch))
    every = max(1, steps // LOOKS) if patience else 0
    if patience:
        print(
            f"at most {steps} steps of {batch} examples; it ends when {patience} validation losses "
            f"in a row, one every {every} steps, bring no new lowest one"
        )
    return TrainConfig(
        steps, batch, rate, evaluate_every=every, patience=patience, seed=arguments.seed
    )


def _record(
    arguments: argparse.Namespace,
    model: str,
    task: Task | None,
    data: OwnData | None,
    schedule: TrainConfig,
    history: Any,
) -> TrainingRecord:
    from peftcourse.experiments import own_data
    from peftcourse.experiments.training_record import TrainingRecord

    files = {name: getattr(arguments, name) for name in ("data", "validation", "test")}
    return TrainingRecord(
        model=model,
        task=task and task.name,
        files={name: file for name, file in files.items() if file is not None},
        kind=data and data.kind,
        sha256=data and own_data.digest(*files.values()),
        ignore=tuple(arguments.ignore_fields or ()),
        split_seed=arguments.split_seed or 0,
        max_length=arguments.max_length,
        learning_rate=schedule.learning_rate,
        batch_size=schedule.batch_size,
        seed=schedule.seed,
        steps=len(history.steps),
        kept=history.kept,
        validation=tuple(history.validation),
        peftlab=__version__,
    )


def generate(arguments: argparse.Namespace) -> int:
    """Continue a prompt, or reply to it, with an adapter if one is given."""
    import peftlab
    from peftcourse.experiments import evaluate, jsonl, models, tasks
    from peftcourse.experiments.chat import SYSTEM, USER, Message

    record = _adapter(arguments.adapter)
    chat = arguments.chat or arguments.system is not None
    chat = chat or (record is not None and record.kind == jsonl.CHAT)
    model, tokenizer = models.load(arguments.model or (record and record.model))
    if arguments.adapter is not None:
        peftlab.load(model, arguments.adapter)
    prompt: Any = arguments.prompt
    if chat:
        system = [Message(SYSTEM, arguments.system)] if arguments.system else []
        prompt = [*system, Message(USER, arguments.prompt)]
    context = models.context(model)
    needed = len(tasks.prompt_ids(prompt, tokenizer)) + arguments.max_new_tokens
    if context is not None and needed > context:
        raise PeftlabError(
            f"the prompt and --max-new-tokens are {needed} tokens together, and the model takes "
            f"{context}; lower --max-new-tokens, or shorten the prompt."
        )
    [text] = evaluate.generate(
        model,
        tokenizer,
        [prompt],
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    print(text.strip() if chat else arguments.prompt + text)
    return 0


def _adapter(folder: str | None) -> TrainingRecord | None:
    """What is written beside an adapter; whether there is one, before a model is loaded."""
    from peftcourse.experiments import training_record
    from peftlab.saving import CONFIG_FILE

    if folder is None:
        return None
    if not (Path(folder) / CONFIG_FILE).is_file():
        raise PeftlabError(
            f"{folder} is not an adapter: it has no {CONFIG_FILE}; give the folder that peftlab "
            "train or PEFT's save_pretrained wrote."
        )
    return training_record.read(folder)


def ship(arguments: argparse.Namespace) -> int:
    """Measure an adapter on its test examples and check its files; 1 if something differs."""
    import warnings

    import peftlab
    from peftcourse.experiments import capstone, models, own_data
    from peftcourse.experiments.capstone import REPORT
    from peftcourse.experiments.training_record import TrainingRecord

    warnings.simplefilter("ignore")  # PEFT asks transformers by names that are deprecated
    folder = Path(arguments.adapter)
    record = _adapter(arguments.adapter)
    options.file_to_write(str(folder / REPORT))
    merged = options.folder_to_write(arguments.merged) if arguments.merged else None
    files = _test_files(arguments, record)
    record = record or TrainingRecord(model="")
    data = own_data.read_jsonl(
        files["data"],
        validation=files.get("validation"),
        test=files.get("test"),
        seed=record.split_seed,
        ignore=arguments.ignore_fields or record.ignore,
    )
    names = ("data", "validation", "test")
    if record.sha256 not in (None, own_data.digest(*(files.get(name) for name in names))):
        print(
            "peftlab: the data are not quite those that the adapter was trained on; a question of "
            "theirs is still in the split that it was in.",
            file=sys.stderr,
        )
    model, tokenizer = models.load(arguments.model or record.model)
    length = arguments.max_length or record.max_length
    own_data.encode(data, tokenizer, models.context(model), length)
    peftlab.load(model, folder)
    if merged:
        _check_mergeable(model)
    shipped = capstone.inspect(model, tokenizer, data, folder, max_length=length)
    print(shipped.as_markdown())
    print(f"the report is in {folder / REPORT}")
    if merged:
        peftlab.merge(model, keep_base=False)
        model.save_pretrained(merged)
        tokenizer.save_pretrained(merged)
        print(f"the merged model is in {merged}")
    return 0 if shipped.ok else 1


def _test_files(arguments: argparse.Namespace, record: TrainingRecord | None) -> dict[str, str]:
    """Where the test examples are: as said, or else as they were when the adapter was trained."""
    given = {name: getattr(arguments, name) for name in ("data", "validation", "test")}
    given = {name: file for name, file in given.items() if file is not None}
    if "data" in given:
        return given
    if record is None or not record.files:
        known = f"was trained on the task {record.task}" if record else "has no training.json"
        raise PeftlabError(
            f"{arguments.adapter} {known}; say with --data which examples to measure it on."
        )
    return record.files | given


def _check_mergeable(model: Any) -> None:
    import peftlab

    for _, layer in peftlab.adapter_layers(model):
        if layer.CANNOT_MERGE:
            raise PeftlabError(
                f"{type(layer.method).__name__.removesuffix('Config')} cannot be merged: "
                f"{layer.CANNOT_MERGE}; leave --merged out, and serve the model with its adapter."
            )


def add(commands: argparse._SubParsersAction) -> None:
    """Add these commands to the parser."""
    command = commands.add_parser("train", help="fine-tune a base model with LoRA")
    command.add_argument(
        "--task", type=options.given, help="voice (default), facts, slots or sentiment"
    )
    command.add_argument(
        "--voice", type=options.given, help="for --task voice: pirate (default) or robot"
    )
    options.add_data(command)
    command.add_argument(
        "--split-seed", type=options.whole, help="of the split of --data (default 0)"
    )
    command.add_argument("--model", type=options.given, help=options.MODEL)
    command.add_argument("--rank", type=int, default=8, help="rank of the update (default 8)")
    command.add_argument("--alpha", type=float, default=16, help="scaling × rank (default 16)")
    command.add_argument(
        "--targets",
        type=options.names,
        default=["all-linear"],
        help="all-linear (default), or names: q_proj,v_proj",
    )
    command.add_argument(
        "--steps",
        type=options.count,
        help=f"optimizer steps (default {TASK_STEPS}; for --data {PASSES} times all examples)",
    )
    command.add_argument(
        "--early-stopping",
        type=options.whole,
        metavar="PATIENCE",
        help="validation losses in a row without a new lowest one that end the training, whose "
        f"best weights are kept; 0: train all steps (default {PATIENCE} for --data, else 0)",
    )
    command.add_argument(
        "--batch-size", type=options.count, default=8, help="examples a step (default 8)"
    )
    command.add_argument(
        "--max-length",
        type=options.count,
        help="tokens at which an example is cut off (default 64 for voice, 160 for other tasks; "
        "none for --data)",
    )
    command.add_argument(
        "--learning-rate",
        type=options.positive,
        help="peak (default: what this course found for the model, else 0.0002)",
    )
    command.add_argument(
        "--seed", type=options.whole, default=0, help="order of the examples (default 0)"
    )
    command.add_argument(
        "--out", type=options.given, required=True, metavar="FOLDER", help="gets the adapter"
    )
    command.set_defaults(run=train)

    command = commands.add_parser("generate", help="continue a prompt, or reply to it")
    command.add_argument(
        "--model", type=options.given, help=f"{options.MODEL}; by default the adapter's"
    )
    command.add_argument(
        "--adapter", type=options.given, metavar="FOLDER", help="an adapter that train saved"
    )
    command.add_argument("--prompt", default="Once upon a time", help="what to continue")
    command.add_argument(
        "--chat",
        action="store_true",
        help="reply to the prompt (default for an adapter trained on conversations)",
    )
    command.add_argument("--system", type=options.given, help="system message of --chat")
    command.add_argument(
        "--max-new-tokens", type=options.count, default=120, help="length at most (default 120)"
    )
    command.add_argument(
        "--temperature",
        type=options.at_least_zero,
        default=0.8,
        help="0: the likeliest token (default 0.8)",
    )
    command.add_argument(
        "--seed", type=options.whole, default=0, help="of the sampling (default 0)"
    )
    command.set_defaults(run=generate)

    command = commands.add_parser("ship", help="measure a trained adapter, and check its files")
    command.add_argument(
        "--adapter", type=options.given, required=True, metavar="FOLDER", help="gets report.md"
    )
    command.add_argument(
        "--model", type=options.given, help=f"{options.MODEL}; by default the adapter's"
    )
    options.add_data(command)
    command.add_argument(
        "--max-length", type=options.count, help="as in the training, which is the default"
    )
    command.add_argument(
        "--merged", type=options.given, metavar="FOLDER", help="gets the merged model"
    )
    command.set_defaults(run=ship)
