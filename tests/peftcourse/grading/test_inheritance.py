"""What an answer inherits from the process that it was forked from: nothing of other answers."""

import pytest

from peftcourse.exercises import find
from peftcourse.grading import marking
from peftcourse.grading.marking import probe_file, probe_name
from peftcourse.grading.observed import read_work
from peftcourse.grading.sandbox import Sandbox
from peftcourse.grading.sealing import sealed

EXERCISE = find("lora.delta")
EARLIER = """
def lora_delta(A, B, alpha):
    return alpha / A.shape[0] * (B @ A)
{filler}
# what only {mark} holds
"""
# Counts the places in this process's memory that hold the mark. Writing from an address that is
# not mapped fails without harm, so no list of the mappings is needed.
SCAN = """
import ctypes
import os

import torch


def lora_delta(A, B, alpha):
    mark = b"the-earlier" + b"-answer"
    libc = ctypes.CDLL(None, use_errno=True)
    libc.malloc.restype = ctypes.c_void_p
    file = os.open("/tmp/page", os.O_RDWR | os.O_CREAT)
    step = 1 << 16
    starts = [id(object()), id([]), *(libc.malloc(ctypes.c_size_t(n)) for n in (100, 5000, 100000))]
    seen, found, read = set(), 0, 0
    for start in starts:
        for direction in (step, -step):
            address, missed = start & ~(step - 1), 0
            while missed < 64 and len(seen) < 20000:
                if address not in seen:
                    seen.add(address)
                    os.lseek(file, 0, 0)
                    count = libc.write(file, ctypes.c_void_p(address), ctypes.c_size_t(step))
                    missed = 0 if count > 0 else missed + 1
                    if count > 0:
                        read += 1
                        data = os.pread(file, count, 0)
                        # Followed by a word: the scan's own mark is not.
                        found += data.count(mark + b" holds")
                address += direction
    return torch.tensor([found, read])
"""


def request(code: str) -> bytes:
    cell = {"number": 1, "kind": "own", "source": code, "exercise": EXERCISE.id, "target": ""}
    return marking.frame(
        {"cells": [cell], "setup": "", "absent": [], "seconds": 10.0}
    ) + marking.frame(
        {
            "exercise": EXERCISE.id,
            "target": "lora_delta",
            "probe": [probe_name(EXERCISE), EXERCISE.probe.__name__],
            "cases": EXERCISE.make_cases(0)[:1],
        }
    )


@pytest.mark.parametrize("lines", [2_000, 5_000, 40_000])
def test_an_earlier_answer_is_not_in_memory(lines, bubblewrap):
    earlier = EARLIER.format(filler="# filler line\n" * lines, mark="the-earlier-answer")
    with Sandbox({probe_name(EXERCISE): probe_file(EXERCISE)}) as sandbox:
        for _ in range(3):
            assert sandbox.run(request(earlier)).end == "done"
        ran = sandbox.run(request(SCAN))
    work = read_work(ran, {EXERCISE.id: sealed(EXERCISE, EXERCISE.make_cases(0)[:1])})
    [observation] = work.found[EXERCISE.id].observations
    assert observation["error"] is None
    found, read = observation["outcome"]["result"].tolist()
    assert read > 100  # it did look
    assert found == 0
