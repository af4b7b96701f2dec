"""The command line: what it prints, and one clear sentence for each mistake."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import peftlab
from peftcourse.cli import main

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ["train", "--task", "voice", "--voice", "pirate", "--steps", "2", "--batch-size", "2"]


def mistake(capsys, *arguments: str | Path) -> str:
    """Run a command that must fail as a user's mistake does; return its sentence."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as ended:  # argparse's own way
        code = ended.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line.startswith("peftlab: error: ")]
    assert len(lines) == 1, captured.err
    assert captured.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in captured.err
    return lines[0]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """A folder that ``peftlab train`` wrote after two steps."""
    folder = tmp_path_factory.mktemp("adapters") / "pirate"
    assert main([*TRAIN, "--model", "tiny", "--rank", "2", "--out", str(folder)]) == 0
    return folder


def test_the_installed_command_prints_its_version():
    command = Path(sys.executable).with_name("peftlab")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"peftlab {peftlab.__version__}\n"


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for command in ("doctor", "labs", "model", "train", "generate"):
        assert re.search(rf"^    {command} ", printed, re.MULTILINE)


def test_model_info(capsys):
    assert main(["model", "info", "tiny", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == 6_951_168
    assert re.fullmatch("[0-9a-f]{64}", facts["sha256"])
    assert main(["model", "info"]) == 0
    assert "6,951,168" in capsys.readouterr().out


def test_train_says_what_it_did_and_saves_an_adapter(tmp_path, capsys):
    out = tmp_path / "new" / "pirate"
    assert main([*TRAIN, "--rank", "3", "--targets", "q_proj,v_proj", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"[\d,]+ of 6,[\d,]+ parameters train", printed)
    assert re.search(r"validation loss: \d\.\d+ before, \d\.\d+ after", printed)
    config = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] == 3
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]


def test_generate_repeats_itself_with_the_same_seed(adapter, capsys):
    command = ["generate", "--prompt", "Once upon a time", "--max-new-tokens", "12"]
    texts = []
    for options in (["--seed", "1"], ["--seed", "1"], ["--seed", "2"]):
        assert main([*command, *options, "--adapter", str(adapter)]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith("Once upon a time")
    assert texts[0] == texts[1] != texts[2]


def test_the_adapter_changes_the_text(adapter, tmp_path, capsys):
    from safetensors.torch import load_file, save_file

    command = ["generate", "--temperature", "0", "--max-new-tokens", "12"]
    assert main(command) == 0
    plain = capsys.readouterr().out
    loud = tmp_path / "loud"
    loud.mkdir()
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: 50 * value for name, value in weights.items()}, loud / "adapter_model.safetensors"
    )
    (loud / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    assert main([*command, "--adapter", str(loud)]) == 0
    assert capsys.readouterr().out != plain


def test_a_target_that_matches_nothing(tmp_path, capsys):
    sentence = mistake(capsys, *TRAIN, "--targets", "query", "--out", tmp_path / "x")
    assert "'query'" in sentence
    assert "q_proj" in sentence  # what would have matched
    assert not (tmp_path / "x").exists()


def test_rank_zero(tmp_path, capsys):
    assert "rank" in mistake(capsys, *TRAIN, "--rank", "0", "--out", tmp_path / "x")


@pytest.mark.parametrize("option", ["--steps", "--batch-size", "--learning-rate"])
def test_zero_is_no_schedule(option, tmp_path, capsys):
    sentence = mistake(capsys, *TRAIN, option, "0", "--out", tmp_path / "x")
    assert option.strip("-").replace("-", "_") in sentence


def test_an_unknown_model(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "'tinny'" in mistake(capsys, "model", "info", "tinny")
    assert "'tinny'" in mistake(capsys, "generate", "--model", "tinny")
    assert "'tinny'" in mistake(capsys, *TRAIN, "--model", "tinny", "--out", tmp_path / "x")


def test_an_unknown_task_or_voice(capsys, tmp_path):
    assert "'song'" in mistake(capsys, "train", "--task", "song", "--out", tmp_path / "x")
    sentence = mistake(capsys, "train", "--voice", "robber", "--out", tmp_path / "x")
    assert "'robber'" in sentence
    assert "pirate" in sentence


def test_a_voice_for_a_task_without_voices(capsys, tmp_path):
    command = ("train", "--task", "facts", "--voice", "pirate", "--out", tmp_path / "x")
    assert "voice" in mistake(capsys, *command)


@pytest.mark.parametrize("length", ["0", "-3", "many"])
def test_a_length_that_is_no_count(length, capsys):
    assert repr(length) in mistake(capsys, "generate", f"--max-new-tokens={length}")


@pytest.mark.parametrize("damage", ["truncated", "config", "missing"])
def test_a_damaged_adapter(damage, adapter, tmp_path, capsys):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in adapter.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    if damage == "truncated":
        weights = folder / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "config":
        (folder / "adapter_config.json").write_text("{", encoding="utf-8")
    else:
        (folder / "adapter_config.json").unlink()
    sentence = mistake(capsys, "generate", "--adapter", folder)
    assert str(folder) in sentence


def test_labs_outside_a_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "repository" in mistake(capsys, "labs", "check")


def test_labs_check_finds_a_hand_edited_notebook(tmp_path, monkeypatch, capsys):
    for name in ("solutions", "labs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["labs", "check"]) == 0
    lab = tmp_path / "labs" / "03_lora.ipynb"
    notebook = json.loads(lab.read_text(encoding="utf-8"))
    notebook["cells"][0]["source"] += ["\nA better title"]
    lab.write_text(json.dumps(notebook), encoding="utf-8")
    capsys.readouterr()
    assert main(["labs", "check"]) == 1
    assert "03_lora.ipynb" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    occupied = tmp_path / "file"
    occupied.touch()
    assert str(occupied) in mistake(capsys, *TRAIN, "--out", occupied)


def test_a_missing_package_is_named(monkeypatch, capsys):
    def missing(arguments):
        raise ModuleNotFoundError("No module named 'jupytext'", name="jupytext.cli")

    monkeypatch.setattr("peftcourse.cli.labs_check", missing)
    assert "jupytext" in mistake(capsys, "labs", "check")


@pytest.mark.parametrize(
    "arguments", [[], ["trian"], ["labs"], ["train"], ["train", "--rank", "two", "--out", "x"]]
)
def test_a_command_that_does_not_parse(arguments, capsys):
    assert "--help" in mistake(capsys, *arguments)
