"""A learner's code in the library's place gives the same numbers, and gives way where it fails."""

import copy
import json
from importlib.resources import files

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import peftlab
from peftcourse.experiments import affine, evaluate, models, own, tasks, train
from peftlab.errors import PeftlabError
from peftlab.methods import lora
from peftlab.methods.prompt import PromptConfig
from peftlab.quantization.linear import NF4Linear, quantize_model

ATTENTION = ("q_proj", "v_proj")
ANSWERS = json.loads(files("peftcourse").joinpath("data/model_answers.json").read_text("utf-8"))


def answer(exercise: str):
    """A model answer, as a learner has it in a notebook."""
    space: dict = {}
    header = "from __future__ import annotations\nimport contextlib, math\nimport torch\n"
    header += "import torch.nn.functional as F\nfrom torch import Tensor, nn\n"
    exec(header + ANSWERS[exercise]["source"], space)
    return space[ANSWERS[exercise]["name"]]


@pytest.fixture(scope="module")
def bundled():
    model, tokenizer = models.load()
    voice = tasks.load("voice", voice="pirate")
    return model, tasks.encode(voice.train[:64], tokenizer, 24)


@pytest.fixture
def model(bundled):
    return copy.deepcopy(bundled[0])


@pytest.fixture(scope="module")
def data(bundled):
    return bundled[1]


def trained(model, method, data, kind=None, **options) -> list[float]:
    """The losses of three steps, the class that drives the layers included if there is one."""
    torch.manual_seed(0)
    peftlab.apply(model, method, name="a")
    if kind is not None:
        own.drive(model, "a", kind)
    recipe = train.TrainConfig(steps=3, batch_size=4, learning_rate=4e-3)
    history = train.train(model, data, recipe, progress=False, **options)
    return [*history.losses, evaluate.loss(model, data[:8])]


@pytest.mark.parametrize(
    ("method", "exercise"),
    [
        (peftlab.LoRAConfig(4, 8, ATTENTION), "lora.forward"),
        (peftlab.DoRAConfig(4, 8, ATTENTION), "dora.layer"),
        (peftlab.BottleneckConfig(4, "pfeiffer"), "adapters.layer"),
        (peftlab.BottleneckConfig(4, "houlsby"), "adapters.layer"),
    ],
)
def test_a_learner_s_layer_trains_as_the_library_s(method, exercise, model, data, capsys):
    theirs, calls = answer(exercise), []

    class Watched(theirs):
        def forward(self, x):
            calls.append(1)
            return super().forward(x)

    expected = trained(copy.deepcopy(model), method, data)
    assert trained(model, method, data, Watched) == pytest.approx(expected, rel=1e-4)
    assert calls and capsys.readouterr().out == ""
    calls.clear()
    again = evaluate.loss(copy.deepcopy(model), data[:8])  # a copy is driven by copies
    assert calls and again == pytest.approx(expected[-1], rel=1e-4)
    with peftlab.disabled(model):
        calls.clear()
        evaluate.loss(model, data[:8])
    assert not calls


def test_what_drives_can_be_saved_loaded_and_merged(model, data, tmp_path, capsys):
    trained(model, peftlab.LoRAConfig(4, 8, ATTENTION), data, answer("lora.forward"))
    loss = evaluate.loss(model, data[:8])
    peftlab.save(model, tmp_path, "a")
    weight = peftlab.adapter_layers(model, "a")[0][1].weight
    before = weight.detach().clone()
    with own.merged(model, "a", answer("lora.merge")):
        assert evaluate.loss(model, data[:8]) == pytest.approx(loss, rel=1e-4)
        assert not weight.equal(before)
    assert weight.equal(before)

    fresh, _ = models.load()
    peftlab.load(fresh, tmp_path, name="a")
    own.drive(fresh, "a", answer("lora.forward"))
    assert evaluate.loss(fresh, data[:8]) == pytest.approx(loss, rel=1e-4)
    assert capsys.readouterr().out == ""


def test_a_learner_s_inject_save_and_load(model, data):
    inject, layer = answer("lora.inject"), answer("lora.forward")
    method = peftlab.LoRAConfig(4, 8)
    torch.manual_seed(0)
    paths = inject(model, list(ATTENTION), own.adapter(method, "a", layer))
    assert paths == [path for path, _ in peftlab.adapter_layers(model, "a")]
    train.train(model, data, train.TrainConfig(steps=2), progress=False)
    state = answer("lora.save")(model, lora.LoRALinear)
    assert len(state) == 2 * len(paths)

    twin, _ = models.load()
    inject(twin, list(ATTENTION), own.adapter(method, "a", lora.LoRALinear))
    answer("lora.load")(twin, lora.LoRALinear, state)
    assert evaluate.loss(twin, data[:8]) == pytest.approx(evaluate.loss(model, data[:8]), rel=1e-4)


def test_a_learner_s_step_and_loss_train_as_the_library_s(model, data):
    method = peftlab.LoRAConfig(4, 8, ATTENTION)
    expected = trained(copy.deepcopy(model), method, data)
    step = own.step(answer("lora.train_step"), answer("lora.loss"))
    assert trained(model, method, data, own_step=step) == pytest.approx(expected, rel=1e-4)
    with pytest.raises(PeftlabError, match="leave accumulation at 1"):
        train.train(model, data, train.TrainConfig(accumulation=2), own_step=step)


