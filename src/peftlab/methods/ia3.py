"""IA³: infused adapter by inhibiting and amplifying inner activations (Liu et al. 2022).

arXiv 2205.05638, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context
Learning".
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, linear_features, new_parameter
from peftlab.methods import checks
from peftlab.targets import linear_targets, matches

# Keys and values, and the feed-forward block's down-projection, by transformers' `model_type`.
# In GPT-2 one layer makes queries, keys and values, so all three are scaled, as PEFT does.
_GATED = (("k_proj", "v_proj"), ("down_proj",))
_ENCODER = (("key", "value"), (r".*layer\.\d+\.output\.dense",))
FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), _GATED
    ),
    "gpt2": (("c_attn",), ("mlp.c_proj",)),
    "opt": (("k_proj", "v_proj"), ("fc2",)),
    "t5": (("k", "v"), ("wo",)),
    "bart": (("k_proj", "v_proj"), ("fc2",)),
    **dict.fromkeys(("gpt_neox", "bloom", "falcon"), (("query_key_value",), ("dense_4h_to_h",))),
    "bert": _ENCODER,
    "roberta": _ENCODER,
}


@dataclass(frozen=True)
class IA3Config:
    """How to adapt a model with IA³.

    Attributes:
        targets: which linear layers get a scale, see ``targets.match_targets``. ``None`` means
            keys, values and the feed-forward block's down-projection, in the model families
            that ``FAMILIES`` lists.
        feedforward: which of the targets have their input scaled instead of their output.
            ``None`` means the down-projections of the family; ``()`` means none.

    Raises:
        PeftlabError: targets are empty.
    """

    targets: str | tuple[str, ...] | None = None
    feedforward: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.targets is not None:
            remedy = "name a layer, or leave it out for the default"
            targets = checks.patterns("targets", self.targets, remedy)
            object.__setattr__(self, "targets", targets)
        if self.feedforward is not None:
            single = isinstance(self.feedforward, str)
            patterns = (self.feedforward,) if single else tuple(self.feedforward)
            object.__setattr__(self, "feedforward", patterns)

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """An IA³ layer for each target."""
        outputs, inputs = (), self.feedforward
        if self.targets is None or inputs is None:
            outputs, family_inputs = self._family(model)
            inputs = family_inputs if inputs is None else inputs
        layers = linear_targets(
            model, (*outputs, *inputs) if self.targets is None else self.targets
        )
        for pattern in self.feedforward or ():
            if not any(matches(path, pattern) for path in layers):
                raise PeftlabError(f"feedforward {pattern!r} matches none of the targets; add it.")
        return {
            path: IA3Linear(layer, self, adapter, feedforward=any(matches(path, p) for p in inputs))
            for path, layer in layers.items()
        }

    def _family(self, model: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The default (outputs, inputs) to scale."""
        family = getattr(getattr(model, "config", None), "model_type", None)
        if family not in FAMILIES:
            raise PeftlabError(
                f"IA³ has no default targets for {family or type(model).__name__!r}; give targets= "
                "(keys, values, down-projection) and feedforward= (the down-projection)."
            )
        return FAMILIES[family]


class IA3Linear(AdapterLayer):
    r"""A frozen linear layer with one trained factor per output feature, or per input feature.

    .. math::
        y = l \odot (W x + b) \quad\text{(keys, values)}, \qquad
        y = W (l \odot x) + b \quad\text{(feed-forward block)}

    l starts at one, so that the layer first computes exactly what its base does (Liu et al.).

    Shapes:
        input ``(..., d_in)``, output ``(..., d_out)``.

    Attributes:
        feedforward: whether the input is scaled.
        scale: l, ``(d_in,)`` if the input is scaled, else ``(d_out,)``.
    """

    PARAMETERS = ("scale",)
    MERGES = ("weight", "bias")

    def __init__(
        self,
        base: nn.Module,
        method: IA3Config,
        adapter: str = "default",
        *,
        feedforward: bool = False,
    ) -> None:
        super().__init__(base, method, adapter)
        d_in, d_out = linear_features(base)
        self.feedforward = feedforward
        self.scale = new_parameter(d_in if feedforward else d_out, like=self.innermost.weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """l = 1."""
        nn.init.ones_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.base(x)
        if self.feedforward:
            return self.base((self.scale * x).to(x.dtype))
        y = self.base(x)
        return (self.scale * y).to(y.dtype)

    def merged_weight(self, weight: Tensor) -> Tensor:
        """The columns of W times l in the feed-forward block, its rows elsewhere."""
        return weight * (self.scale if self.feedforward else self.scale[:, None])

    def merged_bias(self, bias: Tensor) -> Tensor:
        """b in the feed-forward block, l ⊙ b elsewhere."""
        return bias if self.feedforward else self.scale * bias
