"""No measurement is typed in: every number in prose is asserted, computed, quoted or given."""

import math
import re
from statistics import NormalDist, fmean

import pytest
import torch

import peftlab
from book import execution, numbers, prose
from peftcourse.experiments import evaluate, models, results, tasks
from peftcourse.experiments.updates import matrices
from peftcourse.grading import lockdown, marking, members, notebooks, pictures, sandbox, worker
from peftlab.quantization import nf4

LABS = sorted((execution.ROOT / "solutions").glob("*.md"))
PAGES = sorted(path for path in execution.BOOK.rglob("*.md") if "_vendor" not in path.parts)
FIGURES = sorted((execution.ROOT / "src" / "peftcourse" / "figures").rglob("*.py"))


def name_of(path):
    """How tests and the list of given numbers call a page: 02_rank, or solutions/02_rank."""
    return f"solutions/{path.stem}" if path in LABS else path.stem


def said(page):
    """A page's text in one line."""
    folder = execution.ROOT if "/" in page else execution.BOOK
    return " ".join((folder / f"{page}.md").read_text(encoding="utf-8").split())


def says(page, words):
    return words in said(page)


@pytest.mark.parametrize("path", PAGES + LABS, ids=name_of)
def test_every_number_of_a_page_is_held(path):
    page = name_of(path)
    found = numbers.loose(page, path.read_text(encoding="utf-8"), numbers.tied(page))
    assert not [str(number) for number in found]


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_captions_compute_their_numbers(path):
    assert not [str(number) for number in numbers.loose_in_code(path)]


# --- the list of what is given -------------------------------------------------------------------


def test_the_list_of_given_numbers_is_short_and_every_entry_has_a_reason():
    entries = numbers.given()
    assert len(entries) <= 30
    for entry in entries:
        assert len(entry.reason.split()) >= 5, entry
        assert entry.page == "*" or entry.page in map(name_of, PAGES + LABS), entry


def test_every_entry_is_needed():
    entries = numbers.given()
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in PAGES + LABS}
    said = {page: numbers.said_by_tests(page) for page in texts}
    for entry in entries:
        others = [other for other in entries if other != entry]
        pages = texts if entry.page == "*" else [entry.page]
        captions = entry.page == "*" and any(
            entry.pattern.search(path.read_text(encoding="utf-8")) for path in FIGURES
        )
        assert captions or any(
            list(
                numbers.loose(
                    page,
                    texts[page],
                    said[page] + [o.pattern for o in others if o.page in ("*", page)],
                )
            )
            for page in pages
            if entry.pattern.search(texts[page])
        ), entry


# --- numbers of pages without cells --------------------------------------------------------------


def test_numbers_of_the_glossary():
    assert says("glossary", "4.127 bits per weight instead of 4.5")
    assert round(nf4.bits_per_parameter(), 3) == 4.127
    assert nf4.bits_per_parameter(double=False) == 4.5
    assert says("glossary", "7.4 % more than a GB") and round(100 * (2**30 / 1e9 - 1), 1) == 7.4
    assert says("glossary", "1 nat is about 1.44 bits") and round(1 / math.log(2), 2) == 1.44


def test_numbers_of_the_threat_model():
    source = lockdown.__file__
    with open(source, encoding="utf-8") as file:
        assert 'b"size=16m' in file.read()
    assert says("threat-model", "an empty `/tmp` of 16 MB")
    assert says("threat-model", "a private `/tmp` of 16 MB")
    assert says("threat-model", "128 MiB, of which 1 MiB of text")
    assert says("instructors", "graded like any other, up to 128 MiB")
    assert (members.MAX_NOTEBOOK, notebooks.MAX_SOURCE) == (128 * 2**20, 2**20)
    assert says("threat-model", "100,000 characters and 20 pictures a cell, each at most 8 MiB")
    assert (marking.MAX_WRITTEN, notebooks.MAX_PICTURES) == (100_000, 20)
    assert pictures.MAX_PICTURE == 8 * 2**20
    default = sandbox.Limits()
    assert says("threat-model", "10 s by the clock") and default.seconds == 10
    assert says("threat-model", "60 s by the clock") and default.budget == 60
    assert says("threat-model", "1 GiB") and default.memory == 2**30
    assert says("threat-model", "2 GiB, and 64 processes") and worker.MAX_PROCESSES == 64
    assert says("threat-model", "48 MiB") and worker.MAX_RESULT == 48 * 2**20


# --- numbers of the labs -------------------------------------------------------------------------


