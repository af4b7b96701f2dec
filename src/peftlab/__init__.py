"""peftlab: parameter-efficient fine-tuning from scratch.

The verbs that every method shares are here; ``peftlab.methods`` holds the methods,
``peftlab.quantization`` bases in 4 bit, ``peftlab.memory`` what training costs in bytes.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Where each name comes from. It is imported when it is first used, so that `peftlab --help`
# does not wait for torch, and `peftlab doctor` works where torch is missing or broken.
_HOME = {
    "peftlab.errors": ("PeftlabError",),
    "peftlab.inject": ("adapter_layers", "adapters", "disabled", "switch", "trainable_report"),
    "peftlab.loading": ("load",), "peftlab.merging": ("merge", "remove", "unmerge"),
    "peftlab.methods.adalora": ("AdaLoRAConfig",), "peftlab.methods.bitfit": ("BitFitConfig",),
    "peftlab.methods.bottleneck": ("BottleneckConfig",), "peftlab.methods.dora": ("DoRAConfig",),
    "peftlab.methods.fusion": ("FusionConfig",), "peftlab.methods.ia3": ("IA3Config",),
    "peftlab.methods.lora": ("LoRAConfig",), "peftlab.methods.partial": ("PartialConfig",),
    "peftlab.methods.pissa": ("PiSSAConfig",), "peftlab.methods.prefix": ("PrefixConfig",),
    "peftlab.methods.prompt": ("PromptConfig",), "peftlab.methods.subspace": ("SubspaceConfig",),
    "peftlab.quantization.linear": ("dequantize_model", "quantize_model"),
    "peftlab.quantization.loading": ("load_nf4",), "peftlab.saving": ("save",),
    "peftlab.targets": ("match_targets",), "peftlab.verbs": ("apply",),
}  # fmt: skip


__all__ = sorted(name for names in _HOME.values() for name in names)


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            value = getattr(import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
