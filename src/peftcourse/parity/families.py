"""Every method on tiny models of many architectures: does it work there, exactly, or say why not?

A cell of the matrix is one method on one architecture. It is ``works`` if all that can be checked
holds, ``refused`` if ``peftlab.apply`` raises its own error, and ``wrong`` otherwise, which is a
bug: a silent one, a crash, or a refusal of what Hugging Face PEFT trains.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

import peftlab
from peftcourse.parity.architectures import ARCHITECTURES, Architecture, tokens
from peftcourse.parity.models import randomise_adapter, relative_error
from peftlab import (
    AdaLoRAConfig,
    BitFitConfig,
    BottleneckConfig,
    DoRAConfig,
    IA3Config,
    LoRAConfig,
    PartialConfig,
    PeftlabError,
    PiSSAConfig,
    PrefixConfig,
    PromptConfig,
    SubspaceConfig,
)
from peftlab.methods.virtual import VirtualTokens

# What the table calls a method → its configuration, given the end of a feed-forward network.
METHODS: dict[str, Callable[[str], Any]] = {
    "LoRA": lambda down: LoRAConfig(rank=2),
    "rsLoRA": lambda down: LoRAConfig(rank=2, rank_stabilized=True),
    "PiSSA": lambda down: PiSSAConfig(rank=2),
    "DoRA": lambda down: DoRAConfig(rank=2),
    "AdaLoRA": lambda down: AdaLoRAConfig(total_steps=9, rank=2, target_rank=1),
    "IA³": lambda down: IA3Config(targets=down, feedforward=down),
    "bottleneck": lambda down: BottleneckConfig(size=4, targets=down),
    "BitFit": lambda down: BitFitConfig(),
    "subspace": lambda down: SubspaceConfig(dimension=16),
    "partial": lambda down: PartialConfig(down),
    "prefix": lambda down: PrefixConfig(tokens=4),
    "prefix, MLP": lambda down: PrefixConfig(tokens=4, mlp_size=8),
    "prompt": lambda down: PromptConfig(tokens=4),
}
QUICK_METHODS = ("LoRA", "prefix", "prompt")
QUICK = ("Mistral (sliding)", "Mamba", "BERT", "WavLM")
TOLERANCE = 2e-4  # in float32, after a few layers
WORKS, REFUSED, WRONG = "works", "refused", "wrong"


@dataclass(frozen=True)
class Cell:
    """One method on one architecture.

    Attributes:
        architecture, kind: which model.
        method: which method.
        verdict: ``works``, ``refused`` or ``wrong``.
        reason: of a refusal, in the words of the error; of a failure, what was seen.
        checks: what was checked, with ``"ok"`` or why it does not apply.
    """

    architecture: str
    kind: str
    method: str
    verdict: str
    reason: str
    checks: dict[str, str]


class Failed(Exception):
    """A check does not hold; the message says what was seen."""


def cells(*, quick: bool = False) -> Iterator[Cell]:
    """Every cell, as it is computed; with ``quick`` some architectures and methods."""
    for architecture in ARCHITECTURES:
        if quick and architecture.name not in QUICK:
            continue
        base = architecture.build()
        for method in QUICK_METHODS if quick else METHODS:
            yield cell(architecture, method, base)


def unused(model: nn.Module, inputs: dict[str, Tensor]) -> set[str]:
    """Names of the modules whose parameters the plain model's output does not depend on."""
    model = copy.deepcopy(model).train().requires_grad_(True)
    _loss(model(**inputs).logits).backward()
    return {
        path
        for path, module in model.named_modules()
        if (own := list(module.parameters(recurse=False))) and all(p.grad is None for p in own)
    }


def cell(architecture: Architecture, name: str, base: nn.Module | None = None) -> Cell:
    """Try one method on one architecture."""
    base = architecture.build() if base is None else base
    method = METHODS[name](architecture.down)
    checks: dict[str, str] = {}
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        try:
            verdict, reason = _try(architecture, method, base, checks)
        except Failed as error:
            verdict, reason = WRONG, str(error)
        except Exception as error:  # whatever goes wrong on the way is what is looked for
            last = next(reversed(checks), "apply")
            verdict, reason = WRONG, f"after {last}: {type(error).__name__}: {error}"
    return Cell(architecture.name, architecture.kind, name, verdict, reason[:400], checks)


