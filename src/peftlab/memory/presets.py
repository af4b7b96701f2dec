"""Configurations of well-known models, with the keys of their ``config.json``.

They are from the config.json of each model on the hub; Llama's from table 2 of arXiv 2302.13971.
Mistral is version 0.2, the first without a sliding window. The parameter counts that follow from
them are tested against transformers.
"""

import json
from importlib.resources import files
from typing import Any

PRESETS: dict[str, dict[str, Any]] = json.loads(
    files(__package__).joinpath("presets.json").read_text(encoding="utf-8")
)
