"""Which format an adapter is written in, and which one a file is in."""

import json

import pytest
from small_models import build

import peftlab
from peftlab import AdaLoRAConfig, LoRAConfig, PeftlabError
from peftlab.methods.pissa import PiSSADoRAConfig
from peftlab.peft_format.registry import format_in, format_of


def test_every_method_has_a_format():
    names = [name for name in peftlab.__all__ if name.endswith("Config")]
    assert len(names) == 12
    for config in [*(getattr(peftlab, name) for name in names), PiSSADoRAConfig]:
        form = format_of(object.__new__(config))
        assert form.config is config
        assert format_in({"peft_type": form.peft_type}, "file").peft_type == form.peft_type


def test_a_method_without_a_format_is_not_saved(tmp_path):
    class OwnConfig(LoRAConfig):
        """A method of somebody else's."""

    model = peftlab.apply(build("llama"), OwnConfig(targets="q_proj"))
    with pytest.raises(PeftlabError, match="adapters of OwnConfig cannot be saved"):
        peftlab.save(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_option_that_would_change_the_result_is_refused(tmp_path):
    method = AdaLoRAConfig(total_steps=10, targets="q_proj")
    peftlab.save(peftlab.apply(build("llama"), method), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"use_dora": True}))
    with pytest.raises(PeftlabError, match="sets use_dora=True, which peftlab does not support"):
        peftlab.load(build("llama"), tmp_path)
