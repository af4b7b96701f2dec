"""Files of models with a head of their own, wrapped models, and names that mean several modules."""

import json

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file
from small_models import build, llama, randomise_adapter, relative_error, token_ids
from torch import nn

import peftlab
from peftlab import LoRAConfig, PartialConfig, PeftlabError
from peftlab.targets import task_heads

ENCODER = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "num_labels": 3,
}
BART = {
    "vocab_size": 61,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "num_labels": 3,
    "eos_token_id": 2,
}
T5 = {"vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}
VISION = {**ENCODER, "image_size": 16, "patch_size": 8}
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
IDS = {"input_ids": torch.cat([token_ids(), torch.full((2, 1), 2)], dim=1)}  # BART wants an end
BOTH = IDS | {"decoder_input_ids": token_ids()}

# class, its configuration, what it reads, PEFT's task, its new head
MODELS = {
    "LlamaForSequenceClassification": (ENCODER, IDS, "SEQ_CLS", ["score"]),
    "LlamaForTokenClassification": (ENCODER, IDS, "TOKEN_CLS", ["score"]),
    "BertForTokenClassification": (ENCODER, IDS, "TOKEN_CLS", ["classifier"]),
    "BertForQuestionAnswering": (ENCODER | {"num_labels": 2}, IDS, "QUESTION_ANS", ["qa_outputs"]),
    "BertForMaskedLM": (ENCODER, IDS, None, []),
    "RobertaForSequenceClassification": (ENCODER, IDS, "SEQ_CLS", ["classifier"]),
    "BartForSequenceClassification": (BART, IDS, "SEQ_CLS", ["classification_head"]),
    "BartForConditionalGeneration": (BART, BOTH, "SEQ_2_SEQ_LM", []),
    "T5ForConditionalGeneration": (T5, BOTH, "SEQ_2_SEQ_LM", []),
    "ViTForImageClassification": (VISION, {"pixel_values": IMAGES}, None, ["classifier"]),
}


def make(name, config, head_seed):
    """A model whose backbone is always the same, and whose head is drawn anew each time."""
    torch.manual_seed(0)
    model_class = getattr(transformers, name)
    settings = {"pad_token_id": 0} | config
    model = model_class(model_class.config_class(**settings)).double().eval()
    torch.manual_seed(head_seed)
    for head in task_heads(model):
        for parameter in model.get_submodule(head).parameters():
            nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_new_head_trains_and_is_in_the_file_here_and_in_peft(name, tmp_path):
    config, inputs, task, heads = MODELS[name]
    model = peftlab.apply(make(name, config, 1), LoRAConfig(rank=2))
    assert task_heads(model) == heads
    for path, layer in peftlab.adapter_layers(model):
        inside = path.split(".")[0] in heads
        assert isinstance(layer, peftlab.copies.ParameterCopy) == inside
    trained = {path for path, p in model.named_parameters() if p.requires_grad}
    assert {path.split(".")[0] for path in trained} >= set(heads)
    randomise_adapter(model)
    expected = model(**inputs)[0]

    peftlab.save(model, tmp_path)
    fields = json.loads((tmp_path / "adapter_config.json").read_text())
    assert fields["task_type"] == task
    here = peftlab.load(make(name, config, 2), tmp_path)
    assert torch.equal(here(**inputs)[0], expected)
    there = peft.PeftModel.from_pretrained(make(name, config, 2), tmp_path).eval()
    assert relative_error(there(**inputs)[0], expected) < 1e-10


def test_peft_files_of_classifiers_load_with_their_heads(tmp_path):
    name = "LlamaForTokenClassification"
    config = peft.LoraConfig(task_type="TOKEN_CLS", r=2, target_modules=["q_proj"])
    theirs = peft.get_peft_model(make(name, ENCODER, 1), config)
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1 * p.requires_grad)
    theirs.eval().save_pretrained(tmp_path)
    ours = peftlab.load(make(name, ENCODER, 2), tmp_path)
    assert relative_error(ours(**IDS)[0], theirs(**IDS)[0]) < 1e-10


def test_a_head_that_is_trained_already_can_stay_frozen_and_is_saved_all_the_same(tmp_path):
    make_bert = lambda seed: make("BertForTokenClassification", ENCODER, seed)  # noqa: E731
    model = peftlab.apply(make_bert(1), LoRAConfig(rank=2), train_head=False)
    assert not any(p.requires_grad for p in model.classifier.parameters())
    randomise_adapter(model)
    peftlab.save(model, tmp_path)
    assert torch.equal(peftlab.load(make_bert(2), tmp_path)(**IDS)[0], model(**IDS)[0])


