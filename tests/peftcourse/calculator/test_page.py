"""What the calculator's page is given: complete, plain, and in step with the settings."""

import json
from dataclasses import fields

import pytest

from peftcourse.calculator import page
from peftlab.errors import PeftlabError
from peftlab.memory import PRESETS, Settings, estimate, settings, table


@pytest.fixture(scope="module")
def data():
    return page.data()


def test_it_is_json_and_always_the_same(data):
    assert json.loads(json.dumps(data)) == json.loads(json.dumps(page.data()))


def test_every_choice_of_the_settings_is_offered(data):
    known = {
        "method": settings.METHODS,
        "quantization": settings.QUANTIZATIONS,
        "block_size": settings.BLOCK_SIZES,
        "precision": settings.PRECISIONS,
        "optimizer": settings.OPTIMIZERS,
        "attention": settings.ATTENTIONS,
        "implementation": settings.IMPLEMENTATIONS,
    }
    for name, values in known.items():
        assert [value for value, _ in data["choices"][name]] == list(values)
    assert set(data["defaults"]) == {field.name for field in fields(Settings)}


def test_every_preset_is_in_one_group(data):
    listed = [name for names in data["groups"].values() for name in names]
    assert sorted(listed) == sorted(PRESETS)
    assert set(data["presets"]) == set(PRESETS)


def test_components_have_labels_in_the_order_of_the_table(data):
    assert [part["name"] for part in data["components"]] == list(table.COMPONENTS)
    assert all(part["label"] for part in data["components"])


def test_what_is_refused_for_a_family_is_refused_for_each_of_its_presets(data):
    for name in PRESETS:
        refused = data["unsupported"][data["presets"][name]["family"]]
        for method in settings.METHODS:
            wanted = Settings(method=method, seq_len=1, tokens=1)
            if method in refused:
                with pytest.raises(PeftlabError):
                    estimate(name, wanted)
            else:
                assert estimate(name, wanted).trained > 0
