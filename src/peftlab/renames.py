"""What transformers calls today a module that it once gave another name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def renamer(model: nn.Module) -> Callable[[str], str]:
    """How transformers renames a module of this model when it reads files of earlier versions.

    A name that has not changed comes back as it is, and so does every name of other models.
    """
    if not hasattr(model, "base_model_prefix"):
        return str
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    changes = get_model_conversion_mapping(model)
    renamings = [change for change in changes if isinstance(change, WeightRenaming)]

    def rename(path: str) -> str:
        # The table is about parameters.
        return rename_source_key(f"{path}.weight", renamings, [])[0].removesuffix(".weight")

    return rename
