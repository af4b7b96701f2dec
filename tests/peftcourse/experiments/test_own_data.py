"""Own data: what is read, what is refused and why, and that splits keep apart."""

from __future__ import annotations

import copy
import json
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.experiments import models, own_data, tasks
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


def test_duplicates_are_left_out_and_counted(file):
    data = own_data.read_jsonl(write(file, ROWS + ROWS[:5]))
    assert data.duplicates == 5 and sum(map(len, parts(data).values())) == 80


def test_contradictions_and_near_duplicates_across_splits_are_reported_with_their_lines(file):
    words = "the cat sat on a warm mat near the old door and looked at the rain all day".split()
    near = [
        {"prompt": " ".join([*words, word]), "completion": "yes"}
        for word in "long here now again always never once twice out in up down off on by".split()
    ]
    rows = ROWS + near + [ROWS[5] | {"completion": " none"}]
    data = own_data.read_jsonl(write(file, rows))
    held_out = {line for split in ("validation", "test") for line in data.lines[split]}
    found = {pair.held_out for pair in data.near_duplicates}
    assert found == {line for line in held_out if line.example.target == " yes"} != set()
    assert all(pair.train in data.lines["train"] for pair in data.near_duplicates)
    [conflict] = data.conflicts
    assert [line.number for line in conflict.lines] == [6, len(rows)]
    told = data.describe()
    assert f"mine.jsonl, line 6; mine.jsonl, line {len(rows)}: 'What is 5 and 5?'" in told
    assert "1 questions with different answers" in told and "% alike: mine.jsonl, line" in told


def test_rows_that_differ_in_a_number_are_no_duplicates(file):
    data = own_data.read_jsonl(write(file, ROWS))
    assert data.duplicates == 0 and not data.near_duplicates and not data.conflicts
    assert "different answers" not in data.describe()


def test_further_files_are_their_splits(file, tmp_path):
    later = [{"prompt": f"And {n} or {n}?", "completion": f" {n}"} for n in range(10)]
    leak = [ROWS[3], {"prompt": "what is 4 and 4?", "completion": " 9"}]
    second, third = tmp_path / "later.jsonl", tmp_path / "last.jsonl"
    write(file, ROWS)
    write(second, later + leak)
    write(third, [{"prompt": f"Or {n}?", "completion": f" {n}"} for n in range(7)])

    data = own_data.read_jsonl(file, validation=second)
    sizes = {split: len(members) for split, members in parts(data).items()}
    assert sizes["validation"] == 11 and sizes["train"] + sizes["test"] == 80
    assert sizes["test"] == len(own_data.read_jsonl(file).task.test)
    assert data.split == (
        "train and test: mine.jsonl, split by a hash of each question with seed 0; "
        "validation: later.jsonl"
    )
    # What stands in both files is trained on and not validated with; a contradiction is told.
    assert data.duplicates == 1
    [conflict] = data.conflicts
    assert [str(line) for line in conflict.lines] == ["mine.jsonl, line 5", "later.jsonl, line 12"]

    data = own_data.read_jsonl(file, validation=second, test=third)
    assert len(data.task.train) == 80 and len(data.task.test) == 7
    assert data.split == "train: mine.jsonl; validation: later.jsonl; test: last.jsonl"


def test_further_files_have_to_be_of_the_same_kind_and_large_enough(file, tmp_path):
    write(file, ROWS)
    other = tmp_path / "later.jsonl"
    other.write_text('{"text": "a"}', encoding="utf-8")
    with pytest.raises(PeftlabError, match=r"holds prompts and answers and later\.jsonl plain"):
        own_data.read_jsonl(file, validation=other)
    write(other, [{"prompt": "x", "completion": "y"}])
    with pytest.raises(PeftlabError, match=r"later\.jsonl has 1 different examples, and 6"):
        own_data.read_jsonl(file, test=other)


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


def test_another_seed_gives_another_split(file):
    write(file, ROWS)
    first, second = (parts(own_data.read_jsonl(file, seed=seed)) for seed in (0, 1))
    assert set(first["test"]) != set(second["test"])
    assert own_data.read_jsonl(file, seed=1).split.endswith("with seed 1")
    sizes = [len(parts(own_data.read_jsonl(file, seed=seed))["train"]) for seed in range(8)]
    assert sum(sizes) / 8 == pytest.approx(0.7 * 80, rel=0.1)


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


