import pytest

from peftcourse import cli
from peftcourse.compare import run
from tests.peftcourse.compare.small import InProcess, invented


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr(run, "_engine", lambda name, plan, *_: InProcess(plan))


def command(tmp_path, *options):
    return cli.main(["compare", "--journal", str(tmp_path / "journal"), *options])


def test_it_prints_a_table_and_records(engine, tmp_path, capsys):
    options = ("--methods", "lora-8,full", "--seeds", "0,4", "--json", str(tmp_path / "out.json"))
    assert command(tmp_path, *options) == 0
    out = capsys.readouterr().out
    assert "LoRA, r = 8" in out and "0.520 ±" in out  # the mean of 0.50 and 0.54
    from peftcourse.compare import tables

    recorded = tables.load(tmp_path / "out.json")
    assert recorded.methods == ["full", "lora-8"] and recorded.about["seeds"] == [0, 4]
    assert recorded.about["command"] == (
        "peftlab compare --suite quick --methods full,lora-8 --seeds 0,4"
    )


def test_a_failure_shows_in_the_exit_code(monkeypatch, tmp_path, capsys):
    def do(run, plan, device):
        failed = {"failed": "the loss became nan"} if run.method == "full" else {}
        return invented(run, plan) | failed

    monkeypatch.setattr(run, "_engine", lambda name, plan, *_: InProcess(plan, do))
    assert command(tmp_path, "--methods", "full,ia3", "--seeds", "0") == 1
    assert "Full fine-tuning on tiny, voice, seed 0: the loss became nan" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--methods", "lora-9"), "there is no method 'lora-9'"),
        (("--task", "poetry"), "there is no task 'poetry'"),
        (("--suite", "full", "--seeds", "100"), "cannot be reported"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, capsys, options, message):
    assert command(tmp_path, *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("seeds", ["one", "1,x", "-1"])
def test_seeds_are_numbers(tmp_path, capsys, seeds):
    with pytest.raises(SystemExit):
        command(tmp_path, f"--seeds={seeds}")
    assert "is not a list of seeds such as 0,1,2" in capsys.readouterr().err