def _try(
    architecture: Architecture, method: Any, base: nn.Module, checks: dict[str, str]
) -> tuple[str, str]:
    inputs = architecture.batch()
    with torch.no_grad():
        plain = base(**inputs).logits
    try:
        model = peftlab.apply(copy.deepcopy(base), method)
    except PeftlabError as error:
        if trains_in_peft(method, base, inputs):
            raise Failed(f"refused, and PEFT trains it: {error}") from None
        return REFUSED, str(error)
    soft = any(isinstance(layer, VirtualTokens) for _, layer in peftlab.adapter_layers(model))
    if soft:
        checks["apply changes nothing"] = "virtual tokens do"
    else:
        _same("apply changes nothing", model(**inputs).logits, plain, checks)
    randomise_adapter(model, scale=0.3)
    _gradients(model, inputs, plain, unused(base, inputs), checks)
    with torch.no_grad():
        adapted = model.eval()(**inputs).logits
    with tempfile.TemporaryDirectory() as folder:
        peftlab.save(model, folder)
        loaded = peftlab.load(copy.deepcopy(base), folder)
        with torch.no_grad():
            _same("save and load here", loaded(**inputs).logits, adapted, checks)
        ours = {path for path, layer in peftlab.adapter_layers(model)}
        _in_peft(method, base, folder, inputs, adapted, ours, checks)
    _merged(model, inputs, adapted, checks)
    _checkpointed(model, inputs, checks)
    if architecture.generates:
        _generated(model, base, checks)
    else:
        checks["left padding"] = "it does not generate"
    return WORKS, ""


def _same(name: str, value: Tensor, expected: Tensor, checks: dict[str, str]) -> None:
    error = relative_error(value, expected)
    if not error <= TOLERANCE:  # NaN too
        raise Failed(f"{name}: a relative difference of {error:.1e}")
    checks[name] = "ok"


def _gradients(
    model: nn.Module,
    inputs: dict[str, Tensor],
    plain: Tensor,
    unused: set[str],
    checks: dict[str, str],
) -> None:
    """Every adapter has a gradient that is not zero, and an effect."""
    model.zero_grad()
    logits = model.train()(**inputs).logits
    _loss(logits).backward()
    dead = [
        path
        for path, layer in peftlab.adapter_layers(model)
        if path not in unused
        and (own := list(layer.adapter_parameters().values()))
        and not any(p.grad is not None and p.grad.any() for p in own)
    ]
    if dead:
        raise Failed(f"no gradient in {len(dead)} adapters: {', '.join(dead[:3])}")
    moved = relative_error(logits, plain)
    if not moved > 1e-4:
        raise Failed(f"the adapter moves the logits by {moved:.1e} only")
    checks["every adapter gets a gradient"] = "ok"


