"""Grading a class: answers out of notebooks, run in a sandbox, judged outside it, reported."""
