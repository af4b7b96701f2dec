"""Run every method beside its reference and say how far apart they are.

A row is one method on one small random model in one precision. The adapter is given random values
first, large enough to move the model's logits by a tenth: an adapter near zero agrees with
anything. Errors are relative: ‖ours - reference‖ / ‖reference‖ over all logits, or over the whole
gradient of a random projection of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import peftlab
from peftcourse.parity import twins_lora, twins_quantization, twins_soft
from peftcourse.parity.models import build, relative_error, token_ids
from peftlab.methods.adalora import AdaLoRAConfig
from peftlab.methods.bitfit import BitFitConfig
from peftlab.methods.dora import DoRAConfig
from peftlab.methods.ia3 import IA3Config
from peftlab.methods.lora import LoRAConfig
from peftlab.methods.pissa import PiSSAConfig
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig
from peftlab.quantization.linear import quantize_model

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
LEAST_MOVE = 0.1
CAUSAL = ("llama", "qwen3", "mistral", "gpt2", "opt")
ALL = (*CAUSAL, "bert")
WITH_BIASES = ("gpt2", "opt", "bert")
QUICK = ("llama", "gpt2", "bert")
# 4-bit layers of bitsandbytes want rows that are whole blocks.
WIDE = {"hidden_size": 64, "intermediate_size": 128}


@dataclass(frozen=True)
class Row:
    """One comparison of a method with its reference.

    Attributes:
        method: the method and its variant.
        model: the family of the random model.
        reference: what it is compared with.
        dtype: precision of model and adapter.
        moved: how far the adapter moves the base model's logits, relative.
        logits_error: relative error of the logits.
        gradient_error: relative error of the whole gradient of the adapter.
        steps_error: relative error of the logits after five AdamW steps; float64 only.
        parameters: how many train, here.
        parameters_equal: whether the reference trains as many.
        tolerance: the largest error that passes.
    """

    method: str
    model: str
    reference: str
    dtype: str
    moved: float
    logits_error: float
    gradient_error: float
    steps_error: float | None
    parameters: int
    parameters_equal: bool
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether all errors are within tolerance and the adapter did something."""
        errors = [self.logits_error, self.gradient_error, self.steps_error or 0.0]
        return max(errors) <= self.tolerance and self.parameters_equal and self.moved >= LEAST_MOVE


@dataclass(frozen=True)
class CodeRow:
    """One comparison of quantized values with bitsandbytes, counted value by value.

    Attributes:
        method: what is compared: the codes of a format, the nested scales, dequantized values.
        model: the block size.
        reference: bitsandbytes on the device.
        dtype: precision of the weights.
        compared: how many values.
        different: how many of them differ.
        reference_differs: how many of those bitsandbytes' own CPU and GPU disagree on.
    """

    method: str
    model: str
    reference: str
    dtype: str
    compared: int
    different: int
    reference_differs: int

    @property
    def ok(self) -> bool:
        """Whether ours is equal wherever the reference agrees with itself."""
        return self.different <= self.reference_differs


@dataclass(frozen=True)
class Case:
    """A method, the models it is compared on, and how its twin is made.

    ``twin(base, method, ours)`` returns the reference model with the same values, ``pairs(ours,
    theirs)`` the adapter's parameters side by side, ``logits(theirs, method, ids)`` the
    reference's logits at our positions.
    """

    name: str
    method: Any
    families: Sequence[str]
    reference: str
    twin: Callable[..., nn.Module]
    pairs: Callable[..., Any]
    logits: Callable[..., Tensor]
    weight_decay: float = 0.1


def _logits(theirs: nn.Module, method: Any, ids: Tensor) -> Tensor:
    return theirs(ids).logits


def _soft_logits(theirs: nn.Module, method: Any, ids: Tensor) -> Tensor:
    return twins_soft.logits(theirs, method, input_ids=ids)


def _bitfit_twin(base: nn.Module, method: BitFitConfig, ours: nn.Module) -> nn.Module:
    return twins_soft.bitfit_twin(base, ours)