# --- tokens ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer():
    return models.load("tiny").tokenizer


def with_long(file, *places, words=40):
    rows = [dict(row) for row in ROWS]
    for place in places:
        rows[place]["prompt"] = "word " * words + rows[place]["prompt"]
    return own_data.read_jsonl(write(file, rows))


def test_nothing_is_cut_off_unless_it_is_wanted(file, tokenizer):
    data = with_long(file)
    tokens = own_data.encode(data, tokenizer, context=512)
    assert tokens.cut == 0 and tokens.longest == max(len(e["input_ids"]) for e in tokens.train)
    assert len(tokens.train) == len(data.task.train)
    assert "nothing is cut off" in own_data.lengths(tokens, None)
    assert tokens.targets == sum(
        label != tasks.IGNORE for e in tokens.train for label in e["labels"]
    )


def test_lines_longer_than_the_model_takes_are_named(file, tokenizer):
    data = with_long(file, 2, 7)
    with pytest.raises(PeftlabError) as raised:
        own_data.encode(data, tokenizer, context=30)
    told = str(raised.value)
    assert (
        told.startswith("2 lines (mine.jsonl, line") and "cut them off with --max-length 30" in told
    )
    assert {f"line {number}" in told for number in (3, 8)} == {True}
    assert len(told) <= 300


def test_what_is_cut_off_is_counted(file, tokenizer):
    rows = [{"text": "word " * (n + 1)} for n in range(60)]
    data = own_data.read_jsonl(write(file, rows))
    tokens = own_data.encode(data, tokenizer, context=512, max_length=20)
    whole = own_data.encode(data, tokenizer, context=512)
    every = [*whole.train, *whole.validation, *whole.test]
    assert tokens.cut == sum(len(e["input_ids"]) > 20 for e in every) > 30
    assert max(len(e["input_ids"]) for e in tokens.train) == 20
    told = own_data.lengths(tokens, 20)
    assert told.startswith(f"{tokens.cut} of 60 sequences lose their end at 20 tokens")


def test_a_cut_that_leaves_no_answer_is_refused(file, tokenizer):
    with pytest.raises(PeftlabError, match=r"1 line \(mine\.jsonl, line 3\) is cut off by"):
        own_data.encode(with_long(file, 2), tokenizer, context=512, max_length=30)
    with pytest.raises(PeftlabError, match="--max-length 600 is more than the 512 tokens"):
        own_data.encode(with_long(file), tokenizer, context=512, max_length=600)


def test_control_tokens_in_a_text_are_refused(file, tokenizer):
    rows = [*ROWS, {"prompt": "Say<|endoftext|>", "completion": " no"}]
    with pytest.raises(PeftlabError, match=r"line 81 holds '<\|endoftext\|>', with which"):
        own_data.encode(own_data.read_jsonl(write(file, rows)), tokenizer)


def test_a_template_that_refuses_a_line_names_it(file, tokenizer):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": [turns[0] | {"content": f"Is it {n}?"}, turns[1]]} for n in range(60)]
    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{ raise_exception('no') }}"
    with pytest.raises(PeftlabError, match=r"mine\.jsonl, line \d+: the chat template .* \(no\)"):
        own_data.encode(own_data.read_jsonl(write(file, rows)), other)


def test_a_tokenizer_without_an_end_is_refused(file, tokenizer):
    other = copy.deepcopy(tokenizer)
    other.eos_token = None
    with pytest.raises(PeftlabError, match="no end-of-text token"):
        own_data.encode(with_long(file), other)


def test_a_digest_tells_files_apart(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"xy")
    two.write_bytes(b"z")
    found = own_data.digest(one, two)
    one.write_bytes(b"x")
    two.write_bytes(b"yz")  # the same bytes one after the other
    assert found != own_data.digest(one, two) != own_data.digest(two, one)
    assert own_data.digest(one, None) != own_data.digest(one)
