"""What prefix and prompt tuning share: the files of a classifier hold its head too."""

import copy

import peft
import pytest
import torch
from small_models import build, randomise_adapter, relative_error, token_ids

import peftlab
from peftcourse.parity import twins_soft
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