def _bitfit_pairs(ours: nn.Module, theirs: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(layer.delta, bias) for layer, bias in twins_soft.bitfit_pairs(ours, theirs)]


_lora_case = partial(
    Case, reference="peft", twin=twins_lora.twin, pairs=twins_lora.pairs, logits=_logits
)
_soft_case = partial(
    Case, reference="peft", twin=twins_soft.twin, pairs=twins_soft.pairs, logits=_soft_logits
)

CASES = (
    _lora_case("LoRA", LoRAConfig(rank=4, alpha=6), ALL),
    _lora_case("LoRA α/√r", LoRAConfig(rank=4, alpha=6, rank_stabilized=True), ALL),
    _lora_case("LoRA PiSSA", PiSSAConfig(rank=3, alpha=6), ALL),
    _lora_case("DoRA", DoRAConfig(rank=4, alpha=6), ALL),
    _lora_case("AdaLoRA", AdaLoRAConfig(total_steps=10, rank=4, target_rank=2, alpha=6), ALL),
    _lora_case("IA³", IA3Config(), ALL),
    _soft_case("prefix", PrefixConfig(tokens=5), CAUSAL),
    _soft_case("prefix with MLP", PrefixConfig(tokens=5, mlp_size=12), CAUSAL),
    _soft_case("prompt", PromptConfig(tokens=5), CAUSAL),
    Case(
        "BitFit",
        BitFitConfig(),
        WITH_BIASES,
        "torch",  # PEFT has no BitFit: the reference is a plain model whose biases train
        _bitfit_twin,
        _bitfit_pairs,
        _logits,
        weight_decay=0.0,  # decay pulls our offset to zero, but the reference's whole bias
    ),
)


# --- models --------------------------------------------------------------------------------------


def compare(
    case: Case, family: str, dtype: torch.dtype, device: str = "cpu", base: nn.Module | None = None
) -> Row:
    """Run one method beside its reference."""
    base = build(family, dtype).to(device) if base is None else base
    ids = token_ids().to(device)
    plain = base(ids).logits.detach()
    # An adapter on a 4-bit base is in float32; the comparison may want more.
    # Seeded: how much a model magnifies rounding depends on where its adapter stands.
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ours = peftlab.apply(copy.deepcopy(base), case.method, train_head=False)
        ours = ours.eval().to(dtype)
    moved = _randomise(ours, ids, plain)
    theirs = case.twin(base, case.method, ours)

    logits = ours(ids).logits
    reference = case.logits(theirs, case.method, ids)
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(logits.shape, dtype=torch.float64, generator=generator).to(logits)
    for value in (logits, reference):
        (value * weights).sum().backward()
    pairs = list(case.pairs(ours, theirs))
    gradients = [torch.cat([p.grad.flatten() for p in side]) for side in zip(*pairs, strict=True)]
    trains = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (ours, theirs)]

    steps_error = None
    if dtype == torch.float64:
        after = [
            _five_steps(lambda: ours(ids).logits, [a for a, _ in pairs], case.weight_decay),
            _five_steps(
                lambda: case.logits(theirs, case.method, ids),
                [b for _, b in pairs],
                case.weight_decay,
            ),
        ]
        steps_error = relative_error(*after)
    return Row(
        method=case.name,
        model=family,
        reference=case.reference,
        dtype=str(dtype).removeprefix("torch."),
        moved=moved,
        logits_error=relative_error(logits, reference),
        gradient_error=relative_error(*gradients),
        steps_error=steps_error,
        parameters=trains[0],
        parameters_equal=trains[0] == trains[1],
        tolerance=TOLERANCE[dtype],
    )