def _loss(logits: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return (logits * torch.randn(logits.shape, generator=generator)).sum()


def _merged(
    model: nn.Module, inputs: dict[str, Tensor], adapted: Tensor, checks: dict[str, str]
) -> None:
    merged = copy.deepcopy(model)
    try:
        peftlab.merge(merged)
    except PeftlabError as error:
        checks["merge"] = str(error)
        return
    with torch.no_grad():
        _same("merge", merged(**inputs).logits, adapted, checks)


def _checkpointed(model: nn.Module, inputs: dict[str, Tensor], checks: dict[str, str]) -> None:
    """Loss and gradient are the same when activations are computed again."""
    name = "gradient checkpointing"
    if not getattr(model, "supports_gradient_checkpointing", False):
        checks[name] = "the architecture has none"
        return
    found = []
    for enable in (lambda: None, lambda: _enable_checkpointing(model)):
        enable()
        model.train().zero_grad()
        _loss(model(**inputs).logits).backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        found.append(torch.cat(gradients).clone())
    model.eval().gradient_checkpointing_disable()
    _same(name, found[1], found[0], checks)


def _enable_checkpointing(model: nn.Module) -> None:
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    next(getattr(model, name) for name in names if hasattr(model, name))()


def _generated(model: nn.Module, base: nn.Module, checks: dict[str, str]) -> None:
    """A row generates in a batch, padded on the left, what it generates alone."""
    name = "left padding"
    if not _generates_alike(base):
        checks[name] = "not even the base model does"
        return
    if not _generates_alike(model):
        raise Failed("a row generates something else when it is padded on the left")
    checks[name] = "ok"


def _generates_alike(model: nn.Module) -> bool:
    ids = tokens()["input_ids"]
    row = ids[1:, 3:]
    ids = torch.cat([ids[:1], torch.cat([torch.zeros_like(ids[1:, :3]), row], dim=1)])
    how = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    together = model.generate(ids, attention_mask=(ids != 0).long(), **how)[1, ids.shape[1] :]
    alone = model.generate(row, attention_mask=torch.ones_like(row), **how)[0, row.shape[1] :]
    return torch.equal(together, alone)


# --- Hugging Face PEFT ---------------------------------------------------------------------------


def _in_peft(
    method: Any,
    base: nn.Module,
    folder: str,
    inputs: dict[str, Tensor],
    adapted: Tensor,
    ours: set[str],
    checks: dict[str, str],
) -> None:
    """A file of ours computes the same in PEFT, if PEFT has the method and can do it there."""
    import peft

    name = "save here, load in PEFT"
    if peft_config(method, base) is None:
        checks[name] = "PEFT does not have the method"
        return
    try:
        theirs = peft.PeftModel.from_pretrained(copy.deepcopy(base), folder).eval()
        with torch.no_grad():
            logits = theirs(**_masked(inputs)).logits
    except Exception as error:
        if trains_in_peft(method, base, inputs):
            raise
        checks[name] = f"PEFT cannot: {type(error).__name__}"
        return
    if logits.ndim > 2:  # PEFT leaves the soft tokens in
        logits = logits[:, -adapted.shape[1] :]
    names = {key.split(".lora_")[0] for key, _ in theirs.named_parameters() if ".lora_" in key}
    others = {key.removeprefix("base_model.model.") for key in names} - ours
    if others:
        # For these models it takes every `down_proj` for a part of the experts.
        checks[name] = f"PEFT adapts {min(others)} in place of layers that the file names"
        return
    if relative_error(logits, adapted) > TOLERANCE and not trains_in_peft(method, base, inputs):
        checks[name] = "PEFT leaves adapters there without a gradient"
        return
    _same(name, logits, adapted, checks)


def _masked(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """With a mask, which PEFT's virtual tokens ask for."""
    ids = inputs.get("input_ids")
    return inputs if ids is None else {**inputs, "attention_mask": torch.ones_like(ids)}


def peft_config(method: Any, base: nn.Module) -> Any:
    """PEFT's own configuration of the method; ``None`` if it does not have it."""
    import peft

    task = "SEQ_CLS" if "Classification" in type(base).__name__ else "CAUSAL_LM"
    task = "SEQ_2_SEQ_LM" if getattr(base.config, "is_encoder_decoder", False) else task
    if isinstance(method, LoRAConfig):
        options = {"use_dora": isinstance(method, DoRAConfig)}
        options["init_lora_weights"] = "pissa" if isinstance(method, PiSSAConfig) else True
        return peft.LoraConfig(
            r=2, target_modules="all-linear", use_rslora=method.rank_stabilized, **options
        )
    if isinstance(method, AdaLoRAConfig):
        return peft.AdaLoraConfig(init_r=2, target_r=1, total_step=9, target_modules="all-linear")
    if isinstance(method, IA3Config):
        names = method.targets[0] if isinstance(method.targets, tuple) else method.targets
        return peft.IA3Config(target_modules=_pattern(names), feedforward_modules=_pattern(names))
    if isinstance(method, PrefixConfig):
        return peft.PrefixTuningConfig(num_virtual_tokens=4, task_type=task)
    if isinstance(method, PromptConfig):
        return peft.PromptTuningConfig(num_virtual_tokens=4, task_type=task)
    return None


def _pattern(name: str) -> str:
    return name if name.startswith(".*") else rf".*\.{name}"


def trains_in_peft(method: Any, base: nn.Module, inputs: dict[str, Tensor]) -> bool:
    """Whether PEFT adapts this model with this method, and every adapter gets a gradient."""
    import peft

    config = peft_config(method, base)
    if config is None:
        return False
    try:
        theirs = peft.get_peft_model(copy.deepcopy(base), replace(config)).train()
        theirs(**_masked(inputs)).logits.square().sum().backward()
    except Exception:
        return False
    trained = [p for p in theirs.base_model.parameters() if p.requires_grad]
    soft = getattr(theirs, "prompt_encoder", None)
    trained += [] if soft is None else list(soft.parameters())
    return bool(trained) and all(p.grad is not None for p in trained)


# --- the record ----------------------------------------------------------------------------------


def as_json(cell: Cell) -> dict[str, Any]:
    """A cell as plain data."""
    return asdict(cell)


def line(cell: Cell) -> str:
    """A cell as a line of text."""
    done = [name for name, seen in cell.checks.items() if seen == "ok"]
    rest = f"{len(done)} checks" if cell.verdict == WORKS else cell.reason
    return f"{cell.verdict:9}{cell.architecture:24}{cell.method:14}{rest}"


def summary(found: list[Cell]) -> str:
    """How many cells there are of each verdict."""
    counts = {
        verdict: sum(c.verdict == verdict for c in found) for verdict in (WORKS, REFUSED, WRONG)
    }
    rows = len({cell.architecture for cell in found})
    columns = len({cell.method for cell in found})
    seen = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{rows} architectures, {columns} methods: {seen}"
