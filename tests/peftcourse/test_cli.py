"""The command line: what it prints, and one clear sentence for each mistake."""

import contextlib
import io
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
def trained(tmp_path_factory) -> tuple[Path, str]:
    """A folder that ``peftlab train`` wrote after two steps, and what it printed."""
    folder = tmp_path_factory.mktemp("adapters") / "new" / "pirate"
    options = ["--model", "tiny", "--rank", "3", "--targets", "q_proj,v_proj"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main([*TRAIN, *options, "--out", str(folder)]) == 0
    return folder, printed.getvalue()


@pytest.fixture
def adapter(trained) -> Path:
    return trained[0]


def test_the_installed_command_prints_its_version():
    command = Path(sys.executable).with_name("peftlab")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"peftlab {peftlab.__version__}\n"


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for command in ("doctor", "labs", "model", "train", "generate", "ship"):
        assert re.search(rf"^    {command} ", printed, re.MULTILINE)


def test_model_info(capsys):
    assert main(["model", "info", "tiny", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == 6_951_168
    assert re.fullmatch("[0-9a-f]{64}", facts["sha256"])
    assert main(["model", "info"]) == 0
    assert "6,951,168" in capsys.readouterr().out


def test_train_says_what_it_did_and_saves_an_adapter(trained):
    out, printed = trained
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
    command = (*TRAIN, "--learning-rate", "0.001", "--targets", "query")
    sentence = mistake(capsys, *command, "--out", tmp_path / "x")
    assert "'query'" in sentence
    assert "q_proj" in sentence  # what would have matched
    assert not (tmp_path / "x").exists()


def test_rank_zero(tmp_path, capsys):
    assert "rank" in mistake(capsys, *TRAIN, "--rank", "0", "--out", tmp_path / "x")


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "much"])
@pytest.mark.parametrize("option", ["--steps", "--batch-size", "--learning-rate"])
def test_a_schedule_that_cannot_be(option, value, tmp_path, capsys):
    sentence = mistake(capsys, *TRAIN, f"{option}={value}", "--out", tmp_path / "x")
    assert option in sentence and repr(value) in sentence


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

    monkeypatch.setattr("peftcourse.cli.course.labs_check", missing)
    assert "jupytext" in mistake(capsys, "labs", "check")


@pytest.mark.parametrize(
    "arguments", [[], ["trian"], ["labs"], ["train"], ["train", "--rank", "two", "--out", "x"]]
)
def test_a_command_that_does_not_parse(arguments, capsys):
    assert "--help" in mistake(capsys, *arguments)


@pytest.mark.parametrize(
    "option",
    "--task --voice --model --targets --out --data --validation --test --ignore-fields".split(),
)
def test_an_option_without_a_value_is_no_default(option, tmp_path, capsys):
    out = [] if option == "--out" else ["--out", tmp_path / "x"]
    assert option in mistake(capsys, "train", f"{option}=", *out)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--voice", "pirate"), "--voice and --data exclude each other"),
        (("--task", "facts"), "--task and --data exclude each other"),
        (("--seed", "99999999999"), "'99999999999' is not a whole number from 0 to 2147483647"),
        (("--seed=-1",), "'-1' is not a whole number"),
        (("--early-stopping=-1",), "'-1' is not a whole number"),
        (("--ignore-fields", "id,,x"), "'id,,x' is not a list of names"),
    ],
)
def test_options_that_do_not_go_together(options, told, tmp_path, capsys, mine):
    command = ("train", "--data", mine, *options, "--out", tmp_path / "x")
    assert told in mistake(capsys, *command)


@pytest.mark.parametrize("option", ["--validation", "--test", "--ignore-fields", "--split-seed"])
@pytest.mark.parametrize("command", ["train", "compare"])
def test_options_of_own_data_need_own_data(command, option, tmp_path, capsys, mine):
    if (command, option) == ("compare", "--split-seed"):
        return  # compare has none: its seeds share one split
    out = ["--out", tmp_path / "x"] if command == "train" else []
    sentence = mistake(capsys, command, option, "1" if "seed" in option else mine, *out)
    assert "--data" in sentence and option in sentence


# --- own data -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> Path:
    """A file of questions and answers."""
    file = tmp_path_factory.mktemp("own") / "mine.jsonl"
    rows = [{"prompt": f"Is {n} even?", "answer": "no" if n % 2 else "yes"} for n in range(48)]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


@pytest.fixture
def few_steps(monkeypatch):
    """One pass through the examples."""
    from peftcourse.cli import training

    monkeypatch.setattr(training, "PASSES", 1)


