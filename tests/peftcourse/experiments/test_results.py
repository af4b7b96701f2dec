"""A recorded result says how to measure it again, and is found from any folder of a clone."""

import json

import pytest
import torch

from peftcourse.experiments import results
from peftlab import PeftlabError


def test_a_result_carries_its_circumstances(tmp_path):
    file = results.write(
        tmp_path / "deep" / "x.json", what="W", command="C", seeds=[1, 2], numbers={"ratio": 0.5}
    )
    record = results.read(file)
    assert record == json.loads(file.read_text())
    assert (record["what"], record["command"], record["seeds"]) == ("W", "C", [1, 2])
    assert record["numbers"] == {"ratio": 0.5}
    assert record["versions"]["torch"] == torch.__version__
    assert record["hardware"]
    assert len(record["date"]) == 10


def test_a_recorded_result_is_found_from_a_folder_below(tmp_path, monkeypatch):
    results.write(tmp_path / "results/x.json", what="", command="", seeds=[], numbers={"a": 1})
    below = tmp_path / "book" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert results.recorded("x")["numbers"] == {"a": 1}
    with pytest.raises(PeftlabError, match=r"no results/y.json above .*clone of the repository"):
        results.recorded("y")


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(PeftlabError, match=r"x\.json.*measure it again"):
        results.read(tmp_path / "x.json")
