"""What every figure of the book has to keep to, whatever it shows."""

import inspect
import re

from peftlab.figures import style


def has_words_and_takes_the_page_colour(figure) -> None:
    """A caption and an alt text that state a finding with a number; colours of the page."""
    for words in (figure.alt, figure.caption):
        assert len(words) > 40
        assert re.search(r"\d", words)
    assert "currentColor" in figure.svg and style.INK not in figure.svg
    assert "#ffffff" not in figure.svg


def public_functions(module) -> set[str]:
    """Names of the figures that a module draws."""
    return {
        name
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and not name.startswith("_")
    }
