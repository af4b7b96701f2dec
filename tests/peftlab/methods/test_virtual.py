"""What prefix and prompt tuning share: the files of a classifier hold its head too."""

import copy

import peft
import pytest
import torch
from small_models import apply_alone, build, randomise_adapter, relative_error, token_ids
from transformers import T5Config, T5ForConditionalGeneration

import peftlab
from peftcourse.parity import twins_soft
from peftlab import PeftlabError
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig

METHODS = [PrefixConfig(4), PromptConfig(4)]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("also_train", [(), "classifier"])
def test_files_of_a_classifier_hold_its_head(method, also_train, tmp_path):
    base, ids = build("bert", torch.float64), token_ids()
    ours = peftlab.apply(copy.deepcopy(base), method, also_train=also_train)
    randomise_adapter(ours)
    peftlab.save(ours, tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "ours").double().eval()
    assert relative_error(theirs(ids).logits, ours(ids).logits) < 1e-6
    loaded = peftlab.load(copy.deepcopy(base), tmp_path / "ours")
    assert torch.equal(loaded(ids).logits, ours(ids).logits)
    assert len(peftlab.adapter_layers(loaded)) == len(peftlab.adapter_layers(ours))
    # A head that is new and random in every run comes from the file too.
    another = build("bert", torch.float64)
    another.classifier.reset_parameters()
    assert torch.equal(peftlab.load(another, tmp_path / "ours")(ids).logits, ours(ids).logits)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_a_classifier_trained_by_peft_loads_with_its_head(method, tmp_path):
    base, ids = build("bert", torch.float64), token_ids()
    theirs = twins_soft.twin(base, method, peftlab.apply(copy.deepcopy(base), method))
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:  # the virtual tokens and the head
                parameter.add_(0.3)
    theirs.save_pretrained(tmp_path)
    loaded = peftlab.load(base, tmp_path)
    assert relative_error(loaded(ids).logits, theirs(ids).logits) < 1e-10
    assert peftlab.adapter_layers(loaded)[-1][0] == "classifier"


@pytest.mark.parametrize("method", [PromptConfig(tokens=2), PrefixConfig(tokens=2)])
def test_encoder_decoders_are_refused_as_such_and_not_for_a_missing_head(method):
    sizes = {"vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1}
    model = T5ForConditionalGeneration(T5Config(**sizes, num_heads=4))
    with pytest.raises(PeftlabError, match=r"has an encoder and a decoder.* use LoRA instead"):
        apply_alone(model, method)
    peftlab.apply(model, peftlab.IA3Config())
    scaled = {(path.rsplit(".", 1)[-1], x.feedforward) for path, x in peftlab.adapter_layers(model)}
    assert scaled == {("k", False), ("v", False), ("wo", True)}  # Liu et al. 2022, section 3.3