@pytest.mark.parametrize("where", ["__init__", "forward"])
def test_where_a_learner_s_layer_fails_the_library_goes_on(where, model, data, capsys):
    def fails(self, *arguments):
        raise RuntimeError("no\nway")

    kind = type("Layer", (answer("lora.forward"),), {where: fails})
    method = peftlab.LoRAConfig(4, 8, ATTENTION)
    expected = trained(copy.deepcopy(model), method, data)
    assert trained(model, method, data, kind) == expected
    assert capsys.readouterr().out == (
        "your Layer failed here (RuntimeError: no); the library's goes on\n"
    )


def test_on_a_base_of_4_bits_the_library_goes_on(model, data, capsys):
    small = quantize_model(model)
    expected = trained(copy.deepcopy(small), peftlab.LoRAConfig(4), data)
    assert trained(small, peftlab.LoRAConfig(4), data, answer("lora.forward")) == expected
    assert "the base is in 4 bits" in capsys.readouterr().out
    with own.merged(small, "a", answer("lora.merge")):
        assert evaluate.loss(small, data[:8]) == pytest.approx(expected[-1], rel=1e-2)


def test_the_library_s_own_class_changes_nothing(model):
    peftlab.apply(model, peftlab.LoRAConfig(4, 8, ATTENTION), name="a")
    own.drive(model, "a", lora.LoRALinear)
    assert {type(layer) for _, layer in peftlab.adapter_layers(model)} == {lora.LoRALinear}


def test_a_learner_s_product_computes_4_bit_layers(model, data, capsys):
    small = quantize_model(model)
    driven = own.drive_product(copy.deepcopy(small), answer("quantization.linear"))
    assert isinstance(driven.model.layers[0].mlp.up_proj, NF4Linear)
    method = peftlab.LoRAConfig(4, 8)
    expected = trained(small, method, data)
    assert trained(driven, method, data) == pytest.approx(expected, rel=1e-4)
    assert capsys.readouterr().out == ""

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, packed, dequantize):
            raise ValueError("no")

    peftlab.remove(small, "a")
    trained(own.drive_product(small, Broken), method, data)
    assert "your Broken failed here (ValueError: no)" in capsys.readouterr().out


def test_a_learner_s_soft_prompt_is_the_library_s(model, data):
    torch.manual_seed(0)
    peftlab.apply(model, PromptConfig(5, "random"), name="p")
    [(_, layer)] = peftlab.adapter_layers(model, "p")
    expected = evaluate.loss(model, data[:8])
    start = layer.prompt.detach().clone()
    peftlab.remove(model, "p")
    soft = own.SoftPrompt(model, start, answer("prompts.concat"), answer("prompts.mask"))
    assert evaluate.loss(soft, data[:8]) == pytest.approx(expected, rel=1e-4)
    history = train.train(soft, data, train.TrainConfig(steps=3), progress=False)
    assert evaluate.loss(soft, data[:8]) < expected and history.losses
    assert sum(p.numel() for p in soft.parameters() if p.requires_grad) == start.numel()


def test_affine_maps_still_replace_a_driven_adapter(model, data):
    trained(model, peftlab.BottleneckConfig(4, "pfeiffer"), data, answer("adapters.layer"))
    _, layer = peftlab.adapter_layers(model, "a")[0]
    u = torch.randn(3, layer.W_down.shape[1])
    assert torch.allclose(
        affine.added(layer, u),
        F.linear(F.relu(F.linear(u, layer.W_down, layer.b_down)), layer.W_up, layer.b_up),
        atol=1e-6,
    )
    width = layer.W_down.shape[1]
    nothing = affine.AffineMap(torch.zeros(width, width), torch.zeros(width))
    maps = {path: nothing for path, _ in peftlab.adapter_layers(model, "a")}
    with affine.replaced(model, "a", maps):
        replaced = evaluate.loss(model, data[:8])
    with peftlab.disabled(model):
        assert evaluate.loss(model, data[:8]) == pytest.approx(replaced, rel=1e-4)


def test_a_learner_s_module_is_no_part_of_the_model(model):
    peftlab.apply(model, peftlab.LoRAConfig(4, 8, ATTENTION), name="a")
    own.drive(model, "a", answer("lora.forward"))
    layer = peftlab.adapter_layers(model, "a")[0][1]
    assert [name for name, _ in layer.named_children()] == ["base"]
    assert isinstance(layer._own[0], nn.Module)


@pytest.mark.parametrize(
    ("method", "exercise"),
    [
        (peftlab.LoRAConfig(4, 8), "lora.forward"),
        (peftlab.DoRAConfig(4, 8), "dora.layer"),
        (peftlab.BottleneckConfig(4, "pfeiffer"), "adapters.layer"),
    ],
)
def test_on_a_16_bit_base_it_gives_16_bits_as_the_library_s_layer_does(
    method, exercise, model, data, capsys
):
    model.to(torch.bfloat16)
    peftlab.apply(model, method, name="a")
    with torch.no_grad():
        for _, layer in peftlab.adapter_layers(model, "a"):
            for parameter in layer.adapter_parameters().values():
                parameter.add_(0.01)
        ids = torch.as_tensor(data[0]["input_ids"])[None]
        library = model(ids).logits
        own.drive(model, "a", answer(exercise))
        theirs = model(ids).logits
    assert "raised" not in capsys.readouterr().out
    assert theirs.dtype == library.dtype == torch.bfloat16
    assert (theirs - library).norm() < 0.02 * library.norm()
