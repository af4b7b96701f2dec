"""The same method here and in PEFT, trained: on the same batches, from the same values or not.

Two questions. From the same starting values, do both take the same steps? From starting values of
their own, do they end equally well? Both sides have dropout off, compute in the base's precision,
and share the loss, the optimizer and the batches; what differs is the adapter's own code.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

import peftlab
from peftcourse.experiments import tasks
from peftcourse.experiments.evaluate import next_token_loss
from peftcourse.experiments.train import TrainConfig, batch_indices, learning_rate_at
from peftcourse.parity import twins_lora, twins_soft
from peftlab.inject import adapter_layers
from peftlab.methods.adalora import AdaLoRAConfig, RankAllocator
from peftlab.methods.dora import DoRAConfig
from peftlab.methods.ia3 import IA3Config
from peftlab.methods.lora import LoRAConfig
from peftlab.methods.partial import PartialConfig
from peftlab.methods.pissa import PiSSAConfig
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig

NORMS = r".*norm"
Method = LoRAConfig | AdaLoRAConfig | IA3Config | PrefixConfig | PromptConfig | PartialConfig


@dataclass(frozen=True)
class Trained:
    """A method to train with both libraries, and a learning rate that both get.

    Attributes:
        method: the configuration here; PEFT's follows from it.
        rate: the highest learning rate.
    """

    method: Method
    rate: float


def methods(steps: int) -> dict[str, Trained]:
    """Every method that both libraries have, by name, for a training of this many steps."""
    return {
        "LoRA": Trained(LoRAConfig(rank=8, alpha=16), 6e-3),
        "rsLoRA": Trained(LoRAConfig(rank=8, alpha=16, rank_stabilized=True), 3e-3),
        "PiSSA": Trained(PiSSAConfig(rank=8, alpha=16), 2e-3),
        "DoRA": Trained(DoRAConfig(rank=8, alpha=16), 6e-3),
        "AdaLoRA": Trained(
            AdaLoRAConfig(steps, rank=12, target_rank=8, warmup_steps=2, final_steps=steps // 4),
            1e-2,
        ),
        "IA³": Trained(IA3Config(), 3e-2),
        "norms": Trained(PartialConfig(NORMS), 1e-2),
        "prefix": Trained(PrefixConfig(tokens=10), 0.1),
        "prompt": Trained(PromptConfig(tokens=10), 3e-2),
    }


class Peft(nn.Module):
    """PEFT's model behind the calls that this package's own functions make.

    Its logits are those at the caller's positions, and AdaLoRA's penalty can be asked for.
    """

    def __init__(self, model: nn.Module, method: Method) -> None:
        super().__init__()
        self.model = model
        self.method = method

    @property
    def config(self) -> Any:
        """The base model's configuration."""
        return self.model.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        """An object with the logits at the caller's positions, as ``logits``."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        return SimpleNamespace(logits=twins_soft.logits(self.model, self.method, **inputs))

    def penalty(self, model: nn.Module) -> Tensor:
        """What PEFT's AdaLoRA adds to the loss that it computes.

        Its tuner is asked and not the ``PeftModel`` around it: without a ``task_type`` that one
        goes past the tuner to the base model, and there is no penalty.
        """
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.model.device)
        with_penalty = self.model.base_model(input_ids=ids, labels=ids)
        return with_penalty.loss - next_token_loss(with_penalty.logits, ids)

    def allocate(self, step: int, model: nn.Module) -> None:
        """PEFT's own hook after a step of AdaLoRA."""
        self.model.base_model.update_and_allocate(step)


def ours(base: nn.Module, method: Method) -> nn.Module:
    """A copy of the base with our adapter, ready to train."""
    return peftlab.apply(copy.deepcopy(base), method, train_head=False).train()


def same_start(base: nn.Module, method: Method, mine: nn.Module) -> Peft:
    """PEFT's model with the values that our adapter has now."""
    if isinstance(method, PartialConfig):
        theirs = own_start(base, method)
        with torch.no_grad():
            for path, layer in adapter_layers(mine):
                module = theirs.model.base_model.model.get_submodule(path)
                module.ln_tuning_layers["default"].weight.copy_(layer.weight)
        return theirs
    soft = isinstance(method, PrefixConfig | PromptConfig)
    twin = (twins_soft if soft else twins_lora).twin(base, method, mine)
    return Peft(twin, method).train()


