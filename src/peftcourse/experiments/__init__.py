"""Base models, tasks, training and evaluation: what the experiments of the course are made of."""