def _randomise(model: nn.Module, ids: Tensor, plain: Tensor) -> float:
    """Add noise to the adapter until it moves the logits enough; returns how far it does."""
    layers = [layer for _, layer in peftlab.adapter_layers(model)]
    parameters = [p for layer in layers for p in layer.adapter_parameters().values()]
    initial = [p.detach().clone() for p in parameters]
    for scale in (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0):
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter, start in zip(parameters, initial, strict=True):
                noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
                parameter.copy_(start + scale * noise.to(start))
            moved = relative_error(model(ids).logits, plain)
        if moved >= LEAST_MOVE:
            break
    return moved


def _five_steps(
    logits: Callable[[], Tensor], parameters: Sequence[nn.Parameter], weight_decay: float
) -> Tensor:
    """Logits after five AdamW steps on their mean square."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=weight_decay)
    for _ in range(5):
        optimizer.zero_grad()
        logits().square().mean().backward()
        optimizer.step()
    return logits().detach()


def compare_qlora(family: str, dtype: torch.dtype, device: str = "cpu") -> Row:
    """LoRA on our 4-bit layers beside PEFT's LoRA on bitsandbytes' (float32), or on the same
    numbers in ordinary layers (float64, in which bitsandbytes does not compute)."""
    base = build(family, dtype, **WIDE).to(device)
    quantized = quantize_model(copy.deepcopy(base))
    if dtype == torch.float32:
        reference, twin_base = "peft + bitsandbytes", twins_quantization.linear4bit_twin(base)
    else:
        reference, twin_base = "peft, dequantized", twins_quantization.dense_twin(quantized)
    case = Case(
        "QLoRA (NF4)",
        LoRAConfig(rank=4, alpha=6),
        (family,),
        reference,
        lambda _, method, ours: twins_quantization.peft_twin(twin_base, method, ours),
        twins_quantization.peft_pairs,
        _logits,
    )
    return compare(case, family, dtype, device, base=quantized)


# --- quantized values ----------------------------------------------------------------------------


def compare_codes(
    format: str, block_size: int, dtype: torch.dtype, device: str = "cpu"
) -> list[CodeRow]:
    """Packed codes, nested scales and dequantized values against bitsandbytes."""
    kinds = {
        f"{format} codes": twins_quantization.codes,
        f"{format} nested scales": twins_quantization.scales,
        f"{format} values": twins_quantization.values,
    }
    rows = []
    for kind, function in kinds.items():
        compared = different = excused = 0
        for _, weight in twins_quantization.samples(dtype, block_size, device):
            ours, theirs = function(weight, format, block_size)
            wrong = ours != theirs
            compared, different = compared + wrong.numel(), different + int(wrong.sum())
            if wrong.any() and device != "cpu":
                _, on_cpu = function(weight.cpu(), format, block_size)
                excused += int((wrong.cpu() & (on_cpu != theirs.cpu())).sum())
        rows.append(
            CodeRow(
                method=kind,
                model=f"blocks of {block_size}",
                reference="bitsandbytes",
                dtype=str(dtype).removeprefix("torch."),
                compared=compared,
                different=different,
                reference_differs=excused,
            )
        )
    return rows


# --- all of it -----------------------------------------------------------------------------------


def rows(*, quick: bool = False, device: str = "cpu") -> Iterator[Row | CodeRow]:
    """Every comparison, as it is made.

    Args:
        quick: three model families and three block sizes instead of all.
        device: where to compute.
    """
    for case in CASES:
        for family in case.families:
            if not quick or family in QUICK:
                for dtype in TOLERANCE:
                    yield compare(case, family, dtype, device)
    for family in ("llama",) if quick else ("llama", "mistral"):
        for dtype in TOLERANCE:
            yield compare_qlora(family, dtype, device)
    sizes = (64, 256, 4096) if quick else twins_quantization.BLOCK_SIZES
    for format in ("nf4", "fp4"):
        for block_size in sizes:
            for dtype in twins_quantization.DTYPES:
                yield from compare_codes(format, block_size, dtype, device)


def as_json(row: Row | CodeRow) -> dict[str, Any]:
    """A row as plain data, with its verdict."""
    return {**asdict(row), "ok": row.ok}
