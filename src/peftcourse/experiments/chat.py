"""Conversations to learn from: the assistant's turns carry the loss, everything else is given.

A model's tokenizer usually brings a chat template, which puts its control tokens around the turns.
Where there is none, as for the bundled model, a plain format stands in::

    System: You are the desk of a small town.

    User: The soup is too salty.

    Assistant: Ask the cook.<end of text>

    User: And who mends a roof?

    Assistant: A builder.<end of text>

The end-of-text token behind each reply is the tokenizer's own; it is learned too, so that the model
knows where to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYSTEM, USER, ASSISTANT = ROLES = ("system", "user", "assistant")

Piece = tuple[str, bool]  # a stretch of text, and whether it is learned


@dataclass(frozen=True)
class Message:
    """One turn.

    Attributes:
        role: one of `ROLES`.
        content: what was said.
    """

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """One example: some turns, of which the last one is the assistant's."""

    messages: tuple[Message, ...]


def sequences(conversation: Conversation, tokenizer: PreTrainedTokenizerBase) -> list[list[Piece]]:
    """The texts to train on, each in pieces that are given and learned in turn.

    Usually it is one text with all replies in it. Some templates write an earlier reply otherwise
    than the last one, for example without its thoughts. Then there is a text for each reply, with
    what comes before it as the model will see it when it has to answer.

    Raises:
        PeftlabError: the template refuses these messages, or hides where a reply begins.
    """
    messages = conversation.messages
    if tokenizer.chat_template is None:
        return [_joined(_plain(messages, tokenizer.eos_token or ""))]
    turns = []
    for place, message in enumerate(messages):
        if message.role == ASSISTANT:
            given = _rendered(messages[:place], tokenizer, reply_follows=True)
            whole = _rendered(messages[: place + 1], tokenizer)
            if not whole.startswith(given):
                raise PeftlabError(
                    "the chat template of the model does not put a reply behind what it asks a "
                    "reply with, so nobody can say which tokens are the assistant's; write prompts "
                    "and completions instead of messages."
                )
            turns.append((given, whole))
    end = tokenizer.eos_token
    if not all(later.startswith(whole) for (_, whole), (later, _) in pairwise(turns)):
        return [_joined(_reply(given, whole, "", end)) for given, whole in turns]
    pieces, before = [], ""
    for given, whole in turns:
        pieces += _reply(given, whole, before, end)
        before = whole
    return [_joined(pieces)]


def prompt(messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase) -> str:
    """The text after which the assistant's reply to these messages comes."""
    if tokenizer.chat_template is not None:
        return _rendered(messages, tokenizer, reply_follows=True)
    pieces = _plain([*messages, Message(ASSISTANT, "")], tokenizer.eos_token or "")
    return "".join(text for text, _ in pieces[:-1])


def _plain(messages: Sequence[Message], end: str) -> list[Piece]:
    pieces: list[Piece] = []
    for message in messages:
        opening = ("\n\n" if pieces else "") + message.role.capitalize() + ":"
        # A word's token begins with the space before it, so a turn begins with it too.
        if message.role == ASSISTANT:
            pieces += [(opening, False), (f" {message.content}{end}", True)]
        else:
            pieces.append((f"{opening} {message.content}", False))
    return pieces


def _reply(given: str, whole: str, before: str, end: str | None) -> list[Piece]:
    """What is given since the text before, the reply with the end of its turn, and what follows."""
    reply = whole[len(given) :]
    cut = reply.rfind(end) + len(end) if end and end in reply else len(reply)
    return [(given[len(before) :], False), (reply[:cut], True), (reply[cut:], False)]


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same text, given and learned in turn: tokens may not end where a piece of ours does.

    What is given behind the last reply teaches nothing, and goes.
    """
    joined: list[Piece] = []
    for text, learned in pieces:
        if joined and joined[-1][1] == learned:
            joined[-1] = (joined[-1][0] + text, learned)
        elif text:
            joined.append((text, learned))
    return joined if joined[-1][1] else joined[:-1]


def _rendered(
    messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, *, reply_follows: bool = False
) -> str:
    from jinja2 import TemplateError

    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=reply_follows
        )
    except TemplateError as error:
        raise PeftlabError(
            f"the chat template of the model refuses these messages ({error}); change them to what "
            "it takes."
        ) from None
