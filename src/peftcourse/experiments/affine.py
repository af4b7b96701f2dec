"""How far an adapter is from a linear map, on the activations that it really sees.

Only an affine map of a layer's input or output can be merged into the layer. So collect what an
adapter reads and what it adds, fit the best affine map by least squares, and look at what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftcourse.experiments.evaluate import evaluating
from peftcourse.experiments.tasks import Encoded, collate
from peftlab.errors import PeftlabError
from peftlab.inject import select
from peftlab.layers import AdapterLayer
from peftlab.methods.bottleneck import BottleneckLayer, hidden
from peftlab.methods.lora import LoRALinear


@dataclass(frozen=True)
class AffineMap:
    """u → M u + c, with M (d_out, d_in) and c (d_out,)."""

    M: Tensor
    c: Tensor

    def __call__(self, u: Tensor) -> Tensor:
        """(..., d_in) → (..., d_out), in the dtype of u."""
        return F.linear(u, self.M.to(u), self.c.to(u))


def added(layer: AdapterLayer, u: Tensor) -> Tensor:
    """What a layer's adapter adds for the input u: (..., d_in) → (..., d_out).

    Raises:
        PeftlabError: the layer is neither a bottleneck adapter's nor LoRA's.
    """
    if isinstance(layer, BottleneckLayer):
        return layer.branch(u)
    if isinstance(layer, LoRALinear):
        return layer.scaling * layer.branch(u)
    raise PeftlabError(f"{type(layer).__name__} is no bottleneck adapter and no LoRA layer.")


def inputs(
    model: nn.Module, examples: Sequence[Encoded], name: str, batch_size: int = 32
) -> dict[str, Tensor]:
    """What each layer of an adapter reads, (tokens, d_in), by the path of its module.

    That is the module's output for an adapter after it, and its input for one beside it and for
    LoRA. Padding is left out.

    Args:
        model: with the adapter switched on.
        examples: encoded texts.
        name: of the adapter.
        batch_size: texts at once.
    """
    layers = dict(select(model, name))
    pad_id = getattr(model.config, "pad_token_id", None) or 0
    seen: dict[str, list[Tensor]] = {path: [] for path in layers}
    mask = torch.empty(0)

    def watch(path: str, layer: AdapterLayer) -> torch.utils.hooks.RemovableHandle:
        after = isinstance(layer, BottleneckLayer) and not layer.method.parallel

        def note(_: nn.Module, arguments: tuple, output: object) -> None:
            u = hidden(output) if after else arguments[0]
            seen[path].append(u[mask].float())

        return layer.base.register_forward_hook(note)

    with evaluating(model) as device, ExitStack() as stack:
        for path, layer in layers.items():
            stack.callback(watch(path, layer).remove)
        for start in range(0, len(examples), batch_size):
            batch = collate(examples[start : start + batch_size], pad_id)
            mask = batch["attention_mask"].bool().to(device)
            model(batch["input_ids"].to(device), attention_mask=mask)
    return {path: torch.cat(parts) for path, parts in seen.items()}


def fit(u: Tensor, target: Tensor, *, intercept: bool = True) -> AffineMap:
    """The affine map of u (N, d_in) that comes closest to a target (N, d_out) in least squares.

    Args:
        u: more rows than columns.
        target: what to come close to.
        intercept: False asks for the best linear map, with c = 0.

    Raises:
        PeftlabError: there are too few rows, so that any target can be met exactly.
    """
    if len(u) <= u.shape[1] + 1:
        raise PeftlabError(
            f"{len(u)} inputs of {u.shape[1]} numbers fit any target exactly; give more inputs."
        )
    # On the CPU in float64: the GPU's solver wants full rank.
    u, target = u.double().cpu(), target.double().cpu()
    ones = u.new_ones(len(u), 1)
    design = torch.cat([u, ones], dim=1) if intercept else u
    solution = torch.linalg.lstsq(design, target).solution  # (d_in + 1, d_out)
    c = solution[-1] if intercept else target.new_zeros(target.shape[1])
    return AffineMap(solution[: u.shape[1]].T, c)


def constant(u: Tensor, target: Tensor) -> AffineMap:
    """The mean of a target (N, d_out), whatever the input u (N, d_in): the best map with M = 0."""
    return AffineMap(u.new_zeros(target.shape[1], u.shape[1]), target.double().mean(dim=0))


def residual(found: AffineMap, u: Tensor, target: Tensor) -> float:
    """‖target - found(u)‖ / ‖target‖ over all inputs: 0 if the map is exact.

    Much of what an adapter adds may be the same for all inputs. Divide by the residual of
    ``constant`` to see what is left of the part that varies.
    """
    u, target = u.double().cpu(), target.double().cpu()
    return ((target - found(u)).norm() / target.norm()).item()


@contextmanager
def replaced(model: nn.Module, name: str, maps: Mapping[str, AffineMap]) -> Iterator[None]:
    """Within the block, an affine map stands for each of these bottleneck adapters.

    Args:
        model: with the adapter.
        name: of the adapter.
        maps: by the path of the adapted module.
    """
    layers = dict(select(model, name))
    try:
        for path, found in maps.items():
            layers[path].branch = found
        yield
    finally:
        for path in maps:
            del layers[path].branch


def switching(layer: BottleneckLayer, u: Tensor) -> tuple[float, float, float]:
    """Shares of a ReLU bottleneck's units that are (always on, always off, switching) on u.

    A unit that never switches is an affine map of its input.
    """
    on = (F.linear(u.to(layer.W_down), layer.W_down, layer.b_down) > 0).float().mean(dim=0)
    always = (on == 1).float().mean().item()
    never = (on == 0).float().mean().item()
    return always, never, 1 - always - never