@pytest.mark.parametrize("targets", ["head", "last-block"])
def test_partial_fine_tuning_of_a_classifier_comes_back(targets, tmp_path):
    make_bert = lambda seed: make("BertForTokenClassification", ENCODER, seed)  # noqa: E731
    model = peftlab.apply(make_bert(1), PartialConfig(targets))
    randomise_adapter(model)
    peftlab.save(model, tmp_path)
    assert torch.equal(peftlab.load(make_bert(2), tmp_path)(**IDS)[0], model(**IDS)[0])


def test_a_target_inside_the_head_alone_leaves_nothing_to_adapt():
    model = make("BertForTokenClassification", ENCODER, 1)
    with pytest.raises(PeftlabError, match="classifier, covers every target"):
        peftlab.apply(model, LoRAConfig(rank=2, targets="classifier"))


# --- names ---------------------------------------------------------------------------------------


def compiled_blocks(model):
    for number, block in enumerate(model.model.layers):
        model.model.layers[number] = torch.compile(block, backend="eager")
    return model


WRAPPED = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "compiled blocks": compiled_blocks,
    "parallel": nn.DataParallel,
    "both": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
}


def adapter_values(model):
    return {
        (path, key): parameter.flatten().tolist()
        for path, layer in peftlab.adapter_layers(model)
        for key, parameter in layer.adapter_parameters().items()
    }


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("first", [True, False], ids=["adapted first", "wrapped first"])
def test_a_wrapped_model_is_saved_under_plain_names(wrap, first, tmp_path):
    model = build("llama")
    wrapped = None if first else wrap(model)
    peftlab.apply(model if first else wrapped, LoRAConfig(rank=2, targets="q_proj"))
    randomise_adapter(model)
    peftlab.save(wrap(model) if first else wrapped, tmp_path)
    keys = load_file(tmp_path / "adapter_model.safetensors")
    assert all(key.startswith("base_model.model.model.layers.") for key in keys)
    assert len(keys) == 4

    plain = peftlab.load(build("llama"), tmp_path)
    into = build("llama")
    peftlab.load(wrap(into), tmp_path)
    for other in (plain, into):  # not by their logits: not every torch compiles a single block
        assert adapter_values(other) == adapter_values(model)


class Net(nn.Module):
    """A layer's name `0` is also a block's; `mlp.0` is also the end of `tail.mlp.0`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers = lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))  # noqa: E731
        self.mlp, self.blocks = layers(), nn.ModuleList([nn.LayerNorm(8)])
        self.tail = nn.ModuleDict({"mlp": layers()})

    def forward(self, x):
        return self.tail["mlp"](self.blocks[0](self.mlp(x)))


@pytest.mark.parametrize(
    ("method", "written"),
    [
        (LoRAConfig(rank=2, targets=r"mlp\.[02]"), r"mlp\.0|mlp\.2"),
        (LoRAConfig(rank=2), ["2", "mlp.0", "tail.mlp.0"]),
        (peftlab.IA3Config(targets=r"mlp\.[02]", feedforward=r"mlp\.2"), r"mlp\.0|mlp\.2"),
    ],
)
def test_written_targets_mean_the_same_modules_everywhere(method, written, tmp_path):
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    model = peftlab.apply(Net(), method)
    randomise_adapter(model)
    peftlab.save(model, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"] == written
    assert torch.equal(peftlab.load(Net(), tmp_path)(x), model(x))
    theirs = peft.PeftModel.from_pretrained(Net(), tmp_path).eval()
    assert relative_error(theirs(x), model(x)) < 1e-5


def test_embeddings_that_were_resized_go_into_the_file(tmp_path):
    build("llama").save_pretrained(tmp_path / "base")

    def larger(seed):
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base").eval()
        model.resize_token_embeddings(64, mean_resizing=False)
        torch.manual_seed(seed)
        nn.init.normal_(model.model.embed_tokens.weight[61:].data)
        return model

    model = peftlab.apply(larger(1), LoRAConfig(rank=2))
    randomise_adapter(model)
    ids = torch.tensor([[5, 61, 62, 63]])
    peftlab.save(model, tmp_path / "adapter")
    again = peftlab.load(larger(2), tmp_path / "adapter")
    assert torch.equal(again(ids).logits, model(ids).logits)
    theirs = peft.PeftModel.from_pretrained(larger(3), tmp_path / "adapter").eval()
    assert relative_error(theirs(ids).logits, model(ids).logits) < 1e-5
    with pytest.raises(PeftlabError, match=r"call model.resize_token_embeddings\(64\)"):
        peftlab.load(llama(), tmp_path / "adapter")


def test_sharded_parameters_are_not_saved(tmp_path):
    model = peftlab.apply(build("llama"), LoRAConfig(rank=2))
    _, layer = peftlab.adapter_layers(model)[0]
    layer.A.data = torch.empty(0)  # what DeepSpeed ZeRO-3 leaves of a parameter between steps
    with pytest.raises(PeftlabError, match="its parameter is sharded"):
        peftlab.save(model, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
