"""The training loop: AdamW, warm-up and cosine, clipping, accumulation, early stopping, resumable
checkpoints."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from peftcourse.experiments import precision
from peftcourse.experiments.evaluate import count_targets, next_token_loss
from peftcourse.experiments.evaluate import loss as validation_loss
from peftcourse.experiments.tasks import Encoded, collate
from peftlab.errors import PeftlabError
from peftlab.inject import adapter_layers, refuse_merged

CHECKPOINT_FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: optimizer steps.
        batch_size: examples per optimizer step and accumulation part.
        learning_rate: the highest rate, reached after the warm-up.
        warmup_fraction: share of the steps in which the rate rises linearly from zero.
        weight_decay: AdamW's decoupled decay.
        max_grad_norm: gradients are scaled down to this norm if they exceed it.
        accumulation: parts per step; ``accumulation`` parts of ``batch_size`` examples give the
            gradient of one batch of ``accumulation * batch_size``.
        evaluate_every: steps between two validation losses; 0 means only before and after.
        patience: validation losses in a row without a new lowest one after which training stops;
            then, and at the end of the steps, the parameters with the lowest one are put back. 0
            means that all steps are taken and the last parameters stay.
        checkpoint_every: steps between two checkpoints; 0 means none.
        seed: of the order of the examples and of dropout.

    Raises:
        PeftlabError: a value is out of range.
    """

    steps: int = 200
    batch_size: int = 8
    learning_rate: float = 2e-3
    warmup_fraction: float = 0.06
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    accumulation: int = 1
    evaluate_every: int = 0
    patience: int = 0
    checkpoint_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation"):
            if getattr(self, name) < 1:
                raise PeftlabError(f"{name} must be at least 1, not {getattr(self, name)!r}.")
        for name in ("learning_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise PeftlabError(
                    f"{name} must be positive and finite, not {getattr(self, name)!r}."
                )
        if not 0 <= self.warmup_fraction < 1:
            raise PeftlabError(
                f"warmup_fraction must be at least 0 and below 1, not {self.warmup_fraction!r}."
            )
        if self.patience < 0 or (self.patience and self.evaluate_every < 1):
            raise PeftlabError(
                f"patience counts validation losses, so it is at least 0 and needs evaluate_every; "
                f"patience={self.patience!r}, evaluate_every={self.evaluate_every!r} are not."
            )


