"""What results/compare_full.json says, in words; written by ``evidence``."""

MEASURED = {
    "lora": (
        "LoRA of rank 8 gained 97 % (voice) and 77 % (slots) of what full fine-tuning gained."
    ),
    "forgetting": (
        "It got worse at stories by 0.96 (voice) and 1.29 (slots) nats per token, full "
        "fine-tuning by 0.74 (voice) and 2.40 (slots)."
    ),
    "qlora": ("QLoRA scored +0.4 (voice) and −1.5 (slots) points more than LoRA."),
    "rank": (
        "Rank 8 scored +7.2 (voice) and +57.5 (slots) points more than rank 1; rank 64 −1.6 "
        "(voice) and −2.0 (slots) points more than rank 8, and with rank-stabilized scaling "
        "+0.1 (voice) and +11.8 (slots) points."
    ),
    "rate": (
        "A rate half a decade from the best one cost 0.6 (voice) and 0.7 (slots) times as much "
        "loss as the step from the best method to the median one, a rate a decade too high 4.0 "
        "(voice) and 18.9 (slots) times."
    ),
    "dora": (
        "DoRA scored −1.3 (voice) and +0.1 (slots) points more than LoRA, and its steps took "
        "1.6 times as long."
    ),
    "ia3": ("IA³ gained 44 % (voice) and 3 % (slots) of what full fine-tuning gained."),
    "soft_prompts": (
        "Prefix tuning gained 77 % (voice) and 1 % (slots) of what full fine-tuning gained, "
        "prompt tuning 0 % (voice) and 0 % (slots)."
    ),
    "bottleneck": (
        "Adapters gained 97 % (voice) and 3 % (slots) of what full fine-tuning gained, and a "
        "forward pass took 1.15 times as long as the bare model's."
    ),
    "full_rate": ("LoRA's best rate was 32 (voice) and 10 (slots) times full fine-tuning's."),
}
