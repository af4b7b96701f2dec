"""Ratio benchmarks: a peer and peftlab side by side in one process, written to results/."""
