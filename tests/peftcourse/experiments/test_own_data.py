"""Own data: what is read, what is refused and why, and that splits keep apart."""

from __future__ import annotations

import json
import random
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.experiments import own_data
from peftcourse.experiments.corpus import Example
from peftlab.errors import PeftlabError

BUNDLED = files("peftcourse").joinpath("data/capstone_example.jsonl")
ROWS = [{"prompt": f"What is {n} and {n}?", "completion": f" {2 * n}"} for n in range(80)]


def write(path, rows, newline="\n", encoding="utf-8"):
    text = newline.join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.jsonl"


def parts(data):
    return {"train": data.task.train, "validation": data.task.validation, "test": data.task.test}


def test_a_file_becomes_a_task(file):
    data = own_data.read_jsonl(write(file, ROWS))
    assert data.task.name == "mine" and data.duplicates == 0 and not data.near_duplicates
    splits = parts(data)
    assert sum(map(len, splits.values())) == 80 and all(splits.values())
    example = splits["test"][0]
    assert data.task.score(example, example.target.strip() + "\n") == 1
    assert data.task.score(example, "no") == 0
    assert f"{len(splits['train'])} training" in data.describe()


@pytest.mark.parametrize(("newline", "encoding"), [("\r\n", "utf-8"), ("\n", "utf-8-sig")])
def test_line_ends_and_byte_order_mark_change_nothing(file, newline, encoding):
    plain = own_data.read_jsonl(write(file, ROWS)).task
    assert own_data.read_jsonl(write(file, ROWS, newline, encoding)).task.train == plain.train


def test_blank_lines_and_other_keys_are_passed_over(file):
    plain = own_data.read_jsonl(write(file, ROWS)).task.train
    write(file, [{"id": 1, **row} for row in ROWS], newline="\n\n")
    assert own_data.read_jsonl(file).task.train == plain


def test_duplicates_are_left_out_and_counted(file):
    data = own_data.read_jsonl(write(file, ROWS + ROWS[:5]))
    assert data.duplicates == 5 and sum(map(len, parts(data).values())) == 80


def test_a_space_goes_between_prompt_and_completion(file):
    rows = [{**row, "completion": row["completion"].strip()} for row in ROWS]
    task = own_data.read_jsonl(write(file, rows)).task
    assert all(example.target.startswith(" ") for example in task.train)
    rows = [{**row, "prompt": row["prompt"] + "\n"} for row in rows]
    task = own_data.read_jsonl(write(file, rows)).task
    assert not any(example.target.startswith(" ") for example in task.train)


def test_near_duplicates_across_splits_are_found(file):
    words = "the cat sat on a warm mat near the old door and looked at the rain all day".split()
    random.Random(0).shuffle(words)
    near = [{"prompt": " ".join([*words, str(n)]), "completion": "yes"} for n in range(40)]
    data = own_data.read_jsonl(write(file, ROWS + near))
    held_out = [e for e in data.task.validation + data.task.test if e.target == " yes"]
    assert {pair.held_out for pair in data.near_duplicates} == set(held_out) != set()
    assert all(pair.similarity >= own_data.NEAR for pair in data.near_duplicates)
    assert "nearly in the training data" in data.describe() and "alike" in data.describe()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{'prompt': 'a', 'completion': 'b'}", "line 3: this is not JSON"),
        ('{"prompt": "a", "completion": "b"', "line 3: this is not JSON"),
        ("[" * 100_000, "line 3: this is not JSON"),
        ('["a", "b"]', "line 3: this is not an object"),
        ('{"prompt": "a", "answer": "b"}', 'line 3: "completion" missing; the keys are "prompt"'),
        ("{}", 'line 3: "prompt", "completion" missing; the keys are none'),
        ('{"prompt": "a", "completion": 7}', "line 3: completion must be a text, not int"),
        ('{"prompt": null, "completion": "b"}', "line 3: prompt must be a text, not NoneType"),
        ('{"prompt": "a", "completion": " \\n"}', "line 3: completion is empty"),
    ],
)
def test_a_bad_line_is_named_with_its_number(file, line, told):
    lines = [json.dumps(row) for row in ROWS]
    file.write_text("\n".join([*lines[:2], line, *lines[2:]]), encoding="utf-8")
    with pytest.raises(PeftlabError) as raised:
        own_data.read_jsonl(file)
    assert told in str(raised.value) and str(raised.value).startswith("mine.jsonl")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \r\n\n"])
def test_an_empty_file_is_named(file, content):
    file.write_bytes(content)
    with pytest.raises(PeftlabError, match=r"mine\.jsonl is empty"):
        own_data.read_jsonl(file)


def test_other_encodings_are_named_with_their_line(file):
    rows = [*ROWS[:4], {"prompt": "Où ?", "completion": "là"}, *ROWS[4:]]
    with pytest.raises(PeftlabError, match="line 5: this is not UTF-8"):
        own_data.read_jsonl(write(file, rows, encoding="latin-1"))


def test_too_few_examples_and_no_file_are_named(file, tmp_path):
    rows = ROWS[: own_data.MIN_EXAMPLES - 1]
    with pytest.raises(PeftlabError, match="has 39 different examples, and 40"):
        own_data.read_jsonl(write(file, rows + rows))
    with pytest.raises(PeftlabError, match="cannot read"):
        own_data.read_jsonl(tmp_path / "none.jsonl")
    same = [{"prompt": "Say something.", "completion": f"word {n}"} for n in range(50)]
    with pytest.raises(PeftlabError, match="none fell into the"):
        own_data.read_jsonl(write(file, same))


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
@settings(max_examples=100, deadline=None)
def test_the_same_question_is_on_one_side_whatever_its_answer_and_spacing(prompt, one, other):
    sides = {own_data.split_of(Example(prompt, answer)) for answer in (one, other)}
    assert len(sides) == 1 or not prompt.strip()
    spaced = "  " + prompt.replace(" ", "  ") + "\n"
    assert own_data.split_of(Example(prompt, one)) == own_data.split_of(Example(spaced, one))


@given(st.permutations(range(60)), st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_order_and_growth_move_no_example(tmp_path_factory, order, more):
    file = tmp_path_factory.mktemp("own") / "mine.jsonl"
    first = parts(own_data.read_jsonl(write(file, [ROWS[n] for n in range(60)])))
    grown = [ROWS[n] for n in [*order, *range(60, 60 + more)]]
    second = parts(own_data.read_jsonl(write(file, grown)))
    for split, examples in first.items():
        assert set(examples) <= set(second[split])


def test_the_bundled_example_reads_and_has_no_leak():
    data = own_data.read_jsonl(BUNDLED)
    assert data.duplicates == 0 and not data.near_duplicates
    task = data.task
    assert len(task.train) >= 60 and len(task.validation) >= 12 and len(task.test) >= 12
    kinds = {example.target for example in task.train}
    assert kinds == {example.target for example in task.validation + task.test}
    assert all((example.prompt + example.target).isascii() for example in task.train)
