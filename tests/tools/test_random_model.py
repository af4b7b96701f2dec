"""The random model: of the shape it says, with a tokenizer, and loadable as any base model."""

import json

import pytest
import torch

from peftcourse.experiments import models
from tools import random_model


@pytest.mark.parametrize("layers", [1])
def test_it_loads_as_a_base_model(tmp_path, layers):
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": layers}
    small |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4096}
    folder = random_model.write(tmp_path / "model", **small)
    model, tokenizer = models.load(folder)
    ids = torch.tensor([tokenizer("Once upon a time").input_ids])
    assert model(ids).logits.isfinite().all()
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_the_shape_has_seven_billion_parameters():
    from transformers import AutoModelForCausalLM, LlamaConfig

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**random_model.MISTRAL_7B))
    assert model.num_parameters() == 7_241_732_096  # as the card of Mistral-7B-v0.1 has it
