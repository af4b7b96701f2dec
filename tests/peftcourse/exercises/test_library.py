"""The reference solutions of lesson 09 do what PEFT does."""

import math
import re
import warnings

import peft
import pytest
import torch
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors.torch import load_file

from peftcourse.exercises import find
from peftcourse.exercises.feedback import assess
from peftcourse.exercises.library import cases, combine, count, names, scaling, targets, tied
from peftcourse.parity.models import build


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(5))
def test_layers_are_those_that_peft_matches(seed):
    for case in cases.targets(seeded(seed)):
        if case["targets"] == "all-linear":
            continue
        config = peft.LoraConfig(target_modules=case["targets"])
        if case["targets"] == []:  # PEFT takes it for "none given"
            continue
        theirs = [name for name in case["linear"] if check_target_module_exists(config, name)]
        assert targets.targets(case["targets"], case["linear"], case["head"]) == theirs


def test_all_linear_is_pefts():
    model = build("llama")
    linear = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear"))
    theirs = {n for n, m in adapted.base_model.model.named_modules() if hasattr(m, "lora_A")}
    assert set(targets.targets("all-linear", linear, "lm_head")) == theirs


def test_counts_are_pefts():
    model = peft.get_peft_model(build("llama"), peft.LoraConfig(target_modules="all-linear"))
    assert count.count(model) == model.get_nb_trainable_parameters()


@pytest.mark.parametrize("use_rslora", [False, True])
def test_factors_are_pefts(use_rslora):
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["q_proj", "v_proj", "up_proj"],
        rank_pattern={r"layers\.0\..*_proj": 5, "q_proj": 7},
        alpha_pattern={"v_proj": 11},
        use_rslora=use_rslora,
    )
    patterns = dict(config.rank_pattern), dict(config.alpha_pattern)
    model = peft.get_peft_model(build("llama"), config).base_model.model
    for path, module in model.named_modules():
        if hasattr(module, "lora_A"):
            ours = scaling.scaling(path, 4, 6, *patterns, use_rslora)
            assert ours == pytest.approx(module.scaling["default"])


def test_names_are_those_of_pefts_model_and_file(tmp_path):
    model = peft.get_peft_model(
        build("llama"), peft.LoraConfig(target_modules=["q_proj"]), adapter_name="mine"
    )
    model.save_pretrained(tmp_path)
    paths = [n for n, m in model.base_model.model.named_modules() if hasattr(m, "lora_A")]
    ours = {f"{path}.{letter}": torch.zeros(1) for path in paths for letter in "AB"}
    in_model = {n for n, _ in model.named_parameters() if "lora_" in n}
    assert names.names(ours, "mine").keys() == in_model
    in_file = load_file(tmp_path / "mine" / "adapter_model.safetensors")
    assert names.names(ours).keys() == in_file.keys()


@pytest.mark.parametrize("how", ["cat", "linear", "svd"])
def test_combinations_are_pefts(how):
    config = peft.LoraConfig(r=3, lora_alpha=7, target_modules=["q_proj"], init_lora_weights=False)
    model = peft.get_peft_model(build("llama"), config, adapter_name="one")
    model.add_adapter("two", config)
    model.add_weighted_adapter(["one", "two"], [0.7, -0.3], "both", combination_type=how)
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    adapters = [
        (layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])
        for name in ("one", "two")
    ]
    A, B = combine.combine(adapters, [0.7, -0.3], how)
    assert layer.scaling["both"] == 1 and len(A) == layer.r["both"]
    assert torch.allclose(B @ A, layer.get_delta_weight("both"), atol=1e-5)


def test_pefts_merge_changes_a_tied_embedding_and_the_answer_does_not():
    base = build("llama")
    before = base.get_input_embeddings().weight.detach().clone()
    delta = torch.randn(before.shape)
    tied.tied(base.get_input_embeddings(), base.lm_head, delta)
    assert torch.equal(base.get_input_embeddings().weight, before)
    assert torch.equal(base.lm_head.weight, before + delta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = peft.LoraConfig(r=3, target_modules=["lm_head"], init_lora_weights=False)
        merged = peft.get_peft_model(build("llama"), config).merge_and_unload()
    assert not torch.equal(merged.get_input_embeddings().weight, before)


# --- what a check has to notice -------------------------------------------------------------------


def cause(exercise, answer, seed=0):
    """The likely cause that a check names; the answer must be wrong."""
    report = assess(find(f"library.{exercise}"), answer, seed)
    assert not report.correct
    return report.cause


def test_a_list_that_names_the_head_means_it_and_the_order_is_the_layers():
    def without_head(wanted, linear, head):
        return [name for name in targets.targets(wanted, linear, head) if name != head]

    assert "the head is left out always" in cause("targets", without_head)

    def backwards(wanted, linear, head):
        return targets.targets(wanted, linear, head)[::-1]

    assert "in another order" in cause("targets", backwards)


def test_only_uint8_is_packed():
    def answer(model):
        sizes = [
            (p.numel() * (2 if p.element_size() == 1 else 1), p.requires_grad)
            for p in model.parameters()
        ]
        return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)

    assert "every dtype of one byte" in cause("count", answer)


def test_a_key_may_be_all_of_a_name_and_hold_alternatives():
    def with_key(template):
        def answer(path, r, lora_alpha, rank_pattern, alpha_pattern, use_rslora):
            def own(pattern, default):
                hits = (v for k, v in pattern.items() if re.match(template.format(k), path))
                return next(hits, default)

            rank, alpha = own(rank_pattern, r), own(alpha_pattern, lora_alpha)
            return alpha / math.sqrt(rank) if use_rslora else alpha / rank

        return answer

    assert assess(find("library.scaling"), with_key(r"(.*\.)?({})\Z"), 0).correct
    assert "no dot in front" in cause("scaling", with_key(r".*\.({})\Z"))
    assert "a | in it" in cause("scaling", with_key(r"(.*\.)?{}\Z"))


def test_factors_have_to_be_where_the_text_puts_them():
    def cat_with_B(adapters, weights, how):
        A, B = combine.combine(adapters, weights, how)
        return (2 * A, B / 2) if how == "cat" else (A, B)

    assert "the product is right" in cause("combine", cat_with_B)

    def of_roots(adapters, weights, how):
        A, B = combine.combine(adapters, weights, how)
        norms = B.norm(dim=0)
        return (norms[:, None] * A, B / norms) if how == "svd" else (A, B)

    assert "singular values are in A" in cause("combine", of_roots)


def test_the_dictionary_of_the_caller_is_left_alone():
    def answer(tensors, adapter=None):
        renamed = names.names(tensors, adapter)
        tensors.clear()
        return renamed

    assert "caller's dictionary" in cause("names", answer)