def test_numbers_that_labs_state():
    assert says("solutions/01_memory", "a GiB is $2^{30}$, which is 7 % more")
    assert round(100 * (2**30 / 1e9 - 1)) == 7
    assert says("solutions/03_lora", "with $r = 8$ and $d = 4096$ it is 256 times cheaper")
    assert 4096 * 4096 == 256 * 8 * (4096 + 4096)
    assert says("solutions/10_choose", "the factor in front is not 1.96 but")
    assert round(NormalDist().inv_cdf(0.975), 2) == 1.96
    assert says("solutions/10_choose", "two that tie for the first place get 1.5 each")
    assert fmean((1, 2)) == 1.5
    assert says(
        "solutions/11_evaluate", "84 training notes, batches of 8, 36 steps: more than three times"
    )
    assert 36 * 8 > 3 * 84


def test_numbers_that_labs_state_of_the_bundled_model():
    model, tokenizer = models.load("tiny", dtype=torch.float32, device="cpu")
    weights = sum(weight.numel() for weight in matrices(model).values())
    assert says("solutions/02_rank", f"The matrices of this model hold {weights / 1e6:.1f} million")
    pirate = tasks.encode(tasks.load("voice", voice="pirate").validation[:24], tokenizer, 48)
    loss = evaluate.loss(model, pirate)
    assert says("solutions/07_adapters", f"loss on pirate logs is about {loss:.0f} nats per token")
    assert says("solutions/08_prompts", f"loss on pirate logs is about {loss:.1f} nats per token")
    trains = {}
    for method in (peftlab.IA3Config(), peftlab.BottleneckConfig(16, "pfeiffer")):
        peftlab.apply(model, method)
        trains[type(method)] = peftlab.trainable_report(model).trainable
        peftlab.remove(model)
    ia3, pfeiffer = trains.values()
    assert says(
        "solutions/07_adapters", f"IA³ trains {ia3:,} numbers, Pfeiffer adapters of width 16"
    )
    assert says("solutions/07_adapters", "nearly ten times as many") and 8.5 < pfeiffer / ia3 < 10
    rows = results.recorded("quantization_errors")["numbers"]["tiny"]["rows"]
    [error] = [row["error"] for row in rows if (row["kind"], row["block"]) == ("nf4", 64)]
    assert says(
        "solutions/06_quantization", f"every weight by about {100 * error:.0f} % of its size"
    )


# --- the checker itself --------------------------------------------------------------------------

PAGE = """---
kernelspec:
  name: python3
---

# A page

## One

{prose}

```{{code-cell}} python
:tags: [hide-input]

{code}
```

## Two

The end.
"""


def loose(words, code="pass", **options):
    """What the checker reports of a page with this prose and this code in its section."""
    text = PAGE.format(prose=words, code=code)
    return [str(found.number) for found in numbers.loose("page", text, **options)]


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("The vectors are off by about 29 %.", ["29 %"]),
        ("Between 70 and 74 % are right.", ["70 %", "74 %"]),
        ("It costs 10 points on one, 59 on another.", ["10 points"]),
        ("The loss is 0.318 nats.", ["0.318 nats"]),
        ("It is 16 times smaller, or four times as fast.", ["16 times", "four times"]),
        ("By a factor of almost five.", ["five times"]),
        ("A peak of 12.6 GiB, then 380 ms.", ["12.6 GiB", "380 ms"]),
        ("It has 4,194,304 parameters, or 4.2 million.", ["4.2 million", "4,194,304"]),
        ("They agree to $10^{-7}$.", ["1e-7"]),
        ("| method | score |\n|---|---|\n| LoRA | 0.87 |", ["0.87"]),
        ("- one item\n- another with 3.5 GB", ["3.5 GB"]),
        (
            "```{predict}\nHow much?\n\n- [ ] 1 %\n- [x] 11 %\n---\nIt is 10.9 %.\n```",
            ["11 %", "10.9 %"],
        ),
        ("```{quiz}\nWhat?\n\n- [x] this\n\n  It is 10.9 %.\n```", ["10.9 %"]),
        (":::{summary}\n- It is 1.9 times as fast.\n:::", ["1.9 times"]),
        (":::{dropdown} A title\nIt is 1.9 times as fast.\n:::", ["1.9 times"]),
        # Settings, names and sayings are no measurements.
        ("Rank 8 on 12 layers, 200 steps, §4.3, PyTorch 2.13, a 7B model, lesson 06.", []),
        ('They say “it takes 8 GB”, or "16 times".', []),
        ("Run `--rate 0.003` and see.", []),
    ],
)
def test_a_typed_number_is_found(prose, expected):
    assert loose(prose) == expected


