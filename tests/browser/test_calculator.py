"""The calculator's page: its numbers are those of `peftlab.memory`, and anyone can use it."""

import functools
import json
import random
import re
from dataclasses import asdict
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from peftcourse.calculator import page as exported
from peftlab.errors import PeftlabError
from peftlab.memory import PRESETS, Settings, estimate
from peftlab.memory.architecture import Architecture, read
from peftlab.memory.settings import (
    ATTENTIONS,
    BLOCK_SIZES,
    IMPLEMENTATIONS,
    METHODS,
    OPTIMIZERS,
    PRECISIONS,
    QUANTIZATIONS,
)

pytestmark = pytest.mark.browser
PATH = "calculator.html"
HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
SEED = 20


@functools.cache
def data():
    """What the page holds; it takes a fifth of a second to make."""
    return exported.data()


def plain(settings):
    """Settings as the page has them."""
    fields = asdict(settings)
    if not isinstance(settings.targets, str):
        fields["targets"] = list(settings.targets)
    return fields


def random_model(chance):
    if chance.random() < 0.7:
        return read(chance.choice(sorted(PRESETS)))
    kv_heads = chance.randint(1, 16)
    return Architecture(
        name="custom",
        family="llama",
        layers=chance.randint(1, 120),
        hidden=64 * chance.randint(1, 256),
        intermediate=chance.randint(1, 60_000),
        heads=kv_heads * chance.randint(1, 8),
        kv_heads=kv_heads,
        head_dim=chance.choice([32, 64, 80, 128]),
        vocabulary=chance.randint(100, 300_000),
        tied=chance.random() < 0.5,
    )


def random_case(chance, method):
    """A model and settings that `estimate` takes, and its estimate."""
    while True:
        model = random_model(chance)
        targets = data()["targets"][model.family]
        some = tuple(chance.sample(targets, chance.randint(1, len(targets))))
        try:
            settings = Settings(
                method=method,
                rank=chance.randint(1, 300),
                targets=chance.choice(["all-linear", some]),
                tokens=chance.randint(1, 200),
                bottleneck=chance.randint(1, 1024),
                precision=chance.choice(PRECISIONS),
                quantization=chance.choice(QUANTIZATIONS),
                double_quantization=chance.random() < 0.5,
                block_size=chance.choice(BLOCK_SIZES),
                optimizer=chance.choice(OPTIMIZERS),
                batch_size=chance.randint(1, 32),
                seq_len=chance.randint(1, chance.choice([300, 8192])),
                gradient_checkpointing=chance.random() < 0.5,
                attention=chance.choice(ATTENTIONS),
                implementation=chance.choice(IMPLEMENTATIONS),
            )
            return model, settings, estimate(model, settings)
        except PeftlabError:  # they do not go together
            continue


def test_300_random_settings_give_the_numbers_of_the_estimate(visit):
    chance = random.Random(SEED)
    cases = [random_case(chance, METHODS[index % len(METHODS)]) for index in range(300)]
    page = visit(PATH)
    found = page.evaluate(
        """cases => {
          const data = JSON.parse(document.getElementById("calculator-data").textContent);
          return cases.map(([model, settings]) => peftlabEstimate(data, model, settings));
        }""",
        [[exported.numbers(model), plain(settings)] for model, settings, _ in cases],
    )
    for (model, settings, made), got in zip(cases, found, strict=True):
        where = f"{model} {settings}"
        assert got["components"] == dict(made.components), where
        assert got["peak_bytes"] == made.peak_bytes == sum(got["components"].values()), where
        assert got["parameters"] == made.parameters, where
        assert got["trained"] == made.trained, where
        assert got["file_bytes"] == made.file_bytes, where
        # The only numbers that can pass 2⁵³, beyond which a double holds no odd ones.
        assert got["flops"] == pytest.approx(made.flops, rel=1e-15), where
        assert got["paged_bytes"] == made.paged_bytes, where
    assert {model.family for model, _, _ in cases} == {"llama", "gpt2", "bert"}
    assert not visit.faults, visit.faults


# --- the form ------------------------------------------------------------------------------------


def fact(page, name):
    """A fact beneath the bar, such as "Peak in bytes"."""
    return page.locator(".calc-facts div", has_text=name).locator("dd").inner_text()


def shown_peak(page):
    return int(fact(page, "Peak in bytes").replace(",", ""))


