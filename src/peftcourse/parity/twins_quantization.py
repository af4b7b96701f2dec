"""Twins of 4-bit quantization and QLoRA in bitsandbytes and Hugging Face PEFT."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from peftlab.inject import adapter_layers
from peftlab.layers import is_conv1d, linear_features, oriented
from peftlab.methods.lora import LoRAConfig
from peftlab.quantization import bitsandbytes as bnb_format
from peftlab.quantization.linear import (
    dequantize_model,
    is_quantized,
    replace,
    to_quantize,
)
from peftlab.quantization.nf4 import dequantize, quantize
from peftlab.targets import ALL_LINEAR

BLOCK_SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


# --- weights -------------------------------------------------------------------------------------


def samples(
    dtype: torch.dtype, block_size: int, device: str = "cpu", seed: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """Weights that cover what can go wrong, each with a name."""
    generator = torch.Generator().manual_seed(seed)
    blocks = max(4, 20_000 // block_size)
    even = 0.02 * torch.randn(blocks * block_size, generator=generator)
    special = even.clone().view(-1, block_size)
    special[0] = 0.0
    special[1] = 0.5
    special[2] = -0.5
    for name, weight in {
        "normal": even,
        "odd": even[: -block_size // 2 + 1],
        "short": even[:13],
        "zero tail": torch.cat([even, torch.zeros(7)]),
        "zero and constant blocks": special.flatten(),
        "one": even[:1],
        "matrix": even[: 96 * (len(even) // 96)].view(96, -1),
    }.items():
        yield name, weight.to(device, dtype)


def codes(weight: Tensor, format: str, block_size: int) -> tuple[Tensor, Tensor]:
    """(ours, bitsandbytes'): the packed bytes of a weight."""
    from bitsandbytes import functional

    packed, _ = quantize(weight, format=format, block_size=block_size, double=False)
    theirs, _ = functional.quantize_4bit(weight, blocksize=block_size, quant_type=format)
    return packed, theirs.flatten()


def scales(weight: Tensor, format: str, block_size: int) -> tuple[Tensor, Tensor]:
    """(ours, bitsandbytes'): what double quantization stores, its 8-bit codes, their scales and
    their offset one after the other, in float32."""
    from bitsandbytes import functional

    _, state = quantize(weight, format=format, block_size=block_size)
    _, theirs = functional.quantize_4bit(
        weight, blocksize=block_size, quant_type=format, compress_statistics=True
    )
    assert state.nested is not None
    ours = (state.absmax, state.nested.absmax, state.nested.offset.view(1))
    other = (theirs.absmax, theirs.state2.absmax, theirs.offset.view(1))
    return torch.cat([part.float() for part in ours]), torch.cat([part.float() for part in other])


def values(weight: Tensor, format: str, block_size: int) -> tuple[Tensor, Tensor]:
    """(ours, bitsandbytes'): dequantized values of bitsandbytes' own codes and scales.

    bitsandbytes is given the weight as one row per block, without a last block that is not full.
    Its CPU code for AVX512 takes wrong scales when a row is not a whole number of blocks.
    """
    from bitsandbytes import functional

    full = weight.flatten()[: weight.numel() - weight.numel() % block_size]
    if not len(full):
        return full, full
    theirs, state = functional.quantize_4bit(
        full.view(-1, block_size),
        blocksize=block_size,
        quant_type=format,
        compress_statistics=True,
    )
    ours = dequantize(*bnb_format.from_quant_state(theirs, state))
    return ours.flatten(), functional.dequantize_4bit(theirs, state).flatten()


# --- models --------------------------------------------------------------------------------------


def linear4bit_twin(base: nn.Module, **options: Any) -> nn.Module:
    """A copy of a model with bitsandbytes' ``Linear4bit`` where ``quantize_model`` has NF4Linear.

    Args:
        base: the model in float32; its layers' ``in_features`` must be multiples of the block size
            (see ``values``).
        options: as for ``nf4.quantize``.
    """
    import bitsandbytes

    model = copy.deepcopy(base)
    for layer in to_quantize(model, ALL_LINEAR).values():
        weight = oriented(layer, layer.weight)
        d_in, d_out = linear_features(layer)
        new = bitsandbytes.nn.Linear4bit(
            d_in, d_out, bias=layer.bias is not None, compute_dtype=weight.dtype
        )
        theirs, state = bitsandbytes.functional.quantize_4bit(
            weight.detach().contiguous(),
            blocksize=options.get("block_size", 64),
            quant_type=options.get("format", "nf4"),
            compress_statistics=options.get("double", True),
        )
        new.weight = bitsandbytes.nn.Params4bit(
            theirs,
            quant_state=state,
            blocksize=state.blocksize,
            quant_type=state.quant_type,
            compress_statistics=state.nested,
            bnb_quantized=True,
            module=new,
        )
        new.bias = layer.bias
        # Or the first forward pass in eval mode rearranges the weight on some CPUs.
        new.support_avx512bf16_for_cpu = False
        replace(model, layer, new.train(layer.training))
    return model


def dense_twin(quantized: nn.Module) -> nn.Module:
    """A copy of a quantized model with the same numbers in ordinary layers, for any dtype."""
    return dequantize_model(copy.deepcopy(quantized))


def peft_twin(base: nn.Module, method: LoRAConfig, ours: nn.Module) -> nn.Module:
    """PEFT's LoRA on a copy of ``base``, holding the A and B of our adapter.

    Args:
        base: a model as ``linear4bit_twin`` or ``dense_twin`` returns it.
        method: the configuration that was applied to ours.
        ours: the model with our adapter, and nothing else, in it.
    """
    import peft

    layers = adapter_layers(ours)
    theirs = peft.get_peft_model(
        copy.deepcopy(base),
        peft.LoraConfig(
            r=method.rank,
            lora_alpha=method.alpha,
            target_modules=[path for path, _ in layers],
            fan_in_fan_out=any(is_conv1d(module) for module in base.modules()),
        ),
    ).eval()
    with torch.no_grad():
        for mine, other in peft_pairs(ours, theirs):
            other.copy_(mine)
    return theirs


def peft_pairs(ours: nn.Module, theirs: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """(our parameter, PEFT's) for every parameter of the adapter."""
    pairs = []
    for path, layer in adapter_layers(ours):
        other = theirs.base_model.model.get_submodule(path)
        pairs += [
            (layer.A, other.lora_A["default"].weight),
            (layer.B, other.lora_B["default"].weight),
        ]
    return pairs


def quantized_layers(model: nn.Module) -> list[nn.Module]:
    """The 4-bit layers of a model, in order."""
    return [layer for layer in model.modules() if is_quantized(layer)]
