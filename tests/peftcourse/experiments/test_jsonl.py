"""Files of examples: what is read, and that a line that is not right is named with its remedy."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.experiments import jsonl
from peftcourse.experiments.chat import Conversation, Message
from peftcourse.experiments.corpus import Example
from peftlab.errors import PeftlabError

GOOD = '{"prompt": "a", "completion": "b"}'
CHAT = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.jsonl"


def refused(file, *lines: str | bytes, ignore=()) -> str:
    """The sentence with which a file of these lines is refused."""
    content = [line if isinstance(line, bytes) else line.encode() for line in lines]
    file.write_bytes(b"\n".join(content))
    with pytest.raises(PeftlabError) as raised:
        jsonl.read(file, ignore)
    sentence = str(raised.value)
    assert sentence.startswith("mine.jsonl") and len(sentence) <= 300
    sentence.encode()  # can be printed
    return sentence


def turns(*pairs) -> str:
    messages = [{"role": role, "content": content} for role, content in pairs]
    return json.dumps({"messages": messages})


@pytest.mark.parametrize(
    ("line", "kind", "example"),
    [
        (GOOD, jsonl.PAIRS, Example("a", " b")),
        ('{"prompt": "a", "answer": "b"}', jsonl.PAIRS, Example("a", " b")),
        ('{"prompt": "a\\n", "answer": "b"}', jsonl.PAIRS, Example("a\n", "b")),
        ('{"prompt": "", "completion": "b"}', jsonl.PAIRS, Example("", "b")),
        ('{"text": "Once."}', jsonl.TEXT, Example("", "Once.")),
        (
            turns(("system", "s"), ("user", "u"), ("assistant", "a")),
            jsonl.CHAT,
            Conversation((Message("system", "s"), Message("user", "u"), Message("assistant", "a"))),
        ),
    ],
)
def test_the_three_forms(file, line, kind, example):
    file.write_text(f"\n{line}\n\n", encoding="utf-8")
    found, [read] = jsonl.read(file)
    assert (found, read.example, read.number) == (kind, example, 2)
    assert str(read) == "mine.jsonl, line 2"


def test_byte_order_marks_line_ends_and_blank_lines_change_nothing(file):
    # A mark also stands in the middle, where two files were joined.
    file.write_bytes(f"\ufeff{GOOD}\r\n\r\n \n\ufeff{GOOD}".encode())
    _, lines = jsonl.read(file)
    assert [line.number for line in lines] == [1, 4] and len({x.example for x in lines}) == 1


def test_lines_end_at_line_feeds_alone(file):
    text = "a\u2028b\u0085c\x0bd"
    file.write_text(json.dumps({"text": text}, ensure_ascii=False), encoding="utf-8")
    _, [line] = jsonl.read(file)
    assert line.example.target == text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        # not JSON, or no object
        ("{'prompt': 'a', 'completion': 'b'}", "line 2: this is not JSON"),
        ('{"prompt": "a", "completion": "b"', "line 2: this is not JSON"),
        ("[" * 100_000, "line 2: this is not JSON (nested too deeply)"),
        ('{"prompt": ' + "9" * 5000 + "}", "line 2: this is not JSON (a number too long)"),
        (f"[{GOOD}]", "line 2: this is not an object; write one {...} on each line"),
        ("null", "line 2: this is not an object"),
        ('{"prompt": "a", "completion": NaN}', "line 2: NaN is not JSON"),
        ('{"prompt": "a", "completion": -Infinity}', "line 2: -Infinity is not JSON"),
        (
            '{"prompt": "a", "completion": "b", "prompt": "c"}',
            'line 2: "prompt" stands there twice',
        ),
        # fields
        ('{"prompt": "a", "output": "b"}', 'line 2: the fields are "prompt", "output"; write'),
        ("{}", "line 2: the fields are none; write"),
        (
            '{"prompt": "a", "completion": "b", "id": 1}',
            'line 2: unknown field "id" beside "prompt", "completion"; delete it, or',
        ),
        ('{"text": "a", "prompt": "b"}', 'line 2: unknown field "prompt" beside "text"'),
        ('{"prompt": "a", "answer": "b"}', 'line 2 has "answer", "prompt", and line 1 has'),
        ('{"text": "a"}', 'line 2 has "text", and line 1 has "completion", "prompt"; give all'),
        # values
        ('{"prompt": "a", "completion": 7}', '"completion" must be a text, not a number'),
        ('{"prompt": null, "completion": "b"}', '"prompt" must be a text, not null'),
        ('{"prompt": "a", "completion": true}', '"completion" must be a text, not a truth value'),
        ('{"prompt": [], "completion": "b"}', '"prompt" must be a text, not a list'),
        ('{"prompt": {}, "completion": "b"}', '"prompt" must be a text, not an object'),
        ('{"prompt": "a", "completion": " \\n"}', '"completion" is empty'),
        ('{"text": ""}', '"text" is empty'),
        ('{"prompt": "q\\ud800", "completion": "b"}', '"prompt" holds half a character (\\ud800)'),
        ('{"prompt": "a", "completion": "\\udc00"}', "half a character (\\udc00)"),
        ('{"prompt\\ud800": "a"}', 'the fields are "prompt\\ud800"'),
        ('{"prompt": "a\\u0000", "completion": "b"}', '"prompt" holds a zero character'),
        ('{"prompt": "a\0", "completion": "b"}', "line 2 holds zero bytes"),
        (GOOD.encode("utf-16"), "line 2 holds zero bytes, as UTF-16"),
        ('{"prompt": "Où ?", "completion": "là"}'.encode("latin-1"), "line 2: this is not UTF-8"),
        # conversations
        ('{"messages": "hi"}', '"messages" must be a list of turns'),
        ('{"messages": []}', '"messages" must be a list of turns'),
        ('{"messages": ["hi"]}', "message 1: this is not a turn"),
        ('{"messages": [{"role": "user"}]}', "message 1: this is not a turn"),
        (turns(("user", "a"), ("tool", "b")), 'message 2: the role is "tool"; only system, user'),
        (turns(("user", "a"), (7, "b")), "message 2: the role is int; only"),
        (turns(("user", "a"), ("system", "b")), "message 2: the system's message must come first"),
        (turns(("user", "a"), ("assistant", " ")), 'message 2: "content" is empty'),
        (
            turns(("user", "a"), ("assistant", None)),
            'message 2: "content" must be a text, not null',
        ),
        (turns(("user", "a")), "the last message is not the assistant's, so nothing is learned"),
        (turns(("user", "\ud83d"), ("assistant", "b")), 'message 1: "content" holds half'),
        (
            '{"messages": [{"role": "user", "content": "a", "name": "Ann"}]}',
            'message 1: unknown field "name" beside "role", "content"',
        ),
    ],
)
def test_a_line_that_is_not_right_is_named_with_its_number(file, line, told):
    assert told in refused(file, GOOD, line)


def test_a_very_long_line_is_named_and_not_read(file, monkeypatch):
    monkeypatch.setattr(jsonl, "MOST_BYTES", 1000)
    long = json.dumps({"prompt": "a", "completion": "b" * 2000})
    assert "line 2 is longer than 0.001 MB" in refused(file, GOOD, long, GOOD)


def test_long_names_do_not_make_a_long_sentence(file):
    row = {f"{number}" + "x" * 500: "a" for number in range(20)}
    assert "and 16 more" in refused(file, json.dumps(row))


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \r\n\n"])
def test_an_empty_file_is_named(file, content):
    assert "mine.jsonl is empty" in refused(file, content)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(PeftlabError, match="cannot read"):
            jsonl.read(path)


def test_fields_of_no_concern_can_be_left_out(file):
    file.write_text('{"id": 1, "prompt": "a", "completion": "b"}\n' + GOOD, encoding="utf-8")
    _, lines = jsonl.read(file, ignore=["id"])
    assert lines[0].example == lines[1].example
    assert 'unknown field "source"' in refused(file, '{"text": "a", "source": 1}', ignore=["id"])


# Anything that JSON can say, and lone surrogates, which it can say too.
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from("prompt completion answer messages text role content id".split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.lists(values, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_json_is_read_or_refused_in_a_sentence(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("any") / "mine.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    try:
        kind, lines = jsonl.read(file)
    except PeftlabError as error:
        assert str(error).startswith("mine.jsonl") and len(str(error)) <= 300
        return
    assert kind in (jsonl.PAIRS, jsonl.CHAT, jsonl.TEXT) and len(lines) == len(rows)


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused_in_a_sentence(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("bytes") / "mine.jsonl"
    file.write_bytes(GOOD.encode() + b"\n" + content)
    try:
        _, lines = jsonl.read(file)
    except PeftlabError as error:
        assert str(error).startswith("mine.jsonl") and len(str(error)) <= 300
        return
    assert len(lines) >= 1


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, pairs):
    """Prompts unchanged; answers too, but for the space that a word begins with."""
    pairs = [(p.replace("\0", ""), a.replace("\0", "") or "x") for p, a in pairs]
    pairs = [(p, a if a.strip() else "x") for p, a in pairs]
    file = tmp_path_factory.mktemp("pairs") / "mine.jsonl"
    rows = [{"prompt": prompt, "answer": answer} for prompt, answer in pairs]
    file.write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8", newline=""
    )
    _, lines = jsonl.read(file)
    assert [line.example.prompt for line in lines] == [prompt for prompt, _ in pairs]
    for line, (_, answer) in zip(lines, pairs, strict=True):
        assert line.example.target in (answer, f" {answer}")