@pytest.mark.parametrize(
    ("prose", "code"),
    [
        ("Off by about 29 %.", "assert round(100 * x) == 29"),
        ("Off by about 29 %.", 'assert f"{x:.0%}" == "29%"'),
        ("Within three per cent.", "assert one < 1.03 * other"),
        ("Four times as fast.", "assert fast == 4 * slow"),
        ("By two points.", "assert abs(gap) <= 0.02"),
        ("A rate of 0.003 and noise of 1 %.", "rate = 3e-3\nnoise = 0.01 * x"),
        ("It has 4.2 million parameters.", "assert trained == 4_194_304"),
        ("Between 70 and 74 %.", "assert [round(100 * x) for x in shares] == [70, 74]"),
        ("They agree to $10^{-7}$.", "assert error < 1e-7"),
        ("It has {glue:text}`count` parameters, {glue:text}`share` of all.", "pass"),
        ("Hu et al. {cite}`hu2021lora` report 20.7 % and 30.3 %.", "pass"),
        ("The authors [report](https://example.org) 29 %.", "pass"),
        (
            "The paper's table {cite}`hu2021lora`:\n\n| rank | score |\n|---|---|\n| 1 | 73.4 |",
            "pass",
        ),
    ],
)
def test_a_number_is_held(prose, code):
    assert loose(prose, code) == []


@pytest.mark.parametrize(
    ("prose", "code"),
    [
        ("Off by about 29 %.", "assert round(100 * x) == 28"),
        ("Off by about 2.9 %.", "assert round(100 * x) == 29"),
        # A result has to be asserted; that some constant equals it is no reason.
        ("Four times as fast.", "rounds = 4"),
        ("It takes 29 ms.", "width = 29"),
        ("Off by about 29 %.", "width = 29"),
        # What is printed by hand is typed.
        ("Off by some.", 'print("off by 29 %")'),
        # A citation speaks for its own sentence only.
        ("So say Hu et al. {cite}`hu2021lora`. We find 29 %.", "pass"),
    ],
)
def test_a_number_is_not_held_by_something_else(prose, code):
    assert len(loose(prose, code)) == 1


def test_another_section_holds_nothing_but_what_is_repeated():
    text = PAGE.format(prose="Nothing.", code="assert x == 0.29").replace(
        "The end.", "It is 0.29.\n\n:::{summary}\n- It is 0.29.\n:::"
    )
    [found] = numbers.loose("page", text)
    assert found.sentence == "It is 0.29."


def test_a_report_names_the_line():
    text = PAGE.format(prose="First.\n\nIt is 0.29.", code="pass")
    [found] = numbers.loose("page", text)
    assert text.split("\n")[found.line - 1] == "It is 0.29."
    assert str(found) == "page:12: 0.29 in “It is 0.29.”"


def test_words_that_a_test_computes_again_are_held(tmp_path):
    (tmp_path / "test_page.py").write_text(
        'PAGE = "page"\n'
        'assert says(f"costs {lost[0]} points on one") and says("and 0.4 on another")\n'
        'assert says("other", "or 0.7")\n'
        'TYPED = {("anchor", "three times"): lambda: True}\n'
    )
    tied = numbers.said_by_tests("page", tmp_path)
    prose = "It costs 10 points on one\nand 0.4 on another, three times that, or 0.7."
    assert loose(prose, tied=tied) == ["0.7"]
    assert loose("It costs 10 points.", tied=tied) == ["10 points"]
    [other] = numbers.said_by_tests("other", tmp_path)
    assert loose("More, or 0.7.", tied=[other]) == []


def test_words_that_are_given_are_held():
    entry = numbers.Given("page", r"0\.7 by definition", "a reason of some words")
    assert loose("It is 0.7 by\ndefinition.", tied=[entry.pattern]) == []
    assert loose("It is 0.7.", tied=[entry.pattern]) == ["0.7"]


def test_a_caption_with_a_typed_number_is_found(tmp_path):
    file = tmp_path / "figure.py"
    file.write_text(
        'def draw(x):\n    """Takes 3.5 GB."""\n    share = 0.9\n'
        '    return finish(f"{x:.2f} of it at 90 %", caption="It falls by 29 %.")\n'
    )
    [found] = numbers.loose_in_code(file)
    assert str(found.number) == "29 %" and found.line == 4


def test_pages_have_many_numbers_so_that_the_check_checks_something():
    text = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)
    found = [
        number
        for section in prose.sections(text)
        for sentence in section.sentences
        for number in numbers.numbers(sentence.text)
    ]
    assert len(found) > 300 and re.search(r"No measurement on these pages was typed in", text)
