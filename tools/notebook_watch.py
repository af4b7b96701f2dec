"""An IPython extension that says what a notebook put on the GPU and computed with 4-bit weights.

It notes this after every cell in the file that NOTEBOOK_WATCH names. Being an extension, it leaves
no name behind in the notebook, where one could stand in for an import that is missing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from weakref import WeakSet


class Watch:
    """What has been seen so far."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.layers: WeakSet = WeakSet()  # those that are alive
        self.most, self.example = 0, ""
        self.hooked = False

    def after_cell(self, result: object) -> None:
        """Start to watch once the notebook has imported torch; write down what there is."""
        torch = sys.modules.get("torch")
        if torch is not None and not self.hooked:
            torch.nn.modules.module.register_module_forward_hook(self.after_forward)
            self.hooked = True
        peak = 0
        if torch is not None and torch.cuda.is_initialized():
            devices = range(torch.cuda.device_count())
            peak = max(torch.cuda.max_memory_allocated(device) for device in devices)
        seen = {"peak_gpu_bytes": peak, "four_bit_layers": self.most, "example": self.example}
        self.file.write_text(json.dumps(seen), encoding="utf-8")

    def after_forward(self, module: Any, inputs: Any, output: Any) -> None:
        """Note a layer of bitsandbytes that computed with a packed weight.

        Where there is a GPU, a layer that stayed on the CPU does not count.
        """
        bitsandbytes, torch = sys.modules.get("bitsandbytes"), sys.modules["torch"]
        if bitsandbytes is None or not isinstance(module, bitsandbytes.nn.Linear4bit):
            return
        weight = module.weight
        packed = weight.dtype == torch.uint8 and weight.quant_state is not None
        if packed and weight.is_cuda == torch.cuda.is_available():
            self.layers.add(module)
            if len(self.layers) > self.most:
                self.most = len(self.layers)
                self.example = (
                    f"{module}: {weight.quant_state.quant_type} codes in {weight.dtype} of shape "
                    f"{tuple(weight.shape)} on {weight.device}"
                )


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython."""
    watch = Watch(Path(os.environ["NOTEBOOK_WATCH"]))
    shell.events.register("post_run_cell", watch.after_cell)
