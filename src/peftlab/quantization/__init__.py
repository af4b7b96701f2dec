"""Lesson 06: number formats, NF4, layers that store their weight in 4 bits, and QLoRA's files."""
