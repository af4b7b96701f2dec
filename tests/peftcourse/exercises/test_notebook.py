"""What happens around an answer: a line on stderr would cost it its points under nbgrader."""

import sys

from peftcourse import check


def test_a_right_answer_that_writes_to_stderr_is_right(capsys, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")

    def talkative(A, B, alpha):
        print("a warning", file=sys.stderr)
        return alpha / A.shape[0] * (B @ A)

    check("lora.delta", talkative)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "a warning" in shown.out and "status        correct · lora.delta" in shown.out
