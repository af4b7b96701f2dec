"""The training loop: what it computes, what it restores, what it refuses."""

import functools
import math

import pytest
import torch
import tqdm
from small_models import build

import peftlab
from peftcourse.experiments import evaluate, precision
from peftcourse.experiments.train import (
    CHECKPOINT_FILE,
    TrainConfig,
    batch_indices,
    learning_rate_at,
    train,
)
from peftlab import AdaLoRAConfig, LoRAConfig, PeftlabError
from peftlab.methods.adalora import RankAllocator


def examples(count=12, length=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(3, 61, (count, length), generator=generator).tolist()
    # Targets of different lengths, so that parts of a batch hold different numbers of tokens.
    return [
        {"input_ids": row, "labels": [-100] * (2 + i % 4) + row[2 + i % 4 :]}
        for i, row in enumerate(rows)
    ]


def adapted(dtype=torch.float32, **config):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return peftlab.apply(build("llama", dtype), LoRAConfig(rank=2, **config))


def parameters(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_training_lowers_the_loss_and_leaves_the_base_alone():
    model, data = adapted(), examples()
    before = parameters(model)
    config = TrainConfig(steps=30, batch_size=4, learning_rate=2e-2, evaluate_every=10)
    history = train(model, data, config, validation=data, progress=False)
    assert [step for step, _ in history.validation] == [0, 10, 20, 30]
    assert history.validation[-1][1] < history.validation[0][1] - 0.1
    assert history.validation[-1][1] == evaluate.loss(model, data)
    assert history.steps == list(range(1, 31))
    assert len(history.losses) == len(history.learning_rates) == 30
    after = parameters(model)
    for name, parameter in model.named_parameters():
        assert torch.equal(before[name], after[name]) != parameter.requires_grad, name
    assert not model.training  # as it was


def test_a_step_is_that_of_adamw_on_the_clipped_mean_gradient():
    model, data = adapted(torch.float64), examples(4)
    config = TrainConfig(
        steps=1,
        batch_size=4,
        learning_rate=1e-2,
        weight_decay=0.1,
        max_grad_norm=0.05,
        warmup_fraction=0.0,
    )
    twin = adapted(torch.float64)
    chosen = [data[i] for i in batch_indices(1, 4, 4, 0)]
    ids = torch.tensor([e["input_ids"] for e in chosen])
    labels = torch.tensor([e["labels"] for e in chosen])
    output = twin(ids, labels=labels)
    logits = output.logits[:, :-1].flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten())
    assert output.loss.item() == pytest.approx(loss.item(), rel=1e-6)  # transformers: in float32
    loss.backward()
    trained = [p for p in twin.parameters() if p.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(trained, 0.05)
    assert norm > 0.05
    torch.optim.AdamW(trained, lr=learning_rate_at(1, config), weight_decay=0.1).step()

    history = train(model, data, config, progress=False)
    assert history.losses == [pytest.approx(loss.item(), rel=1e-12)]
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(
            dict(model.named_parameters())[name], parameter, rtol=1e-12, atol=1e-14
        )


def test_accumulation_equals_one_large_batch():
    data, results = examples(), []
    for batch, parts in [(6, 1), (2, 3), (1, 6)]:
        model = adapted(torch.float64)
        train(
            model, data, TrainConfig(steps=3, batch_size=batch, accumulation=parts), progress=False
        )
        results.append(parameters(model))
    for other in results[1:]:
        for name, value in results[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-9, atol=1e-12)


def test_the_schedule_rises_and_falls():
    config = TrainConfig(steps=100, learning_rate=1.0, warmup_fraction=0.1)
    rates = [learning_rate_at(step, config) for step in range(1, 101)]
    assert rates[0] == 0.1
    assert rates[9] == max(rates) == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 1e-3
    assert rates[9:] == sorted(rates[9:], reverse=True)


def test_every_epoch_sees_every_example_once_in_another_order():
    seen = [i for step in range(1, 7) for i in batch_indices(step, 10, 5, seed=4)]
    epochs = [seen[0:10], seen[10:20], seen[20:30]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert seen[:10] != [i for step in (1, 2) for i in batch_indices(step, 10, 5, seed=5)]


def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path):
    config = TrainConfig(steps=9, batch_size=3, checkpoint_every=2, evaluate_every=3)
    data = examples()

    class Killed(Exception):
        pass

    def die(step, _):
        if step == 7:
            raise Killed

    whole = adapted(dropout=0.3)
    expected = train(
        whole, data, config, validation=data, folder=tmp_path / "whole", progress=False
    )
    with pytest.raises(Killed):
        train(
            adapted(dropout=0.3),
            data,
            config,
            validation=data,
            folder=tmp_path,
            on_step=die,
            progress=False,
        )
    resumed = adapted(dropout=0.3)
    history = train(
        resumed, data, config, validation=data, folder=tmp_path, resume=True, progress=False
    )
    assert same(parameters(resumed), parameters(whole))
    assert history.losses == expected.losses
    assert history.validation == expected.validation


def curve(monkeypatch, losses):
    """Let the validation losses be these, one after the other."""
    waiting = iter(losses)
    monkeypatch.setattr("peftcourse.experiments.train.validation_loss", lambda *_: next(waiting))


@pytest.mark.parametrize(
    ("losses", "patience", "kept", "last"),
    [
        ([5, 3, 2, 4, 1, 6, 7, 8, 9], 3, 4, 7),  # a rise in between does not end it
        ([5, 3, 2, 4, 1, 6, 7, 8, 9], 1, 2, 3),
        ([5, 4, 3, 2, 1, 0.5, 0.4, 0.3, 0.2], 2, 8, 8),  # falls to the end
        ([5, 3, 2, 2, 2, 9, 9, 9, 9], 3, 2, 5),  # as low as the lowest is no new lowest
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], 2, 0, 2),  # training only harms
        ([5, math.nan, math.nan, 1, 1, 1, 1, 1, 1], 2, 0, 2),
    ],
)
def test_early_stopping_keeps_the_parameters_with_the_lowest_validation_loss(
    monkeypatch, losses, patience, kept, last
):
    curve(monkeypatch, losses)
    model, seen = adapted(), {}
    seen[0] = parameters(model)
    history = train(
        model,
        examples(),
        TrainConfig(steps=8, batch_size=2, evaluate_every=1, patience=patience),
        validation=examples(2),
        on_step=lambda step, model: seen.update({step: parameters(model)}),
        progress=False,
    )
    assert history.steps == list(range(1, last + 1)) and history.kept == kept
    assert [step for step, _ in history.validation] == list(range(last + 1))
    assert same(parameters(model), seen[kept])
    assert kept == last or not same(parameters(model), seen[last])


