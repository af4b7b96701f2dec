"""Prompt tuning: learned embeddings before the input (Lester et al. 2021, arXiv 2104.08691)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, new_parameter
from peftlab.methods import checks
from peftlab.methods.virtual import (
    VirtualTokens,
    backbone,
    check_ids,
    in_front,
    left_padding,
    without,
)


@dataclass(frozen=True)
class PromptConfig:
    """How to adapt a model with prompt tuning.

    Attributes:
        tokens: T, the number of soft tokens; the adapter has ``T * d_embedding`` parameters.
        init: where the soft tokens start (Lester §3.2). ``"random"``: uniform in [-0.5, 0.5];
            ``"vocabulary"``: embeddings of tokens drawn from the vocabulary; a tuple of token ids:
            their embeddings, repeated or cut off to T. ``from_text`` makes such a tuple.

    Raises:
        PeftlabError: a value is out of range.
    """

    tokens: int = 20
    init: str | tuple[int, ...] = "vocabulary"

    def __post_init__(self) -> None:
        checks.whole_number("tokens", self.tokens)
        if not self.init or (isinstance(self.init, str) and self.init not in _INITS):
            raise PeftlabError(
                f"init must be one of {', '.join(map(repr, _INITS))} or token ids, "
                f"not {self.init!r}; PromptConfig.from_text starts from a text."
            )
        if not isinstance(self.init, str):
            object.__setattr__(self, "init", tuple(self.init))

    @classmethod
    def from_text(cls, text: str, tokenizer: Any, tokens: int | None = None) -> PromptConfig:
        """A prompt that starts as this text.

        Args:
            text: for example a description of the task.
            tokenizer: the model's tokenizer.
            tokens: T; the text's own number of tokens if left out.

        Raises:
            PeftlabError: the text has no tokens.
        """
        ids = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        if not ids:
            raise PeftlabError(f"the text {text!r} has no tokens; give one that has.")
        return cls(tokens=len(ids) if tokens is None else tokens, init=ids)

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """One layer, around the model's backbone."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

        path, module = backbone(model)
        layer = PromptLayer(module, self, adapter)
        layer.pooled = type(model).__name__.endswith("ForSequenceClassification") and (
            model.config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        )
        return {path: layer}


_INITS = ("random", "vocabulary")


class PromptLayer(VirtualTokens):
    r"""A frozen backbone whose input is preceded by T trainable embeddings.

    .. math::
        [p_1, \dots, p_T, e(x_1), \dots, e(x_n)], \qquad p_i \in \mathbb{R}^{d}

    The outputs at the first T positions are cut off again: hidden states and logits line up with
    the caller's tokens and labels, and every loss is over the same tokens as without the prompt.
    An encoder that classifies a text pools its first position, p_1: there nothing is cut off.

    Shapes:
        input ids ``(B, n)``; last hidden state ``(B, n, d)``.
    """

    PARAMETERS = ("prompt",)
    pooled = False  # whether the head reads the first position
    CANNOT_MERGE = "soft tokens are a part of the input, not of any weight"

    def __init__(self, base: nn.Module, method: PromptConfig, adapter: str = "default") -> None:
        super().__init__(base, method, adapter)
        table = self.get_input_embeddings().weight  # (V, d)
        self.prompt = new_parameter(method.tokens, table.shape[1], like=table)  # (T, d)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start the soft tokens as ``method.init`` says."""
        method, embedding = self.method, self.get_input_embeddings()
        if method.init == "random":
            nn.init.uniform_(self.prompt, -0.5, 0.5)
            return
        if method.init == "vocabulary":
            size = embedding.weight.shape[0]
            ids = torch.randint(size, (1, method.tokens), device=embedding.weight.device)
        else:
            repeated = method.init * -(-method.tokens // len(method.init))
            ids = check_ids(repeated[: method.tokens], self.innermost)
        self.prompt.copy_(embedding.weight[ids[0]])

    def forward(self, input_ids: Tensor | None = None, **inputs: Any) -> Any:
        if not self.active:
            return self.passed_through(input_ids=input_ids, **inputs)
        given = input_ids if input_ids is not None else inputs["inputs_embeds"]
        begins = self.start(inputs, given.shape[1])
        left = left_padding(inputs)
        inputs = self.widened_mask(self.shifted_positions(inputs), left)
        if not begins:
            return self.base(input_ids=input_ids, **inputs)
        self.note(inputs.get(self.cache_argument))

        embeddings = inputs.pop("inputs_embeds", None)
        if embeddings is None:
            embeddings = self.get_input_embeddings()(input_ids)  # (B, n, d)
        prompt = self.prompt.to(embeddings.dtype).expand(len(embeddings), -1, -1)  # (B, T, d)
        inputs["inputs_embeds"] = in_front(prompt, embeddings, left)  # (B, T + n, d)
        self._put_in_front(inputs, "position_ids", torch.arange(self.method.tokens), left)
        self._put_in_front(inputs, "token_type_ids", torch.zeros(self.method.tokens), left)
        output = self.base(**inputs)
        self.note(output.get(self.cache_argument))
        return self._without_prompt(output, left)

    def _put_in_front(self, inputs: dict[str, Any], key: str, values: Tensor, left: Any) -> None:
        """Put T values in front of an input (..., B, n) that has one value for each token."""
        given = inputs.get(key)
        if given is not None:
            values = values.to(given).expand(*given.shape[:-1], -1)
            # Positions in time, height and width are (3, B, n): turned, so that B comes first.
            values, given = values.movedim(-2, 0), given.movedim(-2, 0)
            inputs[key] = in_front(values, given, left, dim=-1).movedim(0, -2)  # (..., B, T + n)

    def _without_prompt(self, output: Any, left: Tensor | None) -> Any:
        """The backbone's output without the T positions; attention maps keep them as keys."""
        tokens = self.method.tokens
        if self.pooled:
            return output
        output.last_hidden_state = without(output.last_hidden_state, tokens, left)
        if output.get("hidden_states") is not None:
            output.hidden_states = tuple(without(h, tokens, left) for h in output.hidden_states)
        if output.get("attentions") is not None:
            output.attentions = tuple(without(a, tokens, left, dim=2) for a in output.attentions)
        return output
