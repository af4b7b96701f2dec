"""IA³ in PEFT's files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor, nn

from peftlab.layers import AdapterLayer
from peftlab.methods.ia3 import IA3Config, IA3Linear
from peftlab.peft_format.format import Fields, Format, linear_fields
from peftlab.targets import compact_targets


def _write(method: IA3Config, model: nn.Module, layers: dict[str, AdapterLayer]) -> Fields:
    fields = linear_fields(model, layers)
    inputs = [path for path, layer in layers.items() if layer.feedforward]
    feedforward = list(compact_targets(model, inputs)) if inputs else []
    ends = {path for path in layers if any(path.endswith(name) for name in feedforward)}
    if ends != set(inputs) or not set(feedforward) <= set(fields["target_modules"]):
        # PEFT compares the ends of names, and wants lists to be subsets, but takes a pattern too.
        feedforward = "|".join(map(re.escape, inputs))
    return {**fields, "feedforward_modules": feedforward}


def _read(fields: Fields, model: nn.Module, paths: list[str]) -> IA3Config:
    inputs = [path for path in paths if _is_feedforward(path, fields["feedforward_modules"])]
    return IA3Config(
        targets=compact_targets(model, paths),
        feedforward=compact_targets(model, inputs) if inputs else (),
    )


def _is_feedforward(path: str, modules: str | Sequence[str]) -> bool:
    """PEFT's rule: a string is a regular expression, a list holds ends of names."""
    if isinstance(modules, str):
        return re.fullmatch(modules, path) is not None
    return any(path.endswith(module) for module in modules)


def _tensors(layer: IA3Linear) -> dict[str, Tensor]:
    """l in PEFT's shape: a column for outputs, a row for inputs."""
    return {"scale": layer.scale[None, :] if layer.feedforward else layer.scale[:, None]}


IA3 = Format(
    config=IA3Config,
    peft_type="IA3",
    names={"scale": "ia3_l"},
    write=_write,
    read=_read,
    tensors=_tensors,
)
