"""The reference solutions of lesson 05 agree with the library, with PEFT and with autograd."""

import peft
import pytest
import torch
from torch import nn

from peftcourse.exercises import find
from peftcourse.exercises.dora.probes import Adapted
from peftcourse.exercises.feedback import assess
from peftcourse.experiments import decomposition
from peftlab import DoRAConfig
from peftlab.methods.dora import DoRALinear

decompose, forward, Layer, gradients, cheap_norm, merge, change, correlation = (
    find(f"dora.{name}").solution
    for name in (
        "decompose", "forward", "layer", "gradients", "cheap_norm", "merge", "change",
        "correlation",
    )
)  # fmt: skip


def adapted(d_in: int = 6, d_out: int = 5, rank: int = 2, detach: bool = True) -> DoRALinear:
    """The library's layer with an adapter that does something."""
    base = nn.Linear(d_in, d_out, dtype=torch.float64)
    layer = DoRALinear(base, DoRAConfig(rank=rank, alpha=3.0, detach_norm=detach))
    nn.init.normal_(layer.B)
    nn.init.uniform_(layer.magnitude, 0.5, 2)
    return layer


def parts(layer: DoRALinear) -> tuple:
    return layer.base.weight, layer.base.bias, layer.A, layer.B, layer.magnitude, layer.scaling


def test_a_weight_is_put_together_again():
    weight = torch.randn(4, 7)
    magnitude, direction = decompose(weight)
    torch.testing.assert_close(magnitude[:, None] * direction, weight)


def test_the_forward_pass_is_that_of_the_library_and_of_peft():
    layer, x = adapted(), torch.randn(3, 6, dtype=torch.float64)
    expected = layer(x)
    torch.testing.assert_close(forward(x, *parts(layer)), expected)
    model = nn.Sequential(nn.Linear(6, 5, dtype=torch.float64))
    model[0].load_state_dict(layer.base.state_dict())
    config = peft.LoraConfig(r=2, lora_alpha=3, target_modules=["0"], use_dora=True)
    other = peft.get_peft_model(model, config).double()
    with torch.no_grad():
        twin = other.base_model.model[0]
        twin.lora_A["default"].weight.copy_(layer.A)
        twin.lora_B["default"].weight.copy_(layer.B)
        twin.lora_magnitude_vector["default"].weight.copy_(layer.magnitude)
    torch.testing.assert_close(other(x), expected)


def test_the_layer_has_the_librarys_gradients():
    theirs, x = adapted(), torch.randn(3, 6, dtype=torch.float64)
    ours = Layer(theirs.base, 2, 3.0)
    torch.testing.assert_close(ours(x), theirs.base(x))
    names = ("A", "B", "magnitude")
    with torch.no_grad():
        for name in names:
            getattr(ours, name).copy_(getattr(theirs, name))
    for layer in (ours, theirs):
        layer(x).square().sum().backward()
    for name in names:
        torch.testing.assert_close(getattr(ours, name).grad, getattr(theirs, name).grad)


@pytest.mark.parametrize("detach", [True, False])
def test_gradients_are_those_of_autograd(detach):
    V = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
    m = torch.rand(4, dtype=torch.float64, requires_grad=True)
    G = torch.randn(4, 7, dtype=torch.float64)
    norm = V.norm(dim=1, keepdim=True)
    weight = m[:, None] / (norm.detach() if detach else norm) * V
    expected = torch.autograd.grad((weight * G).sum(), (m, V))
    for mine, right in zip(gradients(G, V.detach(), m.detach(), detach), expected, strict=True):
        torch.testing.assert_close(mine, right)


def test_the_norm_and_the_merged_weight_are_the_librarys():
    layer = adapted()
    weight = layer.base.weight
    norm = cheap_norm(weight, layer.A, layer.B, layer.scaling)
    torch.testing.assert_close(norm, layer.norm(weight))
    plain = Adapted(layer.base, layer.A, layer.B, layer.magnitude, layer.scaling)
    torch.testing.assert_close(merge(plain).weight, layer.merged_weight(weight))


