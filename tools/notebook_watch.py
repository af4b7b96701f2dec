"""An IPython extension that says what a notebook put on the GPU and into 4 bit.

It notes this after every cell in the file that NOTEBOOK_WATCH names. Being an extension, it leaves
no name behind in the notebook, where one could stand in for an import that is missing.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any


def four_bit_layers() -> list[Any]:
    """Every living Linear4bit of bitsandbytes whose weight is packed, two codes to a byte.

    Where there is a GPU, a layer that stayed on the CPU does not count.
    """
    bitsandbytes = sys.modules.get("bitsandbytes")
    torch = sys.modules.get("torch")
    if bitsandbytes is None or torch is None:
        return []
    # type() and not isinstance(): asking a lazy object for its __class__ may import it.
    kind = bitsandbytes.nn.Linear4bit
    layers = [thing for thing in gc.get_objects() if issubclass(type(thing), kind)]
    return [
        layer
        for layer in layers
        if layer.weight.dtype == torch.uint8
        and layer.weight.quant_state is not None
        and layer.weight.is_cuda == torch.cuda.is_available()
    ]


def peak_gpu_bytes() -> int:
    """The most GPU memory that tensors of this process held at any time."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return max(torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count()))


class Watch:
    """What has been seen so far."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seen: dict[str, Any] = {"peak_gpu_bytes": 0, "four_bit_layers": 0, "example": ""}

    def after_cell(self, result: object) -> None:
        """Look, and write down what there is."""
        layers = four_bit_layers()
        if len(layers) > self.seen["four_bit_layers"]:
            weight = layers[0].weight
            self.seen["four_bit_layers"] = len(layers)
            self.seen["example"] = (
                f"{layers[0]}: {weight.quant_state.quant_type} codes in {weight.dtype} of shape "
                f"{tuple(weight.shape)} on {weight.device}"
            )
        self.seen["peak_gpu_bytes"] = peak_gpu_bytes()
        self.file.write_text(json.dumps(self.seen), encoding="utf-8")


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython."""
    watch = Watch(Path(os.environ["NOTEBOOK_WATCH"]))
    shell.events.register("post_run_cell", watch.after_cell)
