"""Conversations: what is learned of them, with a model's template and without."""

from __future__ import annotations

import copy

import pytest
import torch

from peftcourse.experiments import chat, evaluate, models, tasks
from peftcourse.experiments.chat import Conversation, Message
from peftcourse.experiments.tasks import IGNORE
from peftlab.errors import PeftlabError

TURNS = Conversation(
    (
        Message("system", "You are a desk."),
        Message("user", "Who bakes?\nI am hungry!"),
        Message("assistant", "A baker."),
        Message("user", "And who farms?"),
        Message("assistant", "A farmer."),
    )
)
# As many models have it; {% generation %} is how transformers is told what the assistant writes.
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ m['content'] }}<|im_end|>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# Only the last reply keeps its thoughts, as with Qwen3.
THINKING = (
    "{% for m in messages %}[{{ m['role'] }}]"
    "{% if m['role'] == 'assistant' and loop.last %}(thought){% endif %}{{ m['content'] }}|end|"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def plain():
    return models.load("tiny").tokenizer


@pytest.fixture
def chatml(plain):
    tokenizer = copy.deepcopy(plain)
    tokenizer.add_special_tokens(
        {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def learned(encoded, tokenizer):
    """The stretches of an example that carry the loss, as text."""
    found, open_ = [], False
    for token, label in zip(encoded["input_ids"], encoded["labels"], strict=True):
        assert label in (token, IGNORE)
        if label != IGNORE:
            found = found if open_ else [*found, []]
            found[-1].append(token)
        open_ = label != IGNORE
    return [tokenizer.decode(part) for part in found]


def test_without_a_template_the_format_is_the_documented_one(plain):
    [encoded] = tasks.encode([TURNS], plain, 512)
    assert plain.decode(encoded["input_ids"]) == (
        "<|endoftext|>System: You are a desk.\n\nUser: Who bakes?\nI am hungry!\n\n"
        "Assistant: A baker.<|endoftext|>\n\nUser: And who farms?\n\n"
        "Assistant: A farmer.<|endoftext|>"
    )
    assert learned(encoded, plain) == [" A baker.<|endoftext|>", " A farmer.<|endoftext|>"]


def test_with_a_template_the_assistants_tokens_are_those_that_transformers_marks(chatml):
    [encoded] = tasks.encode([TURNS], chatml, 512)
    messages = [{"role": m.role, "content": m.content} for m in TURNS.messages]
    reference = chatml.apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = reference["input_ids"], reference["assistant_masks"]
    # The line feed behind the last reply teaches nothing.
    assert ids[len(encoded["input_ids"]) :] == chatml("\n")["input_ids"][-1:]
    assert encoded["input_ids"] == ids[: len(encoded["input_ids"])]
    assert [int(label != IGNORE) for label in encoded["labels"]] == mask[: len(encoded["labels"])]
    assert learned(encoded, chatml) == ["A baker.<|im_end|>", "A farmer.<|im_end|>"]


def test_a_conversation_begins_with_what_its_template_says(chatml):
    """No second beginning-of-text token, as a tokenizer asked for one adds."""
    [encoded] = tasks.encode([TURNS], chatml, 512)
    first = chatml.convert_tokens_to_ids("<|im_start|>")
    assert encoded["input_ids"][0] == first != encoded["input_ids"][1]


@pytest.mark.parametrize("replies", [1, 2])
def test_a_prompt_is_what_stood_before_the_reply_in_training(plain, chatml, replies):
    for tokenizer in (plain, chatml):
        [encoded] = tasks.encode([TURNS], tokenizer, 512)
        asked = TURNS.messages[: 2 * replies]
        ids = tasks.prompt_ids(asked, tokenizer)
        assert encoded["input_ids"][: len(ids)] == ids
        assert encoded["labels"][len(ids) - 1] == IGNORE != encoded["labels"][len(ids)]


def test_a_template_that_rewrites_earlier_replies_gives_a_text_for_each(chatml):
    chatml.chat_template = THINKING
    pieces = chat.sequences(TURNS, chatml)
    assert [piece for sequence in pieces for piece, taught in sequence if taught] == [
        "(thought)A baker.|end|",
        "(thought)A farmer.|end|",
    ]
    whole = "".join(text for text, _ in pieces[1])
    assert "[assistant]A baker." in whole and "(thought)A baker." not in whole
    assert len(tasks.encode([TURNS], chatml, 512)) == 2


def test_a_template_that_refuses_or_hides_the_reply_is_named(chatml):
    chatml.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(PeftlabError, match="System role not supported"):
        chat.sequences(TURNS, chatml)
    chatml.chat_template = "{{ messages | length }}{% if add_generation_prompt %}?{% endif %}"
    with pytest.raises(PeftlabError, match="nobody can say which tokens"):
        chat.sequences(TURNS, chatml)


def test_given_and_learned_take_turns_and_end_with_learned(plain, chatml):
    for tokenizer in (plain, chatml):
        [pieces] = chat.sequences(TURNS, tokenizer)
        assert [taught for _, taught in pieces] == [False, True, False, True]


def test_the_loss_is_that_of_the_replies_alone():
    model, tokenizer = models.load("tiny", device="cpu", dtype=torch.float32)
    [encoded] = tasks.encode([TURNS], tokenizer, 512)
    ids = torch.tensor([encoded["input_ids"]])
    labels = torch.tensor([encoded["labels"]])
    with torch.no_grad():
        reference = model(ids, labels=labels).loss.item()  # transformers shifts and masks itself
    assert evaluate.loss(model, [encoded]) == pytest.approx(reference, rel=1e-5)


def test_a_reply_ends_with_the_token_that_ends_it_in_training(plain):
    model = models.load("tiny").model
    [text] = evaluate.generate(model, plain, [TURNS.messages[:2]], max_new_tokens=3)
    [same] = evaluate.generate(
        model, plain, [chat.prompt(TURNS.messages[:2], plain)], max_new_tokens=3
    )
    assert text == same