def chosen(page):
    """The model and settings that the page's address holds."""
    model, custom, settings = exported.DEFAULT_MODEL, {}, {}
    usual = asdict(Settings())
    for name, text in parse_qsl(page.evaluate("location.hash").lstrip("#")):
        if name == "model":
            model = text
        elif name in usual:
            settings[name] = text if name == "targets" else json_value(text)
        else:
            custom[name] = json_value(text)
    if model == "custom":
        model = Architecture("custom", "llama", **(data()["defaults_custom"] | custom))
    return model, Settings(**settings)


def json_value(text):
    return json.loads(text) if re.fullmatch(r"\d+|true|false", text) else text


def field(page, label):
    return page.get_by_label(label, exact=True)


def test_the_form_shows_the_estimate(visit):
    page = visit(PATH)
    assert shown_peak(page) == estimate("llama-2-7b", Settings()).peak_bytes

    field(page, "Method").select_option("qlora")
    field(page, "Rank").fill("16")
    field(page, "all linear layers").check()
    field(page, "Gradient checkpointing").check()
    field(page, "Optimizer").select_option("paged_adamw_8bit")
    settings = Settings(
        method="qlora",
        rank=16,
        targets="all-linear",
        gradient_checkpointing=True,
        optimizer="paged_adamw_8bit",
    )
    made = estimate("llama-2-7b", settings)
    assert shown_peak(page) == made.peak_bytes
    assert f"{made.trained:,}" in fact(page, "Parameters that train")
    assert page.locator(".calc-table tbody tr").count() == len(made.components)

    field(page, "Model").select_option("gpt2")
    field(page, "Method").select_option("full")
    field(page, "Precision").select_option("mixed")
    made = estimate(
        "gpt2",
        Settings(
            method="full",
            precision="mixed",
            optimizer="paged_adamw_8bit",
            gradient_checkpointing=True,
        ),
    )
    assert shown_peak(page) == made.peak_bytes
    # A hidden field keeps its value: it belongs to the link, and is there again with its method.
    assert not page.locator("[name=rank]").is_visible()
    assert not visit.faults, visit.faults


def test_custom_numbers(visit):
    page = visit(PATH)
    field(page, "Model").select_option("custom")
    field(page, "Blocks").fill("40")
    field(page, "Vocabulary").fill("128256")
    model, settings = chosen(page)
    assert (model.layers, model.vocabulary, model.hidden) == (40, 128_256, 4096)
    assert shown_peak(page) == estimate(model, settings).peak_bytes

    field(page, "Key/value heads").fill("5")
    assert "multiple" in page.locator(".calc-note").inner_text()
    assert not visit.faults, visit.faults


def test_every_state_of_the_form_is_one_that_the_estimate_takes(visit):
    page = visit(PATH)
    chance = random.Random(SEED)
    refused = 0
    for _ in range(60):
        name = chance.choice(["model", "method", "precision", "implementation", "attention"])
        select = page.locator(f"select[name={name}]")
        values = select.evaluate(
            "select => [...select.options].filter(option => !option.disabled).map(o => o.value)"
        )
        select.select_option(chance.choice(values))
        checkpointing = field(page, "Gradient checkpointing")
        if checkpointing.is_enabled():
            checkpointing.set_checked(chance.random() < 0.5)
        field(page, "Sequence length").fill(str(chance.choice([128, 1024, 2048])))
        if page.locator(".calc-note").inner_text().startswith("No estimate"):
            refused += 1
            with pytest.raises(PeftlabError, match="positions"):
                estimate(*chosen(page))
        else:
            assert shown_peak(page) == estimate(*chosen(page)).peak_bytes
    assert refused > 0
    assert not visit.faults, visit.faults


def test_a_link_keeps_the_settings(visit):
    page = visit(PATH)
    assert page.evaluate("location.hash") == ""
    field(page, "Model").select_option("qwen3-4b")
    field(page, "Method").select_option("dora")
    field(page, "k_proj").check()
    field(page, "q_proj").uncheck()
    field(page, "Sequence length").fill("2048")
    field(page, "Gradient checkpointing").check()
    address = page.evaluate("location.hash")
    again = visit(PATH + address)
    assert shown_peak(again) == shown_peak(page)
    assert field(again, "Model").input_value() == "qwen3-4b"
    assert field(again, "k_proj").is_checked()
    assert not field(again, "q_proj").is_checked()
    assert again.evaluate("location.hash") == address

    again.get_by_role("button", name="Start again").click()
    assert again.evaluate("location.hash") == ""
    assert shown_peak(again) == estimate("llama-2-7b", Settings()).peak_bytes
    assert not visit.faults, visit.faults


