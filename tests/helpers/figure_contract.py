"""What every figure of the book has to keep to, whatever it shows."""

import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from peftcourse.figures import style


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


class FigureContract:
    """Tests for a class that names a module of figures and draws each of them with small data.

    Attributes:
        module: the module.
        drawn: function's name → a call of it.
    """

    module: ModuleType
    drawn: Mapping[str, Callable[[], Any]]

    def test_figures_have_words_with_a_number_and_take_the_colour_of_the_page(self):
        for draw in self.drawn.values():
            has_words_and_takes_the_page_colour(draw())

    def test_the_same_data_gives_the_same_bytes(self):
        for name, draw in self.drawn.items():
            assert draw() == draw(), name

    def test_every_figure_function_is_drawn(self):
        assert public_functions(self.module) == set(self.drawn)
