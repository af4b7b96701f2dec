"""Which 16-bit numbers a device computes with natively."""

from __future__ import annotations

import torch

# The first GPUs whose tensor cores multiply bfloat16 (Ampere). Older ones, such as the T4, emulate
# it: torch.cuda.is_bf16_supported() says yes there too, at a fraction of float16's speed.
_BFLOAT16_FROM = (8, 0)


def sixteen_bit(device: str | torch.device = "cuda") -> torch.dtype:
    """bfloat16 where a CUDA GPU multiplies it natively, else float16; bfloat16 on other devices.

    Args:
        device: a CUDA device, or any other.
    """
    device = torch.device(device)
    if device.type != "cuda":
        return torch.bfloat16
    native = torch.cuda.get_device_capability(device) >= _BFLOAT16_FROM
    return torch.bfloat16 if native else torch.float16


def autocast_dtype(device: str | torch.device) -> torch.dtype | None:
    """What training multiplies in on a device: 16 bit on a CUDA GPU, None (as it is) elsewhere."""
    device = torch.device(device)
    return sixteen_bit(device) if device.type == "cuda" else None