@pytest.mark.parametrize(
    "address", ["model=none-such", "rank=-3", "method=magic", "seq_len=1e9", "block_size=65", "x=1"]
)
def test_a_damaged_link_is_named_and_the_page_works(visit, address):
    page = visit(f"{PATH}#{address}&batch_size=2")
    assert address in page.locator(".calc-note").inner_text()
    assert shown_peak(page) == estimate("llama-2-7b", Settings(batch_size=2)).peak_bytes
    assert not visit.faults, visit.faults


@pytest.mark.parametrize("wrong", ["0", "", "2.5", "-1", "999999999"])
def test_a_number_that_cannot_be_is_named(visit, wrong):
    page = visit(PATH)
    before = shown_peak(page)
    field(page, "Batch size").fill(wrong)
    assert "Batch size" in page.locator(".calc-note").inner_text()
    assert field(page, "Batch size").get_attribute("aria-invalid") == "true"
    assert shown_peak(page) == before
    field(page, "Batch size").fill("4")
    assert page.locator(".calc-note").inner_text() == ""
    assert shown_peak(page) == estimate("llama-2-7b", Settings(batch_size=4)).peak_bytes
    assert not visit.faults, visit.faults


# --- for everyone --------------------------------------------------------------------------------


def test_it_works_by_keyboard(visit):
    page = visit(PATH)
    page.locator("select[name=model]").focus()
    seen = []
    for _ in range(40):
        seen.append(page.evaluate("document.activeElement.name || document.activeElement.type"))
        if seen[-1] == "method":
            page.keyboard.press("ArrowDown")  # from LoRA to QLoRA
        if seen[-1] == "gradient_checkpointing":
            page.keyboard.press("Space")
        if seen[-1] == "rank":
            page.keyboard.press("Control+a")
            page.keyboard.type("32")
        if seen[-1] == "reset":
            break
        page.keyboard.press("Tab")
    assert seen[-1] == "reset"
    settings = Settings(method="qlora", rank=32, gradient_checkpointing=True)
    assert shown_peak(page) == estimate("llama-2-7b", settings).peak_bytes
    page.keyboard.press("Enter")
    assert shown_peak(page) == estimate("llama-2-7b", Settings()).peak_bytes
    assert not visit.faults, visit.faults


def test_controls_have_labels_and_results_are_announced(visit):
    page = visit(PATH)
    nameless = page.locator("#calculator :is(input, select)").evaluate_all(
        "all => all.filter(control => !control.labels.length || "
        "!control.labels[0].textContent.trim()).map(control => control.name)"
    )
    assert nameless == []
    summary = page.locator(".calc-summary")
    assert summary.get_attribute("aria-live") == "polite"
    before = summary.inner_text()
    field(page, "Batch size").fill("8")
    assert summary.inner_text() != before
    # What colours and bars show is in words as well.
    assert page.locator(".calc-gpus li").count() == len(data()["gpus"])
    for verdict in page.locator(".calc-verdict").all_inner_texts():
        assert re.search(r"(fits: |does not fit: needs )\d+ % of its memory", verdict)


def test_it_asks_for_nothing_while_it_is_used(visit):
    page = visit(PATH)
    page.wait_for_load_state("networkidle")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    field(page, "Method").select_option("full")
    field(page, "Model").select_option("bert-base")
    assert shown_peak(page) > 0
    # A browser looks at the icon again when a page's address changes.
    assert [address for address in asked if not address.endswith("favicon.svg")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(visit, scheme):
    page = visit(PATH, width=390, height=844, scheme=scheme)
    field(page, "Model").select_option("custom")
    field(page, "Method").select_option("qlora")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for control in page.locator("#calculator :is(select, input[type=number])").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 36
    assert not visit.faults, visit.faults


def test_only_its_own_page_loads_it(site):
    holding = [page.name for page in HTML.rglob("*.html") if "calculator-data" in page.read_text()]
    assert holding == ["calculator.html"]


def test_without_javascript_the_page_names_the_command(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/{PATH}")
    assert "peftlab estimate" in page.locator("noscript").first.inner_text()
    assert not page.locator("#calculator").is_visible()
    context.close()
