"""Read a ``.jsonl`` file of examples: a JSON object on each line, in UTF-8, in one of three forms.

A prompt and its answer, which may be called ``completion`` or ``answer``::

    {"prompt": "I want a birthday cake.\\nWho can help?", "completion": " baker"}

A conversation, whose last turn is the assistant's::

    {"messages": [{"role": "user", "content": "Who bakes?"},
                  {"role": "assistant", "content": "A baker."}]}

A text without a question, to be learned as a whole: ``{"text": "Once upon a time …"}``.

All lines of a file have the same fields, and no others: a field with a wrong name would be data
that is not trained on without anybody noticing. The first line that is not right is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from peftcourse.experiments.chat import ASSISTANT, ROLES, SYSTEM, Conversation, Message
from peftcourse.experiments.corpus import Example
from peftlab.errors import PeftlabError

PAIRS, CHAT, TEXT = "prompts and answers", "conversations", "plain texts"
ANSWERS = ("completion", "answer")
FIELDS = 'write "prompt" and "completion", or "messages", or "text"'
SHOWN = 4  # names of fields in a message
MOST_BYTES = 4_000_000  # of a line: some million tokens, far more than any model trains on at once

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Line:
    """An example and where it stands.

    Attributes:
        example: a prompt with its target, or a conversation.
        file: the file's name.
        number: its line there, from 1.
    """

    example: Example | Conversation
    file: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}"


def read(path: str | Path, ignore: Collection[str] = ()) -> tuple[str, list[Line]]:
    """Read a file and check every line.

    Args:
        path: the file.
        ignore: fields that may be there and are not trained on, such as ``id``.

    Returns:
        ``PAIRS``, ``CHAT`` or ``TEXT``, and the examples; empty lines are skipped.

    Raises:
        PeftlabError: the file cannot be read or is empty, or a line is not as above; the message
            names the line and says what to do.
    """
    path = Path(path)
    lines: list[Line] = []
    kind, fields, first = "", (), 0
    try:
        with path.open("rb") as file:
            for number, text in _texts(file, path.name):
                where = f"{path.name}, line {number}"
                row = {k: v for k, v in _object(text, where).items() if k not in ignore}
                here, example = _example(row, where)
                if not first:
                    kind, fields, first = here, tuple(sorted(row)), number
                elif tuple(sorted(row)) != fields:
                    raise PeftlabError(
                        f"{where} has {_named(sorted(row))}, and line {first} has "
                        f"{_named(fields)}; give all lines the same fields, or make two files."
                    )
                lines.append(Line(example, path.name, number))
    except OSError as error:
        raise PeftlabError(f"cannot read {path}: {error.strerror}; check the path.") from None
    if not lines:
        raise PeftlabError(f"{path.name} is empty; write one JSON object on each line.")
    return kind, lines


def _texts(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, decoded, with their numbers; split at line feeds alone."""
    number = 0
    while raw := file.readline(MOST_BYTES + 1):
        number += 1
        where = f"{name}, line {number}"
        if len(raw) > MOST_BYTES:
            raise PeftlabError(
                f"{where} is longer than {MOST_BYTES / 1e6:g} MB; write one example on each line, "
                "and cut texts of that size into several."
            )
        if b"\0" in raw or raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise PeftlabError(
                f"{where} holds zero bytes, as UTF-16 and broken exports do; save the file as "
                "UTF-8."
            )
        try:
            # With or without a byte-order mark, which also stands where two files were joined.
            text = raw.decode("utf-8").removeprefix(_BYTE_ORDER_MARK)
        except UnicodeDecodeError:
            raise PeftlabError(f"{where}: this is not UTF-8; save the file as UTF-8.") from None
        if text.strip():
            yield number, text


# --- JSON -----------------------------------------------------------------------------------------


