import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peftcourse.compare import journal
from peftcourse.compare.plan import Run
from peftlab.errors import PeftlabError

SETTINGS = {"suite": "quick", "tiny, voice": {"steps": 2}}


def row(seed, **more):
    return Run("report", "tiny", "voice", "full", seed, 1e-3).as_row() | {"score": 0.5} | more


def test_rows_come_back(tmp_path):
    with journal.opened(tmp_path / "new", SETTINGS) as (rows, add):
        assert rows == []
        add(row(0))
        add(row(1, outputs=["Ärr\n"]))
    with journal.opened(tmp_path / "new", SETTINGS) as (rows, _):
        assert rows == [row(0), row(1, outputs=["Ärr\n"])]


@settings(deadline=None)
@given(st.integers(0, 200))
def test_a_line_that_was_cut_off_is_ignored_wherever_it_was_cut(tmp_path_factory, kept):
    folder = tmp_path_factory.mktemp("journal")
    with journal.opened(folder, SETTINGS) as (_, add):
        add(row(0))
        add(row(1))
    path = folder / journal.RUNS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][: min(kept, len(lines[1]) - 2)])
    with journal.opened(folder, SETTINGS) as (rows, add):
        assert rows == [row(0)]
        add(row(1))
    assert journal.read(path) == [row(0), row(1)]


def test_the_last_row_of_a_run_counts_and_a_broken_one_is_tried_again(tmp_path):
    path = tmp_path / journal.RUNS
    broken = row(0, failed="out of memory", again=True)
    diverged = row(1, failed="the loss became nan")
    path.write_text("".join(json.dumps(r) + "\n" for r in (broken, diverged)))
    assert journal.read(path) == [diverged]
    with path.open("a") as file:
        file.write(json.dumps(row(0)) + "\n")
    assert journal.read(path) == [row(0), diverged]


def test_only_one_comparison_writes(tmp_path):
    with (
        journal.opened(tmp_path, SETTINGS),
        pytest.raises(PeftlabError, match="another peftlab compare"),
        journal.opened(tmp_path, SETTINGS),
    ):
        pass


def test_other_settings_are_refused_and_new_ones_added(tmp_path):
    with journal.opened(tmp_path, SETTINGS):
        pass
    with journal.opened(tmp_path, {"suite": "quick", "tiny, slots": {"steps": 9}}):
        pass
    for changed in (SETTINGS | {"suite": "full"}, SETTINGS | {"tiny, voice": {"steps": 3}}):
        with pytest.raises(PeftlabError, match="other settings"), journal.opened(tmp_path, changed):
            pass
    many = SETTINGS | {"tiny, voice": SETTINGS["tiny, voice"] | {"sha256": "a" * 500}}
    with pytest.raises(PeftlabError) as raised, journal.opened(tmp_path, many):
        pass
    assert "(tiny, voice: sha256 None, not aaaa" in str(raised.value)
    assert len(str(raised.value).replace(str(tmp_path), "")) < 200
    (tmp_path / journal.SETTINGS).write_text("{")
    with pytest.raises(PeftlabError, match="damaged"), journal.opened(tmp_path, SETTINGS):
        pass