def test_changes_and_correlations_are_the_librarys():
    before, after = torch.randn(5, 7).double(), torch.randn(5, 7).double()
    assert change(before, after) == pytest.approx(decomposition.weight_change(before, after))
    x, y = torch.randn(9).double(), torch.randn(9).double()
    assert correlation(x, y) == pytest.approx(decomposition.correlation(x, y), abs=1e-4)


def said(exercise, answer, seed=3):
    return assess(find(exercise), answer, seed)


class DetachedInput(Layer):
    def forward(self, x):
        return super().forward(x.detach())


class NothingToLearn(Layer):
    def __init__(self, base, rank, alpha):
        super().__init__(base, rank, alpha)
        nn.init.zeros_(self.A)


class DetachedInTrainingOnly(Layer):
    def forward(self, x):
        if self.training:
            return super().forward(x)
        V = self.base.weight + self.scaling * (self.B @ self.A)
        return self.magnitude / V.norm(dim=1) * (x @ V.T) + self.base.bias


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (DetachedInput, "x is detached"),
        (NothingToLearn, "A and B both start at zero"),
        (DetachedInTrainingOnly, "detached in training mode only"),
    ],
)
def test_a_layer_with_the_right_outputs_and_wrong_gradients_fails(answer, words):
    report = said("dora.layer", answer)
    assert not report.correct and words in report.cause


def broadcast(W, A, B, scaling):
    return (W + scaling * (B[:, :, None] * A).sum(dim=1)).norm(dim=1)


def outer_products(W, A, B, scaling):
    V = W.clone()
    for i in range(len(A)):
        V += scaling * torch.outer(B[:, i], A[i])
    return V.norm(dim=1)


def row_by_row(W, A, B, scaling):
    return torch.stack([(w + scaling * (b @ A)).norm() for w, b in zip(W, B, strict=True)])


def through_an_identity(W, A, B, scaling):
    eye = torch.eye(A.shape[1], dtype=A.dtype)
    return (W + scaling * (eye @ A.T @ B.T).T).norm(dim=1)


@pytest.mark.parametrize("answer", [broadcast, outer_products, row_by_row, through_an_identity])
def test_the_matrix_is_seen_however_it_is_built(answer):
    assert "BA was built" in said("dora.cheap_norm", answer).cause


def test_the_matrix_is_not_built_in_numpy_unseen():
    def answer(W, A, B, scaling):
        return (W + scaling * torch.from_numpy(B.numpy() @ A.numpy())).norm(dim=1)

    assert "NumPy" in said("dora.cheap_norm", answer).cause


def test_no_product_of_r_columns_is_taken_for_the_matrix():
    def answer(W, A, B, scaling):
        """With an orthonormal basis of the rows of A, and all in double precision."""
        Q, R = torch.linalg.qr(A.double().T)
        inside = W.double() @ Q
        rest = W.double().square().sum(1) - inside.square().sum(1)
        return (rest + (inside + scaling * B.double() @ R.T).square().sum(1)).sqrt().to(W.dtype)

    assert said("dora.cheap_norm", answer).correct


def test_a_row_that_turned_round_counts():
    def answer(before, after):
        cosine = nn.functional.cosine_similarity(after, before, dim=1)
        return change(before, after)[0], (1 - cosine.abs()).mean().item()

    report = said("dora.change", answer)
    assert "turned round" in report.cause and "point the other way" in report.observed


def test_a_merge_leaves_the_layer_as_it_was():
    def answer(layer):
        layer.base = merge(layer)
        return layer.base

    assert "layer.base was replaced" in said("dora.merge", answer).cause


def test_gradients_do_not_add_up_from_call_to_call():
    def answer(G, V, magnitude, detach):
        V.requires_grad_()
        magnitude.requires_grad_()
        norm = V.norm(dim=1, keepdim=True)
        weight = magnitude[:, None] / (norm.detach() if detach else norm) * V
        weight.backward(G)
        return magnitude.grad, V.grad

    assert "not at the second" in said("dora.gradients", answer).cause