def _object(text: str, where: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise PeftlabError(f"{where}: {_named([twice])} stands there twice; keep one of them.")
        return row

    def constant(name: str) -> None:
        raise PeftlabError(f"{where}: {name} is not JSON, and no text; delete it or put it right.")

    try:
        row = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except PeftlabError:  # what is said above
        raise
    except (ValueError, RecursionError) as error:
        nested = isinstance(error, RecursionError)
        reason = "nested too deeply" if nested else getattr(error, "msg", "a number too long")
        raise PeftlabError(
            f"{where}: this is not JSON ({reason}); write one whole object on each line."
        ) from None
    if not isinstance(row, dict):
        raise PeftlabError(
            f"{where}: this is not an object; write one {{...}} on each line, without a list "
            "around them."
        )
    return row


# --- examples -------------------------------------------------------------------------------------


def _example(row: dict[str, Any], where: str) -> tuple[str, Example | Conversation]:
    if "messages" in row:
        _check_fields(row, ("messages",), where)
        return CHAT, _conversation(row["messages"], where)
    if "text" in row:
        _check_fields(row, ("text",), where)
        text = _text(row["text"], "text", where)
        _check_learned(text, "text", where)
        return TEXT, Example("", text)
    answer = next((name for name in ANSWERS if name in row), None)
    if "prompt" not in row or answer is None:
        has = _named(list(row)) or "none"
        raise PeftlabError(f"{where}: the fields are {has}; {FIELDS}.")
    _check_fields(row, ("prompt", answer), where)
    prompt = _text(row["prompt"], "prompt", where)
    completion = _text(row[answer], answer, where)
    _check_learned(completion, answer, where)
    # Tokens of a word begin with the space before it, so an answer begins with one too.
    if prompt and not (prompt[-1].isspace() or completion[0].isspace()):
        completion = " " + completion
    return PAIRS, Example(prompt, completion)


def _conversation(messages: Any, where: str) -> Conversation:
    if not isinstance(messages, list) or not messages:
        raise PeftlabError(
            f'{where}: "messages" must be a list of turns, {{"role": …, "content": …}} each.'
        )
    turns = []
    for place, message in enumerate(messages, 1):
        here = f"{where}, message {place}"
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise PeftlabError(f'{here}: this is not a turn; write {{"role": …, "content": …}}.')
        _check_fields(message, ("role", "content"), here)
        role = message["role"]
        if role not in ROLES:
            shown = _shown(role) if isinstance(role, str) else type(role).__name__
            raise PeftlabError(
                f"{here}: the role is {shown}; only {', '.join(ROLES)} can be trained on."
            )
        if role == SYSTEM and place > 1:
            raise PeftlabError(f"{here}: the system's message must come first; move it there.")
        content = _text(message["content"], "content", here)
        if role == ASSISTANT:
            _check_learned(content, "content", here)
        turns.append(Message(role, content))
    if turns[-1].role != ASSISTANT:
        raise PeftlabError(
            f"{where}: the last message is not the assistant's, so nothing is learned from it; "
            "write the reply, or delete the message."
        )
    return Conversation(tuple(turns))


def _check_fields(row: dict[str, Any], known: Sequence[str], where: str) -> None:
    for field in row:
        if field not in known:
            raise PeftlabError(
                f"{where}: unknown field {_shown(field)} beside {_named(known)}; delete it, or, if "
                "it need not be trained on, name it in --ignore-fields."
            )


def _text(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str):
        kind = {"NoneType": "null", "dict": "an object"}.get(type(value).__name__)
        kind = kind or {"bool": "a truth value", "list": "a list"}.get(type(value).__name__)
        raise PeftlabError(f'{where}: "{field}" must be a text, not {kind or "a number"}.')
    half = _HALF_CHARACTER.search(value)
    if half:
        raise PeftlabError(
            f'{where}: "{field}" holds half a character (\\u{ord(half.group()):04x}), as is left '
            "where a text was cut inside an emoji; write the whole one, or delete it."
        )
    if "\0" in value:
        raise PeftlabError(f'{where}: "{field}" holds a zero character (\\u0000); delete it.')
    return value


def _check_learned(text: str, field: str, where: str) -> None:
    if not text.strip():
        raise PeftlabError(
            f'{where}: "{field}" is empty, so there is nothing to learn; fill it, or delete the '
            "line."
        )


def _named(fields: Sequence[str]) -> str:
    more = f" and {len(fields) - SHOWN} more" if len(fields) > SHOWN else ""
    return ", ".join(map(_shown, fields[:SHOWN])) + more


def _shown(text: str) -> str:
    """A field or a role as it stands in the file; of a long one the beginning."""
    text = text if len(text) <= 24 else text[:23] + "…"
    return json.dumps(text, ensure_ascii=bool(_HALF_CHARACTER.search(text)))
