"""The reference solutions of lesson 03 agree with the library, with PEFT and with transformers."""

import copy

import peft
import pytest
import torch
from small_models import build, randomise_adapter, token_ids
from torch import nn

import peftlab
from peftcourse.exercises import find
from peftcourse.exercises.feedback import assess
from peftcourse.exercises.lora.probes_model import Nested

delta, init, LoRALinear, inject, count, loss, train_step, save, load, merge = (
    find(f"lora.{name}").solution
    for name in (
        "delta", "init", "forward", "inject", "count", "loss", "train_step", "save", "load",
        "merge",
    )
)  # fmt: skip

TARGETS = ["q_proj", "attention.v_proj"]


@pytest.fixture
def pair() -> tuple[nn.Module, nn.Module]:
    """The same model, adapted by the library and by the answers, with the same random adapters."""
    torch.manual_seed(0)
    theirs = Nested(width=6, depth=2).double()
    ours = copy.deepcopy(theirs)
    peftlab.apply(theirs, peftlab.LoRAConfig(rank=3, alpha=5, targets=TARGETS))
    randomise_adapter(theirs)
    inject(ours, TARGETS, lambda base: LoRALinear(base, rank=3, alpha=5.0))
    load(ours, LoRALinear, saved(theirs))
    return theirs, ours


def saved(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        f"{path}.{part}": getattr(layer, part).detach()
        for path, layer in peftlab.adapter_layers(model)
        for part in ("A", "B")
    }


def test_the_update_is_that_of_the_library_and_of_peft(pair):
    theirs, _ = pair
    for _, layer in peftlab.adapter_layers(theirs):
        torch.testing.assert_close(delta(layer.A, layer.B, 5.0), layer.delta_weight())
    model = nn.Sequential(nn.Linear(6, 4)).double()
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["0"], init_lora_weights=False)
    layer = peft.get_peft_model(model, config).base_model.model[0]
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.testing.assert_close(delta(A, B, 5.0), layer.get_delta_weight("default"))


def test_a_fresh_adapter_is_drawn_as_the_library_draws_it():
    model = nn.Sequential(nn.Linear(600, 300))
    torch.manual_seed(0)
    peftlab.apply(model, peftlab.LoRAConfig(rank=8, targets=["0"]))
    [(_, layer)] = peftlab.adapter_layers(model)
    A, B = init(600, 300, 8, torch.Generator().manual_seed(0))
    assert torch.equal(A, layer.A) and torch.equal(B, layer.B)


def test_layers_outputs_and_gradients_are_those_of_the_library(pair):
    theirs, ours = pair
    ids = torch.randint(0, 11, (2, 4))
    for model in pair:
        model(ids).square().sum().backward()
    torch.testing.assert_close(ours(ids), theirs(ids))
    own = dict(ours.named_parameters())
    trained = [name for name, parameter in theirs.named_parameters() if parameter.requires_grad]
    assert trained == [name for name, parameter in own.items() if parameter.requires_grad]
    for name, parameter in theirs.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(own[name].grad, parameter.grad)


def test_what_trains_is_counted_before_it_is_built(pair):
    theirs, _ = pair
    trained = sum(p.numel() for p in theirs.parameters() if p.requires_grad)
    assert count([(6, 6), (6, 6)], 3, 2) == trained


def test_what_is_kept_is_the_adapter_and_goes_where_it_came_from(pair):
    theirs, ours = pair
    state = save(ours, LoRALinear)
    assert state.keys() == saved(theirs).keys()
    for name, tensor in saved(theirs).items():
        assert torch.equal(state[name], tensor)


def test_a_merged_layer_has_the_librarys_weight(pair):
    theirs, ours = pair
    paths = [path for path, _ in peftlab.adapter_layers(theirs)]
    peftlab.merge(theirs)
    for path in paths:
        layer = ours.get_submodule(path)
        layer.enabled = True  # the switch that `merge` turns
        with merge(layer):
            torch.testing.assert_close(layer.base.weight, theirs.get_submodule(path).base.weight)


def test_the_loss_is_that_of_transformers():
    model, ids = build("llama"), token_ids()
    labels = ids.clone()
    labels[0, :3] = -100
    with torch.no_grad():
        out = model(input_ids=ids, labels=labels)
    torch.testing.assert_close(loss(out.logits, labels), out.loss)