def test_what_adalora_has_dropped_since_comes_back_too(monkeypatch, tmp_path):
    """Directions dropped after the step that is kept would be missing in its file."""
    config = AdaLoRAConfig(
        total_steps=8, rank=4, target_rank=1, warmup_steps=2, final_steps=2, every=1
    )
    model = peftlab.apply(build("llama"), config)
    allocator, outputs = RankAllocator(model), {}
    ids = torch.tensor([[5, 6, 7]])

    def on_step(step, model):
        allocator(step, model)
        outputs[step] = model(ids).logits.detach()

    curve(monkeypatch, [5, 4, 3, *range(6, 12)])
    schedule = TrainConfig(8, 2, 0.05, evaluate_every=1, patience=6)
    history = train(
        model, examples(), schedule, validation=examples(2), on_step=on_step, progress=False
    )
    assert history.kept == 2 and len(history.steps) == 8
    torch.testing.assert_close(model(ids).logits, outputs[2])
    assert not torch.allclose(outputs[2], outputs[8])
    again = peftlab.load(build("llama"), peftlab.save(model, tmp_path))
    torch.testing.assert_close(again(ids).logits, outputs[2])


def test_without_patience_the_last_parameters_stay(monkeypatch):
    curve(monkeypatch, [1, 2, 3, 4])
    config = TrainConfig(steps=3, batch_size=2, evaluate_every=1)
    history = train(adapted(), examples(), config, validation=examples(2), progress=False)
    assert history.kept == 3 and len(history.validation) == 4


