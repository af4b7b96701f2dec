"""Progress and hints: kept in a file that survives crashes, damage and read-only folders."""

import json

import pytest

from peftcourse.exercises import LESSONS, check, find, hint, progress, record

DELTA = find("lora.delta")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The progress file of a notebook in an empty folder."""
    monkeypatch.delenv("PEFTLAB_PROGRESS")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "progress.json"


def entry(file) -> dict:
    return json.loads(file.read_text())["exercises"]["lora.delta"]


def test_attempts_are_kept_and_what_is_solved_stays_solved(file):
    check("lora.delta")
    assert entry(file)["solved"] is None and entry(file)["status"] == "not attempted"
    check("lora.delta", DELTA.solution)
    solved = entry(file)["solved"]
    assert solved
    check("lora.delta", DELTA.mutants[0].answer)
    assert entry(file) | {"first": ""} == {
        "status": "wrong value",
        "attempts": 2,  # an empty cell is none
        "first": "",
        "solved": solved,
    }
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_progress_shows_what_is_done(file, capsys):
    progress("03_lora")
    assert "0 of 10 exercises, 0 of 30 points" in capsys.readouterr().out
    check("lora.delta", DELTA.solution)
    capsys.readouterr()
    progress()
    lines = capsys.readouterr().out.splitlines()
    titles = [line.split(":")[0] for line in lines if " exercises, " in line]
    assert titles == [lesson.title for lesson in LESSONS.values()]
    lines = lines[next(i for i, line in enumerate(lines) if line.startswith("03 ")) :]
    assert lines[0].endswith("1 of 10 exercises, 2 of 30 points")
    assert lines[1].split()[:2] == ["✓", "lora.delta"]
    assert lines[2].split()[:2] == ["·", "lora.init"]
    progress("99_nothing")
    assert "no lesson" in capsys.readouterr().out


def test_hints_come_one_after_the_other_and_the_last_stays(file, capsys):
    for number in (1, 2, 3, 3):
        hint("lora.delta")
        shown = capsys.readouterr().out
        assert shown.startswith(f"hint {number} of 3") and DELTA.hints[number - 1] in shown
    assert entry(file)["hints"] == 3
    hint("lora.dleta")
    assert "did you mean" in capsys.readouterr().out


def test_a_hint_can_be_read_again(file, capsys):
    hint("lora.delta", 2)
    shown = capsys.readouterr().out.splitlines()
    assert [line[:11] for line in shown[:2]] == ["hint 1 of 3", "hint 2 of 3"]
    assert shown[2].endswith("hint 2 was not open yet, so 1 came with it")
    hint("lora.delta", 1)
    assert capsys.readouterr().out == f"hint 1 of 3   {DELTA.hints[0]}\n"
    assert entry(file)["hints"] == 2
    hint("lora.delta")
    assert capsys.readouterr().out.startswith("hint 3 of 3")
    for number in (0, 4, "one"):
        hint("lora.delta", number)
        assert "lora.delta has 3 hints" in capsys.readouterr().out
    assert entry(file)["hints"] == 3


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"exercises": 3}', '{"exercises": {"a": 1}}'])
def test_a_damaged_file_is_renamed_and_not_lost(file, capsys, damage):
    file.write_text(damage)
    (file.parent / "progress.damaged-1.json").write_text("an older one")
    check("lora.delta", DELTA.solution)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("status") and len(lines) == 5
    assert "kept as progress.damaged-2.json" in lines[4]
    assert (file.parent / "progress.damaged-2.json").read_text() == damage
    assert (file.parent / "progress.damaged-1.json").read_text() == "an older one"
    assert entry(file)["solved"]


def test_strange_values_in_the_file_do_no_harm(file, capsys):
    content = {"exercises": {"lora.delta": {"attempts": "many", "hints": [], "note": "mine"}}}
    file.write_text(json.dumps(content))
    check("lora.delta")
    hint("lora.delta")
    progress()
    assert entry(file)["attempts"] == 0 and entry(file)["hints"] == 1
    assert entry(file)["note"] == "mine"


def test_a_place_that_cannot_be_written(file, monkeypatch, capsys):
    monkeypatch.setenv("PEFTLAB_PROGRESS", str(file.parent / "missing" / "progress.json"))
    check("lora.delta", DELTA.solution)
    assert "progress is not saved" in capsys.readouterr().out
    progress()
    assert "1 of 10" in capsys.readouterr().out  # in memory, as long as the kernel runs


def test_an_interrupted_write_leaves_the_old_file(file, monkeypatch, capsys):
    check("lora.delta", DELTA.solution)
    before = file.read_text()

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(record.json, "dump", interrupted)
    check("lora.delta")
    assert capsys.readouterr().out.endswith("stopped; nothing was recorded\n")
    assert file.read_text() == before
    assert list(file.parent.iterdir()) == [file]


def test_it_can_be_switched_off(file, monkeypatch, capsys):
    monkeypatch.setenv("PEFTLAB_PROGRESS", "off")
    check("lora.delta", DELTA.solution)
    progress()
    assert "1 of 10" in capsys.readouterr().out
    assert list(file.parent.iterdir()) == []
