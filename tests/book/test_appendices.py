"""The appendices say what is so: typed numbers are recomputed, and what is listed exists."""

import json
import math
import re
from functools import cache
from statistics import NormalDist, fmean, median

import pytest
import torch

from book import execution
from peftcourse.experiments.levels import ScaledNormal
from peftlab.memory import PRESETS, Settings, estimate
from peftlab.quantization import nf4
from peftlab.quantization.formats import NF4_LEVELS

PAGE = "myths"
APPENDICES = ("myths", "interview", "checklists", "status")


def page(name: str) -> str:
    return (execution.BOOK / f"{name}.md").read_text(encoding="utf-8")


def says(name: str, words: str) -> bool:
    return words in page(name)


def prose(name: str) -> str:
    """A page without its code cells."""
    return re.sub(r"^```\{code-cell\}.*?^```$", "", page(name), flags=re.DOTALL | re.MULTILINE)


def recorded(name: str) -> dict:
    file = execution.ROOT / "results" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))["numbers"]


def claims() -> dict[str, str]:
    """The section of each claim, by its anchor."""
    parts = re.split(r"^\((myth-[a-z0-9-]+)\)=$", page("myths"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def parameters() -> int:
    return estimate("llama-7b", Settings()).parameters


def lora(preset: str, rank: int, matrices: int) -> int:
    """LoRA's numbers on square matrices of the width of a model."""
    shape = PRESETS[preset]
    return shape["num_hidden_layers"] * matrices * rank * 2 * shape["hidden_size"]


def base_bits() -> float:
    """Bits for each parameter of LLaMA-7B with its linear layers in NF4."""
    shape = PRESETS["llama-7b"]
    d, f, blocks = shape["hidden_size"], shape["intermediate_size"], shape["num_hidden_layers"]
    linear = blocks * (4 * d * d + 3 * d * f)
    return (linear * nf4.bits_per_parameter() + 16 * (parameters() - linear)) / parameters()


def differing_codes() -> int:
    """NF4 codes of a quarter of 16.8 million normal numbers that rounding the table changes."""
    numbers = torch.randn(2**22, generator=torch.Generator().manual_seed(0)).view(-1, 64)
    scaled = numbers / numbers.abs().amax(dim=1, keepdim=True)
    exact = torch.tensor(NF4_LEVELS)
    rounded = torch.tensor([round(level, 4) for level in NF4_LEVELS])
    one, two = (
        torch.bucketize(scaled, (table[:-1] + table[1:]) / 2, out_int32=True)
        for table in (exact, rounded)
    )
    return int((one != two).sum())


SLOTS, REVIEWS = ("smollm2", "slots"), ("smollm2", "sentiment")


def spread(pair: tuple[str, str]) -> tuple[float, float]:
    """Nats between the best of eight kinds of LoRA, and between the rates of the usual one."""
    losses: dict[str, list[float]] = {}
    for run in recorded("compare_full")["search"]:
        if (run["model"], run["task"]) == pair and run.get("loss") is not None:
            losses.setdefault(run["method"], []).append(run["loss"])
    kinds = "lora-8 lora-64 rslora-64 pissa-8 lora+-8 dora-8 adalora-8 qlora-8".split()
    best = [min(losses[kind]) for kind in kinds]
    return max(best) - min(best), max(losses["lora-8"]) - min(losses["lora-8"])


def means(method: str, measure: str = "score") -> dict[tuple[str, str], float]:
    """Mean over the seeds by model and task, from the rows of the full comparison themselves."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in recorded("compare_full")["rows"]:
        if row["method"] == method and "failed" not in row:
            found.setdefault((row["model"], row["task"]), []).append(row[measure])
    return {pair: fmean(values) for pair, values in found.items()}


def gaps(one: str, other: str, measure: str = "score") -> dict[tuple[str, str], float]:
    """One method's mean minus another's, on every pair of model and task."""
    first, second = means(one, measure), means(other, measure)
    return {pair: first[pair] - second[pair] for pair in first}


def count(found: dict[tuple[str, str], float], least: float) -> int:
    """On how many pairs a difference is larger than this."""
    return sum(value > least for value in found.values())


def rate_ratios() -> list[float]:
    """LoRA's tuned rate over full fine-tuning's, by pair, in half decades from ten."""
    rates = {
        (row["model"], row["task"], row["method"]): row["learning_rate"]
        for row in recorded("compare_full")["chosen"]
    }
    pairs = means("full")
    return [round(2 * math.log10(rates[*p, "lora-8"] / rates[*p, "full"] / 10)) for p in pairs]


def shares_of_full() -> list[float]:
    """LoRA's mean score over full fine-tuning's, on every pair."""
    return [score / means("full")[pair] for pair, score in means("lora-8").items()]


def step_times(where: str) -> float:
    """Milliseconds of a step of full fine-tuning, with paging or without."""
    return median(recorded("myths_paging_cuda")["paging"]["runs"][where]["step_ms"])


def bytes_needed() -> float:
    """What full fine-tuning without paging takes beside the weights."""
    paging = recorded("myths_paging_cuda")["paging"]
    return paging["runs"]["AdamW, 32 bit, empty GPU"]["peak_bytes"] - 2 * paging["parameters"]


def kbit(setting: str) -> int:
    """Peak bytes of the largest step of Mistral 7B's shape, prepared in this way."""
    return next(
        case["peak_bytes"]
        for case in recorded("quantization_kbit_cuda")["cases"]
        if (case["shape"], case["setting"]) == ("Mistral 7B", setting) and case["size"] == [4, 4096]
    )


@cache
def scaled() -> ScaledNormal:
    """Normal numbers in blocks of 64."""
    return ScaledNormal.of_blocks(64)


def least_squares() -> float:
    """The error of the best levels that keep NF4's zero and ends."""
    levels = torch.tensor(NF4_LEVELS)
    return scaled().error(scaled().least_squares(levels, levels.abs().fmod(1) == 0))


def weight_errors() -> dict[str, float]:
    """The recorded errors of the bundled model's weights in 4 bits, in blocks of 64."""
    return {
        row["kind"]: row["error"]
        for row in recorded("quantization_errors")["tiny"]["rows"]
        if row["block"] == 64 and row["kind"] in ("nf4", "e2m1", "int4", "fp4")
    }


# What stands in the prose of a claim, and whether a fresh computation says the same.
TYPED = {
    ("myth-bytes", "16, 12 and 8 bytes"): lambda: (
        [round(size * parameters() / 1e9, 1) for size in (16, 12, 8)] == [107.8, 80.9, 53.9]
    ),
    ("myth-eight", "each of 6.7 billion"): lambda: f"{parameters() / 1e9:.1f}" == "6.7",
    ("myth-percent", "[x] from 0.06 to more than 2 %"): lambda: (
        round(100 * lora("llama-7b", 8, 2) / parameters(), 2) == 0.06
    ),
    ("myth-millions", "[x] 17 MB"): lambda: round(2 * lora("llama-7b", 8, 4) / 1e6) == 17,
    ("myth-thirteen", "[x] 6.6 million"): lambda: lora("llama-13b", 8, 2) == 6_553_600,
    ("myth-thirteen", "8.39 million is the 7B"): lambda: lora("llama-7b", 16, 2) == 8_388_608,
    ("myth-prompts", "[x] 64: keys and values"): lambda: 2 * 32 == 64,
    ("myth-prompts", "has 20,480 parameters"): lambda: 5 * 4096 == 20_480,
    ("myth-ten", "[x] ten on most pairs, and one step off on the others"): lambda: (
        sorted(rate_ratios()) == [-1, 0, 0, 0, 1]
    ),
    ("myth-tuning", "[x] Between the rates, on all five pairs"): lambda: (
        len(means("full")) == 5
        and all(
            rates > (4.5 if pair == REVIEWS else 20) * kinds
            for pair, (kinds, rates) in ((pair, spread(pair)) for pair in means("full"))
        )
    ),
    ("myth-paged", "a third longer on an empty GPU"): lambda: (
        1.28 < step_times("paged AdamW, empty GPU") / step_times("AdamW, 32 bit, empty GPU") < 1.38
    ),
    ("myth-paged", "six times as long on a full one"): lambda: (
        5.5 < step_times("paged AdamW, full GPU") / step_times("AdamW, 32 bit, empty GPU") < 6.5
    ),
    ("myth-paged", "with 8.5 GB free, a training that needs 13.5 GB ends in an out"): lambda: (
        f"{recorded('myths_paging_cuda')['paging']['room_bytes'] / 1e9:.1f}" == "8.5"
        and f"{bytes_needed() / 1e9:.1f}" == "13.5"
        and "error" in recorded("myths_paging_cuda")["paging"]["runs"]["AdamW, 32 bit, full GPU"]
    ),
    ("myth-decimals", "[x] Thousands"): lambda: 1000 < 4 * differing_codes() < 10_000,
    ("myth-equation", "[x] −∞"): lambda: NormalDist().cdf(-40) == 0,
    ("myth-equal", "[x] a larger error"): lambda: (
        scaled().error(*scaled().equal_bins(16)) > 1.3 * scaled().error(torch.tensor(NF4_LEVELS))
    ),
    ("myth-best", "[x] NF4, E2M1, int4, bitsandbytes' FP4"): lambda: (
        sorted(weight_errors(), key=weight_errors().get) == ["nf4", "e2m1", "int4", "fp4"]
    ),
    ("myth-best", "smaller still, by about 3 %"): lambda: (
        round(100 - 100 * least_squares() / scaled().error(torch.tensor(NF4_LEVELS))) == 3
    ),
    ("myth-kbit", "[x] nearly twice as much"): lambda: (
        1.8 < kbit("QLoRA, the recipe alone") / kbit("LoRA, 16-bit base") < 2
    ),
    ("myth-kbit", "Under autocast QLoRA needs less than LoRA again"): lambda: (
        kbit("QLoRA, the recipe under autocast") < kbit("LoRA, 16-bit base")
    ),
    ("myth-nine", "[x] 0.015"): lambda: (
        round(
            next(
                row["loss_increase"]
                for row in recorded("quantization_errors")["tiny"]["rows"]
                if (row["kind"], row["block"]) == ("nf4", 64)
            ),
            3,
        )
        == 0.015
    ),
    ("myth-half", "[x] About 4.6"): lambda: round(base_bits(), 1) == 4.6,
    ("myth-zero", "[x] 0x77"): lambda: NF4_LEVELS.index(0.0) * 17 == 0x77,
    ("myth-faster", "[x] 0.67"): lambda: round((2 * 4096 + 6 * 8) / (3 * 4096), 2) == 0.67,
    ("myth-ninety", "[x] on none: it is above on three, and below on two"): lambda: (
        sum(share > 0.95 for share in shares_of_full()) == 3
        and sum(share < 0.9 for share in shares_of_full()) == 2
    ),
    ("myth-ninety", "two thirds of the reviews right before"): lambda: (
        round(3 * means("base")[REVIEWS], 1) == 2
    ),
    ("myth-within", "[x] Not on all: on two"): lambda: (
        sum(abs(gap) <= 0.02 for gap in gaps("lora-8", "full").values()) == 2
    ),
    ("myth-within", "more than fifteen behind, with either model"): lambda: all(
        gap < -0.15 for (_, task), gap in gaps("lora-8", "full").items() if task == "slots"
    ),
    ("myth-rank-one", "on two of them by more than fifty points"): lambda: (
        count(gaps("lora-8", "lora-1"), 0.5) == 2
    ),
    ("myth-higher", "[x] clearly higher on one, by two points"): lambda: (
        round(max(gaps("lora-64", "lora-8").values()), 2) == 0.02
    ),
    ("myth-higher", "clearly lower than rank 1"): lambda: gaps("lora-64", "lora-1")[SLOTS] < -0.1,
    ("myth-attention", "[x] more than twenty points"): lambda: (
        count(gaps("lora-8", "lora-8-qv"), 0.2) > 0
    ),
    ("myth-forgets", "- [x] No\n"): lambda: min(gaps("full", "lora-8", "forgetting").values()) < 0,
    ("myth-dora", "by eleven points"): lambda: round(gaps("dora-8", "lora-8")[SLOTS], 2) == 0.11,
    ("myth-dora", "forgot four nats more"): lambda: (
        round(gaps("dora-8", "lora-8", "forgetting")[SLOTS]) == 4
    ),
    ("myth-variants", "PiSSA gains fifteen points"): lambda: (
        round(gaps("pissa-8", "lora-8")[SLOTS], 2) == 0.15
    ),
    ("myth-variants", "it loses more than twenty"): lambda: (
        gaps("pissa-8", "lora-8")["tiny", "slots"] < -0.2
    ),
    ("myth-ia3", "elsewhere it is more than thirty points below"): lambda: (
        count(gaps("full", "ia3"), 0.3) == 4
    ),
    ("myth-scale", "[x] about zero on the reviews, and more than seventy points"): lambda: (
        count(gaps("full", "prompt"), 0.7) == 4 and abs(gaps("full", "prompt")[REVIEWS]) < 0.02
    ),
    ("myth-qlora", "it is behind by one point"): lambda: (
        round(gaps("lora-8", "qlora-8")[REVIEWS], 2) == 0.01
    ),
    ("myth-alpha", "[x] shrinks to a small part"): lambda: (
        fmean(
            run["moved"]
            for run in recorded("myths_cpu")["scale"]
            if (run["scaling"], run["rank"]) == ("α/r", 64)
        )
        < 0.25
        * fmean(
            run["moved"]
            for run in recorded("myths_cpu")["scale"]
            if (run["scaling"], run["rank"]) == ("α/r", 1)
        )
    ),
}


@pytest.mark.parametrize(("anchor", "words"), TYPED)
def test_what_is_typed_comes_out_again(anchor, words):
    assert words in claims()[anchor]
    assert TYPED[anchor, words]()


def test_a_standard_error_is_that_of_its_share_and_number():
    wanted = f"{100 * math.sqrt(0.47 * 0.53 / 1319):.1f} points"
    assert wanted == "1.4 points"
    assert says("interview", f"1,319 questions at 47 % have a standard error of {wanted}")
    assert says("checklists", f"1,319 questions at 47 % give {wanted}")


def test_every_claim_is_predicted_computed_and_entered_once():
    sections = claims()
    assert len(sections) >= 38
    for anchor, section in sections.items():
        assert section.lstrip().startswith("### “"), anchor
        assert section.count("```{predict}") == 1, anchor
        assert f'ledger.add(\n    "{anchor}",' in section, anchor
        assert "assert " in section, anchor


def test_a_record_that_a_verdict_names_is_the_one_that_its_page_reads():
    for anchor, section in claims().items():
        for names in re.findall(r'"(?:[a-z]+; )?recorded ([a-z_, ]+)"', section):
            for name in names.split(", "):
                assert f'("{name}")' in page("myths"), anchor
                recorded(name)


def test_no_measured_number_is_typed_into_an_answer():
    """A unit of something measured appears in the interview's prose only behind {glue:text}."""
    answers = re.findall(r"^:::\{dropdown\}.*?\n(.*?)^:::$", prose("interview"), re.DOTALL | re.M)
    assert len(answers) >= 25
    # Bytes and times are ours. The three with a source are the papers'.
    allowed = {"half a GiB"}
    for answer in answers:
        words = re.sub(r"\{glue:text\}`[a-z0-9-]+`", "", answer)
        found = re.findall(r"\b[\d.]+ (?:GB|GiB|MB|ms|nats)\b", words)
        assert not set(found) - allowed, found


def test_every_number_that_an_answer_shows_is_computed_and_every_computed_one_shown():
    text = page("interview")
    shown = set(re.findall(r"\{glue:text\}`([a-z0-9-]+)`", text))
    said = set(re.findall(r'say\("([a-z0-9-]+)"', text))
    said |= set(re.findall(r'"(late-[a-z]+)"', text))
    assert shown == said


def test_every_item_of_a_checklist_has_its_reason():
    items = re.findall(r"^\d+\. .*$", page("checklists"), re.MULTILINE)
    assert len(items) >= 40
    assert not [item for item in items if "*Why:*" not in item]
    assert not [item for item in items if not re.match(r"\d+\. \*\*", item)]


def test_glossary_entries_are_sorted_and_short():
    body = page("glossary").split(":::{glossary}\n")[1].rsplit(":::", 1)[0]
    entries = [block.strip("\n").split("\n") for block in re.split(r"\n\s*\n", body.strip("\n"))]
    terms = [entry[0] for entry in entries]
    assert terms == sorted(terms, key=str.lower)
    assert len(set(terms)) == len(terms)
    for term, *lines in entries:
        text = re.sub(r"\{\w+\}`[^`]*`|\$[^$]*\$|et al\.", "", " ".join(lines)).strip()
        sentences = [part for part in re.split(r"(?<=[.!?])\s+", text) if part]
        assert 1 <= len(sentences) <= 3, term


def test_every_entry_of_the_bibliography_is_cited_and_can_be_found():
    source = (execution.BOOK / "references.bib").read_text(encoding="utf-8")
    entries = dict(re.findall(r"^@\w+\{([^,]+),\n(.*?)^\}$", source, re.DOTALL | re.MULTILINE))
    cited = set()
    for file in execution.BOOK.rglob("*.md"):
        for keys in re.findall(r"\{cite\}`([^`]+)`", file.read_text(encoding="utf-8")):
            cited |= {key.strip() for key in keys.split(",")}
    assert set(entries) == cited
    for key, fields in entries.items():
        year = re.search(r"year = \{(\d{4})\}", fields)
        assert year, key
        assert year[1] in key, key
        number = re.search(r"arXiv:(\d{2})\d{2}\.", fields)
        # The number of a preprint begins with the year and month of its first version.
        assert number is None or int(year[1]) - 2000 == int(number[1]), key
        # An address, or where to find it on paper.
        names = set(re.findall(r"^\s*(\w+) = ", fields, re.MULTILINE))
        assert names & {"url", "doi"} or {"journal", "volume", "pages"} <= names, key


def test_the_appendices_are_in_the_table_of_contents():
    contents = (execution.ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert all(f"- file: {name}\n" in contents for name in APPENDICES)