def test_a_step_is_that_of_clipped_gradients_by_hand(pair):
    _, ours = pair
    twin, ids = copy.deepcopy(ours), torch.randint(0, 11, (3, 2, 4))
    y, mse = torch.randn(3, 2, 4, 7).double(), nn.functional.mse_loss
    mine, theirs = ([p for p in model.parameters() if p.requires_grad] for model in (ours, twin))
    optimizer = torch.optim.SGD(mine, lr=0.5)
    for x, target in zip(ids, y, strict=True):
        loss = mse(twin(x), target)
        gradients = torch.autograd.grad(loss, theirs)
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
        assert norm > 0.1  # so that clipping matters
        with torch.no_grad():
            for parameter, gradient in zip(theirs, gradients, strict=True):
                parameter -= 0.5 * gradient * 0.1 / (norm + 1e-6)  # clip_grad_norm_'s own 1e-6
        assert train_step(ours, x, target, mse, optimizer, 0.1) == pytest.approx(loss.item())
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other)


# --- answers that earlier cases let pass, and right ones that they did not -----------------------


def report(exercise, answer, seed=0):
    return assess(find(f"lora.{exercise}"), answer, seed)


def layer(forward):
    """The layer with another forward."""
    return type("Layer", (LoRALinear,), {"forward": forward})


def branch_without_gradient(self, x):
    with torch.no_grad():
        branch = self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)
    return self.base(x) + branch


def base_without_gradient(self, x):
    with torch.no_grad():
        y = self.base(x)
    return y + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)


def x_detached(self, x):
    return self.base(x) + self.scaling * (self.dropout(x.detach()) @ self.A.T @ self.B.T)


def update_built(self, x):
    return self.base(x) + self.dropout(x) @ (self.scaling * self.B @ self.A).T


def one_mask_for_all(self, x):
    mask = self.dropout(torch.ones_like(x[..., :1, :]) if x.dim() > 1 else x / x)
    return self.base(x) + self.scaling * (x * mask @ self.A.T @ self.B.T)


@pytest.mark.parametrize(
    ("forward", "cause"),
    [
        (branch_without_gradient, "no gradient"),
        (base_without_gradient, "no gradient gets through"),
        (x_detached, "x is detached"),
        (update_built, "ΔW"),
        (one_mask_for_all, "one mask"),
    ],
)
def test_what_a_layer_does_beside_its_output_counts(forward, cause):
    said = report("forward", layer(forward))
    assert not said.correct and cause in said.cause


def test_dropout_may_draw_its_mask_as_it_likes():
    def forward(self, x):
        p = self.dropout.p if self.training else 0.0
        kept = x * (torch.rand_like(x) >= p) / (1 - p)
        return self.base(x) + self.scaling * (kept @ self.A.T @ self.B.T)

    for seed in range(3):
        assert report("forward", layer(forward), seed).correct


def test_a_clip_by_hand_needs_no_epsilon():
    def answer(model, x, y, loss_fn, optimizer, max_norm):
        optimizer.zero_grad()
        value = loss_fn(model(x), y)
        value.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        for gradient in gradients if norm > max_norm else ():
            gradient *= max_norm / norm
        optimizer.step()
        return value.item()

    for seed in range(3):
        assert report("train_step", answer, seed).correct


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        (lambda labels: labels.roll(-1, dims=1), "wraps around"),
        (lambda labels: labels.flatten().roll(-1).view_as(labels), "last position"),
    ],
)
def test_a_label_that_nothing_predicts_is_not_scored(target, cause):
    said = report(
        "loss",
        lambda logits, labels: nn.functional.cross_entropy(logits.mT, target(labels)),
    )
    assert not said.correct and cause in said.cause


def test_a_state_is_copied_and_its_shapes_are_compared():
    def assigns(model, kind, state):
        load(model, kind, state)
        for path, module in model.named_modules():
            if isinstance(module, kind):
                module.A.data, module.B.data = state[f"{path}.A"], state[f"{path}.B"]

    assert "share memory" in report("load", assigns).cause

    def by_size(model, kind, state):
        own = save(model, kind)
        if own.keys() == state.keys() and all(own[k].numel() == state[k].numel() for k in own):
            state = {name: tensor.reshape(own[name].shape) for name, tensor in state.items()}
        load(model, kind, state)

    assert "transposed" in report("load", by_size).cause
