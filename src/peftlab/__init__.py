"""peftlab: parameter-efficient fine-tuning from scratch.

The verbs that every method shares are here; ``peftlab.methods`` holds the methods,
``peftlab.experiments`` models, tasks, training and evaluation.
"""

from peftlab.checkpoint import load, merge, remove, save, unmerge
from peftlab.errors import PeftlabError
from peftlab.inject import (
    adapter_layers,
    adapters,
    apply,
    disabled,
    match_targets,
    switch,
    trainable_report,
)
from peftlab.methods.lora import LoRAConfig

__version__ = "0.1.0"

__all__ = [
    "LoRAConfig",
    "PeftlabError",
    "adapter_layers",
    "adapters",
    "apply",
    "disabled",
    "load",
    "match_targets",
    "merge",
    "remove",
    "save",
    "switch",
    "trainable_report",
    "unmerge",
]