def test_training_on_own_data_says_how_they_are_split_and_when_it_stops(
    mine, tmp_path, capsys, few_steps
):
    out = tmp_path / "mine"
    assert main(["train", "--data", str(mine), "--rank", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for told in (
        r"^\d+ training, \d+ validation and \d+ test examples$",
        r"^train, validation and test: mine.jsonl, split by a hash of each question with seed 0$",
        r"^the longest of 48 sequences has \d+ tokens; nothing is cut off$",
        r"^learning rate 0.003 \(this course found: 0.003 on ",
        r"^at most \d steps of 8 examples; it ends when 3 validation losses in a row",
        r"^the weights are those of step \d, with the lowest validation loss$",
    ):
        assert re.search(told, printed, re.MULTILINE), told
    record = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert record["model"] == "tiny" and record["files"] == {"data": str(mine)}
    losses = dict(map(tuple, record["validation"]))
    assert losses[record["kept"]] == min(losses.values())


def test_a_new_adapter_takes_the_report_of_the_old_one_away(mine, tmp_path, few_steps):
    (tmp_path / "report.md").write_text("89 %", encoding="utf-8")
    assert main(["train", "--data", str(mine), "--rank", "1", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "report.md").exists()


def test_what_does_not_learn_is_not_saved(mine, tmp_path, capsys, few_steps):
    out = tmp_path / "mine"
    command = ["train", "--data", str(mine), "--learning-rate", "1e-12", "--rank", "1"]
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        losses = iter([1.0, 2.0, 3.0, 4.0, 5.0])
        patch.setattr("peftcourse.experiments.train.validation_loss", lambda *_: next(losses))
        assert main([*command, "--out", str(out)]) == 1
    assert "never fell below the 1.000" in capsys.readouterr().err
    assert not list(out.iterdir())


def test_a_bad_line_is_told_before_a_model_is_loaded(mine, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("peftcourse.experiments.models.load", None)
    file = tmp_path / "bad.jsonl"
    file.write_text(mine.read_text() + '\n{"prompt": "q\\ud800", "answer": "a"}')
    for command in (("train", "--out", tmp_path / "x"), ("compare",)):
        sentence = mistake(capsys, *command, "--data", file)
        assert "bad.jsonl, line 49" in sentence and "half a character" in sentence
    assert "few.jsonl has 1 different examples" in (
        file.with_name("few.jsonl").write_text('{"text": "a"}')
        and mistake(capsys, "train", "--data", tmp_path / "few.jsonl", "--out", tmp_path / "x")
    )
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("command", ["train", "compare"])
def test_lengths_that_cannot_be(command, mine, tmp_path, capsys):
    out = ["--out", tmp_path / "x"] if command == "train" else ["--journal", tmp_path / "x"]
    for length, told in (("4", "before anything that is learned"), ("999", "512")):
        options = ("--data", mine, "--max-length", length, *out)
        try:
            code = main([command, *map(str, options)])
        except SystemExit as ended:
            code = ended.code
        assert code == 2 and told in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("where", ["file/below", "file"])
def test_output_that_cannot_be_written_is_told_at_once(where, mine, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("peftcourse.experiments.models.load", None)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    place = tmp_path / where
    assert str(place) in mistake(capsys, *TRAIN, "--out", place)
    assert str(place) in mistake(capsys, "compare", "--journal", place)
    for command in ("compare", "--json"), ("parity", "--quick", "--out"):
        assert "folder" in mistake(capsys, *command, tmp_path / "folder")
        assert "below" in mistake(capsys, *command, tmp_path / "file" / "below")


def test_a_place_that_may_not_be_written(tmp_path, monkeypatch):
    from peftcourse.cli import options

    def refuse(**_):
        raise OSError(30, "Read-only file system")

    for check in (options.folder_to_write, options.file_to_write):
        assert check(str(tmp_path / "new" / "place")) == tmp_path / "new" / "place"
        assert not list(tmp_path.iterdir())  # nothing is left of the attempt
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    for check in (options.folder_to_write, options.file_to_write):
        with pytest.raises(
            peftlab.PeftlabError, match=r"cannot be written \(Read-only file system"
        ):
            check(str(tmp_path / "new" / "place"))
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["warp", "cuda:99", "meta9"])
def test_a_device_that_is_not_there(device, capsys):
    assert repr(device) in mistake(capsys, "parity", "--quick", "--device", device)


def test_a_prompt_that_is_too_long_for_the_model(capsys):
    sentence = mistake(capsys, "generate", "--prompt", "word " * 500)
    assert "512; lower --max-new-tokens" in sentence


def test_a_folder_that_is_no_adapter_is_told_before_a_model_is_loaded(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("peftcourse.experiments.models.load", None)
    for command in ("generate", "ship"):
        assert "is not an adapter" in mistake(capsys, command, "--adapter", tmp_path)


def test_shipping_needs_examples_to_measure_with(adapter, capsys, tmp_path):
    sentence = mistake(capsys, "ship", "--adapter", adapter)
    assert "was trained on the task voice; say with --data" in sentence
    bare = tmp_path / "bare"
    shutil.copytree(adapter, bare)
    (bare / "training.json").unlink()
    assert "has no training.json; say with --data" in mistake(capsys, "ship", "--adapter", bare)
    (bare / "training.json").write_text('{"model": 7}')
    assert "training.json is damaged" in mistake(capsys, "generate", "--adapter", bare)


def test_what_cannot_be_merged_is_told_before_it_is_measured(mine, tmp_path, capsys):
    from peftcourse.experiments import models

    model = models.load("tiny").model
    peftlab.save(peftlab.apply(model, peftlab.PromptConfig(2)), tmp_path / "prompt")
    command = ("ship", "--adapter", tmp_path / "prompt", "--data", mine)
    sentence = mistake(capsys, *command, "--merged", tmp_path / "merged")
    assert "Prompt cannot be merged: soft tokens" in sentence and "leave --merged out" in sentence
    assert not (tmp_path / "merged").exists() and not (tmp_path / "prompt" / "report.md").exists()


def test_every_command_refuses_what_it_cannot_do_in_a_short_sentence(capsys, tmp_path):
    long = "x" * 2000
    for command in (
        ("train", "--task", long, "--out", tmp_path / "x"),
        ("train", "--steps", long, "--out", tmp_path / "x"),
        ("train", "--model", long, "--out", tmp_path / "x"),
        ("compare", "--methods", long),
        ("compare", "--task", long),
        ("compare", "--model", long),
        ("compare", "--seeds", long),
    ):
        assert len(mistake(capsys, *command)) <= 300