@pytest.mark.parametrize("killed_at", [3, 5, 6])
def test_an_interrupted_run_stops_where_the_whole_one_does(tmp_path, monkeypatch, killed_at):
    losses = [5, 4, 2, 3, 6, 7, 1, 1, 1]
    config = TrainConfig(steps=8, batch_size=2, evaluate_every=1, patience=3, checkpoint_every=1)

    class Killed(Exception):
        pass

    def die(step, _):
        if step == killed_at:
            raise Killed

    def run(folder, **options):
        model = adapted()
        options |= {"validation": examples(2), "folder": folder, "progress": False}
        return model, train(model, examples(), config, **options)

    curve(monkeypatch, losses)
    whole, expected = run(tmp_path / "whole")
    assert expected.steps == [1, 2, 3, 4, 5] and expected.kept == 2
    curve(monkeypatch, losses)
    if killed_at <= 5:
        with pytest.raises(Killed):
            run(tmp_path / "killed", on_step=die)
        # The step that was killed is taken again, with its validation loss.
        curve(monkeypatch, losses[killed_at:])
    else:
        run(tmp_path / "killed")  # it had ended: there is nothing left to do
        curve(monkeypatch, [])
    resumed, history = run(tmp_path / "killed", resume=True)
    assert same(parameters(resumed), parameters(whole))
    assert history.validation == expected.validation and history.kept == 2


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    train(adapted(dropout=0.5), examples(), TrainConfig(steps=2), progress=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_checkpoint_that_does_not_fit_is_refused_and_changes_nothing(tmp_path):
    config = TrainConfig(steps=2, checkpoint_every=1)
    train(adapted(), examples(), config, folder=tmp_path, progress=False)
    for model, changed, message in [
        (adapted(), TrainConfig(steps=3, checkpoint_every=1), "was written with steps=2, not 3"),
        (adapted(targets="q_proj"), config, "belongs to another model or adapter"),
        (peftlab.apply(build("llama"), LoRAConfig(rank=3)), config, "belongs to another model"),
    ]:
        before = parameters(model)
        with pytest.raises(PeftlabError, match=message):
            train(model, examples(), changed, folder=tmp_path, resume=True, progress=False)
        assert same(before, parameters(model))
    file = tmp_path / CHECKPOINT_FILE
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(PeftlabError, match=r"is damaged.*delete it to start anew"):
        train(adapted(), examples(), config, folder=tmp_path, resume=True, progress=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TrainConfig(steps=0), "steps must be at least 1, not 0"),
        (lambda: TrainConfig(learning_rate=-1.0), "learning_rate must be positive .* not -1.0"),
        (lambda: TrainConfig(learning_rate=math.inf), "learning_rate must be .* finite, not inf"),
        (lambda: TrainConfig(patience=-1, evaluate_every=1), "patience=-1, evaluate_every=1"),
        (lambda: TrainConfig(patience=2), "needs evaluate_every; patience=2, evaluate_every=0"),
        (
            lambda: train(adapted(), examples(), TrainConfig(patience=2, evaluate_every=1)),
            "early stopping needs validation examples",
        ),
        (lambda: TrainConfig(warmup_fraction=1.0), "below 1, not 1.0"),
        (lambda: train(adapted(), [], TrainConfig()), "no examples to train on"),
        (lambda: train(adapted(), examples(), TrainConfig(), resume=True), "need a folder"),
        (
            lambda: train(build("llama").requires_grad_(False), examples(), TrainConfig()),
            "apply an adapter first",
        ),
        (
            lambda: train(peftlab.merge(adapted()), examples(), TrainConfig()),
            "cannot train while 'default' is merged",
        ),
        (
            lambda: train(adapted(), examples(), TrainConfig(learning_rate=1e30), progress=False),
            "lower the learning rate",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(PeftlabError, match=message):
        call()


def test_a_loss_that_is_not_finite_leaves_the_parameters_as_they_were():
    model = adapted()
    with torch.no_grad():
        model.get_input_embeddings().weight[:] = float("nan")
    before = parameters(model)
    with pytest.raises(PeftlabError, match="the loss became nan in step 1"):
        train(model, examples(), TrainConfig(steps=2), progress=False)
    after = parameters(model)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all(torch.equal(before[name], after[name]) for name in trained)


def test_the_progress_bar_can_be_switched_off(capfd, monkeypatch):
    # The tests run with TQDM_DISABLE=1; here the bar is to be seen unless `progress` forbids it.
    visible = functools.partial(tqdm.tqdm, disable=False)
    monkeypatch.setattr("peftcourse.experiments.train.tqdm", visible)
    train(adapted(), examples(), TrainConfig(steps=1), progress=True)
    assert "training" in capfd.readouterr().err
    train(adapted(), examples(), TrainConfig(steps=1), progress=False)
    assert capfd.readouterr().err == ""


def test_next_token_loss_of_a_uniform_model_is_the_log_of_the_vocabulary():
    logits, labels = torch.zeros(2, 5, 61), torch.randint(0, 61, (2, 5))
    assert evaluate.next_token_loss(logits, labels).item() == pytest.approx(math.log(61))


@pytest.fixture
def old_gpu(monkeypatch):
    """Training as on a GPU without bfloat16, on the CPU: autocast and a scaled loss in float16."""
    monkeypatch.setattr(precision, "autocast_dtype", lambda device: torch.float16)


def test_float16_training_scales_the_loss_and_agrees_with_float32(old_gpu, monkeypatch):
    data, config = examples(), TrainConfig(steps=12, batch_size=4, learning_rate=1e-2)
    half = adapted()
    history = train(half, data, config, progress=False)
    monkeypatch.undo()
    single = adapted()
    expected = train(single, data, config, progress=False)
    assert history.losses != expected.losses  # it did compute in 16 bit
    assert history.losses == pytest.approx(expected.losses, rel=5e-2)
    assert all(p.dtype == torch.float32 for p in half.parameters())


def test_a_step_that_overflows_in_float16_is_left_out_and_the_scale_halved(old_gpu, monkeypatch):
    scalers = []
    make = torch.amp.GradScaler

    def far_too_large(*arguments, **options):
        scalers.append(make(*arguments, init_scale=2.0**120, **options))
        return scalers[-1]

    monkeypatch.setattr(torch.amp, "GradScaler", far_too_large)
    model = adapted()
    before = parameters(model)
    train(model, examples(), TrainConfig(steps=3, batch_size=4), progress=False)
    assert same(parameters(model), before)
    assert scalers[0].get_scale() == 2.0**117


def test_a_float16_run_resumes_to_the_same_bits(old_gpu, tmp_path):
    data = examples()
    config = TrainConfig(steps=6, batch_size=3, checkpoint_every=3)
    whole = adapted()
    train(whole, data, config, folder=tmp_path / "whole", progress=False)

    class Killed(Exception):
        pass

    def die(step, _):
        if step == 4:
            raise Killed

    with pytest.raises(Killed):
        train(adapted(), data, config, folder=tmp_path, on_step=die, progress=False)
    resumed = adapted()
    train(resumed, data, config, folder=tmp_path, resume=True, progress=False)
    assert same(parameters(resumed), parameters(whole))


def test_parameters_in_float16_are_refused_before_anything_is_trained(old_gpu):
    model = build("llama", torch.float16)
    with pytest.raises(PeftlabError, match=r"trains in float16.*model\.float\(\)"):
        train(model, examples(), TrainConfig(steps=1), progress=False)