def own_start(base: nn.Module, method: Method) -> Peft:
    """PEFT's model as PEFT itself starts it, from torch's random numbers."""
    import peft

    if isinstance(method, PartialConfig):
        config = peft.LNTuningConfig(task_type="CAUSAL_LM", target_modules=method.targets)
    elif isinstance(method, PromptConfig):
        config = peft.PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=method.tokens,
            prompt_tuning_init="SAMPLE_VOCAB",
        )
    elif isinstance(method, PrefixConfig):
        config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=method.tokens)
    else:
        config = twins_lora.peft_config(method, adapter_layers(ours(base, method)))
        if isinstance(method, PiSSAConfig):
            config.init_lora_weights = "pissa"
    with warnings.catch_warnings():
        # It says so of every norm but nn.LayerNorm, and trains it all the same.
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
        return Peft(peft.get_peft_model(copy.deepcopy(base), config), method).train()


def batches(
    examples: Sequence[tasks.Encoded], config: TrainConfig, device: torch.device | str = "cpu"
) -> Iterable[dict[str, Tensor]]:
    """The batch of every step; equal for equal configurations."""
    for step in range(1, config.steps + 1):
        chosen = batch_indices(step, len(examples), config.batch_size, config.seed)
        batch = tasks.collate([examples[i] for i in chosen], 0)
        yield {name: tensor.to(device) for name, tensor in batch.items()}


def fit(
    model: nn.Module, method: Method, given: Iterable[dict[str, Tensor]], config: TrainConfig
) -> list[float]:
    """Train, and return the loss of each step in nats per target token.

    Args:
        model: ours or a ``Peft``; what requires a gradient trains.
        method: its configuration: AdaLoRA has a penalty and a hook after each step.
        given: a batch for each step.
        config: rate, warm-up, decay and clipping.
    """
    penalty, after_step = _hooks(model, method)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    losses = []
    for step, batch in enumerate(given, start=1):
        optimizer.param_groups[0]["lr"] = learning_rate_at(step, config)
        optimizer.zero_grad()
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = next_token_loss(logits, batch["labels"])
        (loss if penalty is None else loss + penalty(model)).backward()
        nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        optimizer.step()
        if after_step is not None:
            after_step(step, model)
        losses.append(loss.item())
    return losses


def _hooks(model: nn.Module, method: Method) -> tuple[Callable | None, Callable | None]:
    """(penalty, what follows a step); only AdaLoRA has them."""
    if not isinstance(method, AdaLoRAConfig):
        return None, None
    if isinstance(model, Peft):
        return model.penalty, model.allocate
    allocator = RankAllocator(model)
    return allocator.penalty, allocator


def twin_losses(
    base: nn.Module, name: str, examples: Sequence[tasks.Encoded], *, steps: int = 20, seed: int = 0
) -> tuple[list[float], list[float]]:
    """Losses of each step, ours and PEFT's, from the same values on the same batches.

    Args:
        base: the model without an adapter; it is copied.
        name: one of ``methods``.
        examples: encoded texts, see ``tasks.encode``.
        steps: optimizer steps.
        seed: of the starting values and the order of the texts.
    """
    chosen = methods(steps)[name]
    config = TrainConfig(steps, learning_rate=chosen.rate, seed=seed)
    torch.manual_seed(seed)
    mine = ours(base, chosen.method)
    theirs = same_start(base, chosen.method, mine)
    device = next(base.parameters()).device
    return tuple(
        fit(side, chosen.method, batches(examples, config, device), config)
        for side in (mine, theirs)
    )


def rounding_gap(
    base: nn.Module, name: str, examples: Sequence[tasks.Encoded], *, steps: int = 20, seed: int = 0
) -> float:
    """How far apart rounding alone takes two runs of our own code: the largest difference of a
    step's loss, in nats.

    Both have the same code and the same batches. One starts with every trained value moved to the
    next number of its precision, up or down at random. What two libraries differ by cannot be told
    from rounding if it is not larger.

    Args:
        base: the model without an adapter; it is copied.
        name: one of ``methods``.
        examples: encoded texts, see ``tasks.encode``.
        steps: optimizer steps.
        seed: of the starting values, the order of the texts and the directions.
    """
    chosen = methods(steps)[name]
    config = TrainConfig(steps, learning_rate=chosen.rate, seed=seed)
    device = next(base.parameters()).device
    torch.manual_seed(seed)
    plain = ours(base, chosen.method)
    moved = copy.deepcopy(plain)
    with torch.no_grad():
        for parameter in moved.parameters():
            if parameter.requires_grad:
                towards = torch.randn_like(parameter).sign() * torch.inf
                parameter.copy_(torch.nextafter(parameter, towards))
    losses = [
        fit(side, chosen.method, batches(examples, config, device), config)
        for side in (plain, moved)
    ]
    return max(abs(a - b) for a, b in zip(*losses, strict=True))