@dataclass
class History:
    """What happened during training.

    Attributes:
        steps: 1, 2, … one per optimizer step.
        losses: mean training loss of each step, in nats per target token.
        learning_rates: the rate used in each step.
        validation: (step, validation loss) pairs; step 0 is before training.
        kept: the step whose parameters the model has; None if nothing was trained yet.
        seconds: wall-clock time of the training steps, validation excluded.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    kept: int | None = None
    seconds: float = 0.0


@dataclass
class _Lowest:
    """The lowest validation loss so far, the tensors that have it, and how long ago that was."""

    loss: float = math.inf
    step: int = 0
    waited: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def see(self, step: int, loss: float, state: dict[str, Tensor]) -> None:
        """Take note of a validation loss."""
        self.waited += 1
        if loss < self.loss:
            self.loss, self.step, self.waited = loss, step, 0
            self.tensors = {name: tensor.detach().clone() for name, tensor in state.items()}

    @torch.no_grad()
    def put_back(self, state: dict[str, Tensor]) -> None:
        """Give the model the tensors of that step."""
        for name, tensor in state.items():
            tensor.copy_(self.tensors[name])


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of step 1 … steps: a linear warm-up, then half a cosine towards zero.

    The first step after the warm-up has the full rate. The zero itself would come one step after
    the last, so that no step is wasted on a rate of zero.
    """
    warmup = math.ceil(config.warmup_fraction * config.steps)
    if step <= warmup:
        return config.learning_rate * step / warmup
    progress = (step - 1 - warmup) / (config.steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def batch_indices(step: int, examples: int, size: int, seed: int) -> list[int]:
    """Which examples step 1, 2, … sees: a new random order in each epoch.

    A function of the step alone, so that resumed training goes on with the right examples.
    """
    indices = []
    for position in range((step - 1) * size, step * size):
        epoch, place = divmod(position, examples)
        generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        indices.append(int(torch.randperm(examples, generator=generator)[place]))
    return indices


def train(
    model: nn.Module,
    examples: Sequence[Encoded],
    config: TrainConfig,
    *,
    validation: Sequence[Encoded] = (),
    folder: str | Path | None = None,
    resume: bool = False,
    on_step: Callable[[int, nn.Module], None] | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    groups: Sequence[dict[str, Any]] | None = None,
    own_step: Callable[..., float] | None = None,
    progress: bool = True,
) -> History:
    """Train the parameters that require gradients, in place.

    On a GPU the forward pass runs in 16 bit under autocast, while the trained parameters and the
    optimizer stay in their own precision. Where the GPU has no bfloat16 that is float16, whose
    smallest numbers lose small gradients: the loss is scaled up before backward, and the gradients
    down again (Micikevicius et al. 2018, "Mixed Precision Training", §3.2).

    Args:
        model: a causal language model; the trained parameters are those with ``requires_grad``.
        examples: encoded examples, see ``tasks.encode``.
        config: how to train.
        validation: encoded examples for the validation loss.
        folder: where checkpoints go.
        resume: go on from the checkpoint in ``folder`` if there is one; the result is the same as
            without the interruption.
        on_step: called with (step, model) after each step, while the gradients are still there, for
            example to record a norm.
        penalty: a term of the model's parameters to add to the loss of each step; it is not part of
            the losses in the history.
        groups: parameter groups for the optimizer. The rate of a group is the schedule's times the
            group's ``lr_ratio``, if it has one; see ``methods.lora_plus.parameter_groups``.
        own_step: takes each step in place of this loop's, ``own_step(model, batch, optimizer,
            max_norm)``, and returns its loss; see ``own.step``. It knows neither accumulation nor
            ``penalty``.
        progress: show a progress bar on stderr.

    Returns:
        The history, from step 1 also when resumed.

    Raises:
        PeftlabError: nothing would train, or something in float16 whose loss is scaled; there are
            no examples, an adapter is merged, the groups or a checkpoint do not fit, or the loss is
            not finite.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise PeftlabError("no parameter of the model requires a gradient; apply an adapter first.")
    if not examples:
        raise PeftlabError("there are no examples to train on; give at least one.")
    if folder is None and (resume or config.checkpoint_every):
        raise PeftlabError("checkpoints need a folder; give train(..., folder=...).")
    if own_step is not None and (config.accumulation > 1 or penalty is not None):
        raise PeftlabError("own_step takes one batch and no penalty; leave accumulation at 1.")
    if config.patience and not validation:
        raise PeftlabError("early stopping needs validation examples; give train(..., validation).")
    scaled = precision.autocast_dtype(next(iter(trained.values())).device) == torch.float16
    halves = [name for name, parameter in trained.items() if parameter.dtype == torch.float16]
    if scaled and halves:  # elsewhere they can train, and lesson 11 shows how badly
        raise PeftlabError(
            f"{halves[0]} trains in float16, which cannot hold AdamW's small numbers; make the "
            "parameters that train float32 first: model.float(). Autocast multiplies in 16 bit."
        )
    refuse_merged([layer for _, layer in adapter_layers(model)], "train")

    device = next(iter(trained.values())).device
    pad_id = getattr(model.config, "pad_token_id", None) or 0  # masked, so any id will do
    optimizer = _optimizer(trained, groups, config)
    scaler = torch.amp.GradScaler(device.type, enabled=scaled)
    history, lowest = History(), _Lowest()
    if own_step is not None and scaler.is_enabled():
        print("this GPU trains in float16, and its loss has to be scaled: the library's step runs")
        own_step = None
    was_training = model.training
    cuda_devices = [device] if device.type == "cuda" else []
    # Dropout draws from torch's global generator: seed it, and give it back as it was.
    with torch.random.fork_rng(devices=cuda_devices):
        torch.manual_seed(config.seed)
        if resume and (Path(folder) / CHECKPOINT_FILE).exists():
            history, lowest = _restore(
                Path(folder) / CHECKPOINT_FILE, config, model, trained, optimizer, scaler, device
            )
        elif validation:
            history.validation.append((0, validation_loss(model, validation)))
            if config.patience:
                lowest.see(*history.validation[0], _state(model, trained))

        first = len(history.steps) + 1
        bar = tqdm(
            range(first, config.steps + 1),
            initial=first - 1,
            total=config.steps,
            desc="training",
            # Only switch off explicitly: an explicit False would overrule TQDM_DISABLE.
            **({} if progress else {"disable": True}),
        )
        for step in bar:
            if config.patience and lowest.waited >= config.patience:
                break
            started = time.perf_counter()
            model.train()
            rate = learning_rate_at(step, config)
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("lr_ratio", 1.0)
            size = config.batch_size * config.accumulation
            chosen = [examples[i] for i in batch_indices(step, len(examples), size, config.seed)]
            parts = [
                collate(chosen[start : start + config.batch_size], pad_id)
                for start in range(0, size, config.batch_size)
            ]
            if own_step is None:
                loss = _train_step(
                    model, parts, optimizer, scaler, trained, config.max_grad_norm, device, penalty
                )
            else:
                batch = {name: tensor.to(device) for name, tensor in parts[0].items()}
                loss = own_step(model, batch, optimizer, config.max_grad_norm)
            if not math.isfinite(loss):
                raise PeftlabError(
                    f"the loss became {loss} in step {step}; lower the learning rate "
                    f"(it was {rate:.3g})."
                )
            history.seconds += time.perf_counter() - started
            history.steps.append(step)
            history.losses.append(loss)
            history.learning_rates.append(rate)
            last = step == config.steps
            if validation and (last or _due(step, config.evaluate_every)):
                history.validation.append((step, validation_loss(model, validation)))
                if config.patience:
                    lowest.see(*history.validation[-1], _state(model, trained))
            if on_step is not None:
                on_step(step, model)
            history.kept = step
            if _due(step, config.checkpoint_every):
                file = Path(folder) / CHECKPOINT_FILE
                _store(file, config, trained, optimizer, scaler, history, lowest, device)
            shown = {"validation": f"{history.validation[-1][1]:.3f}"} if validation else {}
            bar.set_postfix(loss=f"{loss:.3f}", **shown)
        bar.close()
    if config.patience:
        lowest.put_back(_state(model, trained))
        history.kept = lowest.step
    model.train(was_training)
    return history


def _state(model: nn.Module, trained: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """What trains, and what the adapters hold beside it, such as the directions that AdaLoRA keeps.

    Looked up anew each time, since a method may put another tensor in the place of a buffer.
    """
    buffers = {
        f"{path}.{layer.adapter}.{name}": buffer
        for path, layer in adapter_layers(model)
        for name, buffer in layer._buffers.items()
    }
    return trained | buffers


def _optimizer(
    trained: dict[str, nn.Parameter], groups: Sequence[dict[str, Any]] | None, config: TrainConfig
) -> torch.optim.Optimizer:
    """AdamW for the parameters that train, in the groups that the caller wants."""
    # Copies, because the optimizer writes into the dictionaries it is given.
    groups = [dict(group) for group in groups or [{"params": list(trained.values())}]]
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    if sorted(grouped) != sorted(map(id, trained.values())):
        raise PeftlabError("groups must hold each parameter that trains once, and no other.")
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def _train_step(
    model: nn.Module,
    parts: Sequence[dict[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    trained: dict[str, nn.Parameter],
    max_grad_norm: float,
    device: torch.device,
    penalty: Callable[[nn.Module], Tensor] | None,
) -> float:
    """One optimizer step over all parts of a batch; returns the mean loss per target token."""
    optimizer.zero_grad(set_to_none=True)
    # Parts hold different numbers of target tokens. Dividing each part's sum by the number in the
    # whole batch gives every token the same weight, as one large batch would.
    targets = max(1, sum(count_targets(part) for part in parts))
    total = 0.0
    for part in parts:
        part = {name: tensor.to(device) for name, tensor in part.items()}
        dtype = precision.autocast_dtype(device)
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            logits = model(part["input_ids"], attention_mask=part["attention_mask"]).logits
        loss = next_token_loss(logits, part["labels"], reduction="sum") / targets
        scaler.scale(loss).backward()
        total += loss.item()
    if penalty is not None:
        scaler.scale(penalty(model)).backward()
    if math.isfinite(total):  # one step along NaN would turn every parameter into NaN
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(trained.values(), max_grad_norm)
        scaler.step(optimizer)  # no step where scaled gradients overflowed: the scale is halved
        scaler.update()
    return total


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


# --- checkpoints ---------------------------------------------------------------------------------


def _store(
    file: Path,
    config: TrainConfig,
    trained: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    history: History,
    lowest: _Lowest,
    device: torch.device,
) -> None:
    """Write parameters, optimizer state, random state and history into one safetensors file.

    It is written beside the old one and then renamed over it: whenever the process dies, one
    whole checkpoint is on disk.
    """
    tensors = {"rng.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(device)
    for name, parameter in trained.items():
        tensors[f"parameter.{name}"] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value
    for name, tensor in lowest.tensors.items():
        tensors[f"lowest.{name}"] = tensor
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"config": json.dumps(asdict(config)), "history": json.dumps(asdict(history))}
    metadata["scaler"] = json.dumps(scaler.state_dict())
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".partial")
    save_file(tensors, temporary, metadata=metadata)
    os.replace(temporary, file)


def _restore(
    file: Path,
    config: TrainConfig,
    model: nn.Module,
    trained: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    device: torch.device,
) -> tuple[History, _Lowest]:
    """Read what ``_store`` wrote; nothing is changed unless all of it fits."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise PeftlabError(f"{file} is damaged ({error}); delete it to start anew.") from None
    saved = json.loads(metadata["config"])
    changed = [key for key, value in asdict(config).items() if saved.get(key) != value]
    if changed:
        key = changed[0]
        raise PeftlabError(
            f"{file} was written with {key}={saved.get(key)!r}, not {asdict(config)[key]!r}; "
            "resume with the same configuration or use another folder."
        )
    names = {name.removeprefix("parameter.") for name in tensors if name.startswith("parameter.")}
    if names != set(trained) or any(
        tensors[f"parameter.{name}"].shape != parameter.shape for name, parameter in trained.items()
    ):
        raise PeftlabError(f"{file} belongs to another model or adapter; use another folder.")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tensors[f"parameter.{name}"])
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = tensors.get(f"optimizer.{key}.{name}")
                if value is None:  # no step was taken yet: every loss so far was scaled too far
                    continue
                # AdamW counts its steps on the CPU and keeps its moments beside the parameter.
                optimizer.state[parameter][key] = value if key == "step" else value.to(device)
    torch.set_rng_state(tensors["rng.cpu"])
    if device.type == "cuda" and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"], device)
    if state := json.loads(metadata.get("scaler", "{}")):  # none where no loss is scaled
        scaler.load_state_dict(state)
    history = History(**json.loads(metadata["history"]))
    history.validation = [(step, value) for step, value in history.validation]
    lowest = _Lowest()
    if config.patience:
        for step, value in history.validation:
            lowest.see(step, value, {})
        lowest.tensors = {
            name: tensors[f"lowest.{name}"].to(tensor.device)
            for name, tensor in _state(model, trained).items()
        }
    return history, lowest
