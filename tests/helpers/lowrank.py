"""What the tests of LoRA, DoRA, AdaLoRA and IA³ share: a model of ours beside its twin in PEFT."""

import copy

import torch
from small_models import build, randomise_adapter, relative_error, token_ids

import peftlab
from peftcourse.parity import twins_lora

TOLERANCES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def twins(family, method, dtype=torch.float64, randomise=True, scale=0.2, **options):
    """(base, ours, PEFT's) with the same random adapter."""
    base = build(family, dtype)
    ours = peftlab.apply(copy.deepcopy(base), method, **options).eval()
    if randomise:
        randomise_adapter(ours, scale=scale)
    return base, ours, twins_lora.twin(base, method, ours)


def check_logits_and_gradients(base, ours, theirs, tolerance, extra_total=0):
    """Logits, which the adapter moves by a tenth at least, and the whole gradient."""
    ids = token_ids()
    logits, reference = ours(ids).logits, theirs(ids).logits
    assert relative_error(base(ids).logits, reference) > 0.1
    assert relative_error(logits, reference) < tolerance

    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    (logits * weights).sum().backward()
    (reference * weights).sum().backward()
    mine, other = zip(*twins_lora.pairs(ours, theirs), strict=True)
    assert relative_error(flat_gradient(mine), flat_gradient(other)) < tolerance
    trainable, total = theirs.get_nb_trainable_parameters()
    report = peftlab.trainable_report(ours)
    assert (report.trainable, report.total) == (trainable, total - extra_total)


def flat_gradient(parameters):
    return torch.cat([p.grad.flatten() for p in parameters])


def check_five_steps(ours, theirs):
    ids = token_ids()
    for model in (ours, theirs):
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            model(ids).logits.square().mean().backward()
            optimizer.step()
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10


def check_only_the_adapter_trains(model):
    """Gradients for the adapter and for nothing else; the base stays the same bit for bit."""
    own = {id(p) for _, layer in peftlab.adapter_layers(model) for p in own_parameters(layer)}
    base = {name: p.clone() for name, p in model.named_parameters() if id(p) not in own}
    assert {id(p) for p in model.parameters() if p.requires_grad} == own
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        model(token_ids()).logits.square().mean().backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in own), name
        assert name not in base or torch.equal(parameter, base[name]), name


def own_parameters(layer):
    return layer.adapter_parameters().values()


def check_merging(model, tolerance=1e-12):
    """Merged equals unmerged, and unmerging restores every bit, biases included."""
    ids = token_ids()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    unmerged = model(ids).logits
    peftlab.merge(model)
    assert relative_error(model(ids).logits, unmerged) < tolerance
    assert set(model.state_dict()) == set(before)
    assert any(not torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())
    peftlab.unmerge(model)
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())
    assert torch.equal(model(ids).logits, unmerged)
    plain = peftlab.merge(copy.deepcopy(model), keep_base=False)
    assert not peftlab.adapters(plain)
    assert relative_error(plain(ids).logits, unmerged) < tolerance


def check_exchange(family, ours, theirs, folder, tolerance=1e-10):
    """Our file loads in PEFT, PEFT's file loads here, and what was loaded can be saved again."""
    import peft

    ids = token_ids()
    expected = theirs(ids).logits
    peftlab.save(ours, folder / "ours")
    theirs.save_pretrained(folder / "theirs")
    there = peft.PeftModel.from_pretrained(build(family, ours.dtype), folder / "ours").eval()
    assert relative_error(there(ids).logits, expected) < tolerance
    here = peftlab.load(build(family, ours.dtype), folder / "theirs")
    assert relative_error(here(ids).logits, expected) < tolerance
    peftlab.save(here, folder / "again")
    for loader in (peft.PeftModel.from_pretrained, peftlab.load):
        again = loader(build(family, ours.dtype), folder / "again").eval()
        assert relative_error(again(ids).logits, expected) < tolerance
