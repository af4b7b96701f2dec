"""``peftlab estimate``: what it prints, and one clear sentence for each mistake."""

import json
from dataclasses import fields

import pytest

from peftcourse.cli import main
from peftlab.memory import PRESETS, Settings, estimate
from peftlab.memory.gpus import GPUS

ISSUE = (
    "estimate --model llama-2-7b --method qlora --rank 8 --targets q_proj,v_proj --seq-len 512 "
    "--batch-size 1 --gradient-checkpointing"
).split()


def printed(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_json_has_the_peak_and_components_that_sum_to_it(capsys):
    data = json.loads(printed(capsys, *ISSUE, "--json"))
    settings = Settings(
        method="qlora",
        rank=8,
        targets="q_proj,v_proj",
        seq_len=512,
        batch_size=1,
        gradient_checkpointing=True,
    )
    made = estimate("llama-2-7b", settings)
    assert data["peak_bytes"] == made.peak_bytes == sum(data["components"].values())
    assert all(isinstance(count, int) and count >= 0 for count in data["components"].values())
    assert data["trained_parameters"] == 4_194_304
    assert data["parameters"] == 6_738_415_616
    assert data["settings"]["targets"] == ["q_proj", "v_proj"]


def test_the_table_says_the_same(capsys):
    text = printed(capsys, *ISSUE)
    made = estimate("llama-2-7b", Settings(method="qlora", gradient_checkpointing=True))
    assert f"{made.peak_bytes:,} bytes" in text
    assert f"{made.peak_bytes / 2**30:.3f}" in text
    assert "4,194,304 of 6,738,415,616 parameters (0.0622%)" in text
    assert "16 GB (T4) or more" in text
    shares = [line.split()[-1] for line in text.splitlines() if line.endswith("%")]
    assert shares[-1] == "100.0%"
    assert max(len(line) for line in text.splitlines()) <= 110


def test_paged_states_are_said_not_to_count(capsys):
    text = printed(capsys, *ISSUE, "--rank", "64", "--optimizer", "paged_adamw_32bit")
    # Two float32 states of A (64 x 4096) and B (4096 x 64), in 64 layers.
    assert f"{64 * 2 * 2 * 4 * 64 * 4096 / 1e6:.0f} MB of paged states: managed memory" in text
    # At rank 8 a matrix has 32,768 numbers, too few to be paged.
    assert "0 bytes of paged" in printed(capsys, *ISSUE, "--optimizer", "paged_adamw_32bit")
    assert "managed memory" not in printed(capsys, *ISSUE)


def test_what_fits_nothing_says_so(capsys):
    text = printed(capsys, "estimate", "--model", "llama-3-70b", "--method", "full")
    assert "none of the common GPUs" in text


def test_every_setting_is_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["estimate", "--help"])
    text = capsys.readouterr().out
    for field in fields(Settings):
        assert f"-{field.name.replace('_', '-')}" in text


def test_the_options_reach_the_settings(capsys):
    options = {
        "rank": 3,
        "targets": "all-linear",
        "tokens": 7,
        "bottleneck": 9,
        "quantization": "fp4",
        "block_size": 128,
        "optimizer": "sgd_momentum",
        "batch_size": 2,
        "seq_len": 100,
        "attention": "eager",
        "implementation": "peftlab",
        "precision": "bf16",
        "method": "qlora",
    }
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    data = json.loads(
        printed(
            capsys, "estimate", "--model=gpt2", *arguments, "--no-double-quantization", "--json"
        )
    )
    for name, value in options.items():
        assert data["settings"][name] == value
    assert data["settings"]["double_quantization"] is False
    assert data["settings"]["gradient_checkpointing"] is False


def test_a_folder_and_a_file_are_models_too(tmp_path, capsys):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(PRESETS["smollm2-135m"]), encoding="utf-8")
    wanted = estimate("smollm2-135m", Settings()).peak_bytes
    for model in (str(tmp_path), str(file)):
        data = json.loads(printed(capsys, "estimate", "--model", model, "--json"))
        assert data["peak_bytes"] == wanted


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--model", "llama-9"], "llama-9"),
        (["--model", "gpt2", "--method", "magic"], "magic"),
        (["--model", "gpt2", "--targets", "q_proj"], "q_proj"),
        (["--model", "gpt2", "--precision", "mixed"], "mixed"),
        (["--model", "gpt2", "--block-size", "65"], "65"),
        (["--model", "missing.json"], "missing.json"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, named):
    assert main(["estimate", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("peftlab: error: ")
    assert captured.err.count("\n") == 1
    assert named in captured.err


@pytest.mark.parametrize("option", ["--rank", "--seq-len", "--batch-size", "--tokens"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many"])
def test_counts_are_whole_numbers(capsys, option, value):
    with pytest.raises(SystemExit) as ended:
        main(["estimate", "--model", "gpt2", f"{option}={value}"])
    assert ended.value.code == 2
    assert value in capsys.readouterr().err


def test_cards_have_distinct_names_and_sizes():
    assert len(GPUS) == len(set(GPUS))
    assert all(gpu.bytes == gpu.gib * 2**30 for gpu in GPUS)
