"""Memory of fine-tuning: what a method needs, by component, computed from a model's configuration.

>>> from peftlab.memory import Settings, estimate
>>> estimate("llama-2-7b", Settings(method="qlora", gradient_checkpointing=True)).peak_bytes

The formulas are data (``formulas``, ``blocks``) that ``table`` evaluates, and the calculator's page
in JavaScript. ``benchmarks/memory.py`` measures what they predict; no constant is fitted to that.
Nothing here needs torch.
"""

from peftlab.memory.architecture import Architecture, read
from peftlab.memory.estimate import Estimate, estimate
from peftlab.memory.presets import PRESETS
from peftlab.memory.settings import Settings

__all__ = ["PRESETS", "Architecture", "Estimate", "Settings", "estimate", "read"]
