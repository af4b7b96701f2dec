"""How the bundled base model was made: tokenizer, data, training, sweep and model card."""
