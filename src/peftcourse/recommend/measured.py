"""What results/compare_full.json says, in words; written by ``evidence``."""

MEASURED = {
    "lora": (
        "LoRA of rank 8 reached 77 to 99 % (ours) and 81 to 106 % (SmolLM2) of full "
        "fine-tuning's gain."
    ),
    "forgetting": (
        "Its loss on stories grew by 1.0 to 4.2 (ours) and 0.6 to 1.1 (SmolLM2) nats per token,"
        " that of full fine-tuning by 0.7 to 5.2 (ours) and 0.8 to 2.0 (SmolLM2)."
    ),
    "qlora": ("QLoRA scored −1 to 0 (ours) and −1 to 0 (SmolLM2) points more than LoRA."),
    "rank": (
        "At the same alpha rank 8 scored +7 to +59 (ours) and −5 to 0 (SmolLM2) points more "
        "than rank 1; rank 64 −2 to +2 (ours) and −10 to 0 (SmolLM2) more than rank 8, and with"
        " rank-stabilized scaling 0 to +12 (ours) and +1 to +6 (SmolLM2)."
    ),
    "rate": (
        "A rate half a decade from the best one cost 0.6 to 9.0 (ours) and 1.1 to 1.8 (SmolLM2)"
        " times as much loss as the step from the best method to the median one; a rate a "
        "decade too high 4.0 to 113.2 (ours) and 14.2 to 45.9 (SmolLM2) times."
    ),
    "dora": (
        "DoRA scored −1 to 0 (ours) and −1 to +11 (SmolLM2) points more than LoRA, and its "
        "steps took 1.6 (ours) and 1.6 (SmolLM2) times as long."
    ),
    "variants": (
        "In points more than LoRA of rank 8: PiSSA −24 to +1 (ours) and 0 to +15 (SmolLM2); "
        "LoRA+ −17 to +1 (ours) and +1 to +5 (SmolLM2); rsLoRA of rank 64 0 to +12 (ours) and "
        "+1 to +6 (SmolLM2)."
    ),
    "ia3": ("IA³ reached 3 to 44 % (ours) and 60 to 103 % (SmolLM2) of full fine-tuning's gain."),
    "soft_prompts": (
        "Prefix tuning reached 1 to 77 % (ours) and 30 to 81 % (SmolLM2) of full fine-tuning's "
        "gain, prompt tuning 0 to 1 % (ours) and 12 to 97 % (SmolLM2)."
    ),
    "bottleneck": (
        "Adapters reached 3 to 97 % (ours) and 95 to 102 % (SmolLM2) of full fine-tuning's "
        "gain; a forward pass took 1.15 (ours) and 1.16 (SmolLM2) times the bare model's time."
    ),
    "rates": (
        "The best rate of LoRA of rank 8 was 0.003 (ours) and 0.00095 to 0.003 (SmolLM2), that "
        "of full fine-tuning 9.5e-05 to 0.0003 (ours) and 0.0003 (SmolLM2)."
    ),
    "full_rate": (
        "LoRA's best rate was 10 to 32 (ours) and 3 to 10 (SmolLM2) times full fine-tuning's."
    ),
}
