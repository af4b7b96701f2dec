"""What the tests of the methods without a low-rank update share."""

import torch
from small_models import relative_error, token_ids

import peftlab

# One row with padding at the left, as when prompts of different lengths are continued.
LEFT_PADDED = torch.tensor([[1] * 9, [0] * 3 + [1] * 6])
# On the right PEFT agrees; on the left, what it computes depends on how much padding there is.
RIGHT_PADDED = LEFT_PADDED.flip(1)


def seeded(shape, seed=2, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def adapter_parameters(model, name=None):
    return [
        parameter
        for _, layer in peftlab.adapter_layers(model, name)
        for parameter in layer.adapter_parameters().values()
    ]


def gradients(logits, parameters):
    """The gradient of a random projection of the logits, flat."""
    weights = seeded(logits.shape, dtype=logits.dtype)
    grads = torch.autograd.grad((logits * weights).sum(), parameters)
    return torch.cat([grad.flatten() for grad in grads])


def train(parameters, logits, steps=5, weight_decay=0.1):
    """A few steps of AdamW on the mean square of what `logits()` returns."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=weight_decay)
    for _ in range(steps):
        optimizer.zero_grad()
        logits().square().mean().backward()
        optimizer.step()


def check_only_the_adapter_trains(model, ids=None):
    """Gradients for the adapter and for nothing else; the base stays the same bit for bit."""
    ids = token_ids() if ids is None else ids
    own = {id(parameter) for parameter in adapter_parameters(model)}
    base = {name: p.clone() for name, p in model.named_parameters() if id(p) not in own}
    assert all(p.requires_grad == (id(p) in own) for p in model.parameters())
    before = [parameter.clone() for parameter in adapter_parameters(model)]
    train(adapter_parameters(model), lambda: model(ids).logits)
    assert all(parameter.grad is not None for parameter in adapter_parameters(model))
    changed = zip(before, adapter_parameters(model), strict=True)
    assert all(not torch.equal(old, new) for old, new in changed)
    after = dict(model.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in base.items())
    assert all(after[name].grad is None for name in base)


def greedy(model, ids, mask, steps):
    """A greedy continuation and its logits (B, steps, V), without a cache: the whole sequence is
    computed anew for each token."""
    found = []
    for _ in range(steps):
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        output = model(ids, attention_mask=mask, position_ids=positions, use_cache=False)
        found.append(output.logits[:, -1])
        ids = torch.cat([ids, found[-1].argmax(-1, keepdim=True)], dim=1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    return ids, torch.stack(found, dim=1)


def generate(model, ids, mask, steps, **options):
    """The same with transformers' `generate`."""
    output = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=steps,
        min_new_tokens=steps,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
        output_logits=True,
        return_dict_in_generate=True,
        **options,
    )
    return output.sequences, torch.stack(output.logits, dim=1)


def check_generation(model, ids, mask, steps=5, tolerance=1e-5):
    """With the cache and without, `generate` computes what the plain forward does."""
    expected, logits = greedy(model, ids, mask, steps)
    for use_cache in (True, False):
        found, found_logits = generate(model, ids, mask, steps, use_cache=use_cache)
        assert torch.equal(found, expected)
        assert relative_error(found_logits, logits) < tolerance
