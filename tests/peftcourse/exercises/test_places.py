"""What is special about the places and the cases that an answer gets wrong."""

import torch

from peftcourse.exercises.places import special_cases, special_places

X = torch.tensor([[1.0, -2.0, 0.0], [3.0, 0.5, -1.0]])
LABELS = torch.tensor([[-100, 4, 2], [1, -100, 3]])


def place(mask):
    return special_places([{"x": X, "labels": LABELS}], [mask])


def test_a_property_of_an_input_is_named():
    assert place(X < 0) == "`x` is negative"
    assert place(LABELS == -100) == "`labels` is -100"
    assert place(X == 0.5) == "`x` is exactly between two whole numbers"
    assert place(X == 3) == "`x` is largest"


def test_rows_and_columns_are_named():
    first = torch.zeros(2, 4, dtype=torch.bool)
    first[0] = True
    assert special_places([{}], [first]) == "it is the first index of axis 0"
    assert special_places([{}], [first.T]) == "it is the first index of axis 1"
    assert special_places([{}], [torch.ones(3, 3).triu(1).bool()]) == "it is above the diagonal"


def test_an_input_along_the_first_axes_marks_whole_rows():
    mask = (LABELS == -100)[..., None].expand(2, 3, 5)
    assert place(mask) == "`labels` is -100"


def test_nothing_is_said_of_places_without_a_pattern():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[0, 1] = mask[1, 0] = True
    assert place(mask) == ""
    assert place(torch.ones(2, 3, dtype=torch.bool)) == ""
    assert special_places([{}], [None]) == ""


def test_what_holds_in_one_case_only_is_not_said():
    other = {"x": -X, "labels": LABELS}
    assert special_places([{"x": X}, other], [X < 0, X < 0]) == ""


def test_cases_are_told_by_what_they_say_of_themselves_or_by_their_kind():
    cases = [{"bias": None}, {"bias": X}, {"bias": X.double()}]
    assert special_cases(cases, ["", "two are equal", ""], [1]) == "two are equal"
    assert special_cases(cases, ["", "", ""], [0]) == "`bias` is None"
    assert special_cases(cases, ["", "", ""], [2]) == "`bias` is float64"
    assert special_cases(cases, ["", "", ""], [0, 1, 2]) == ""
    assert special_cases([{"n": 1}, {"n": 2}], ["", ""], [1]) == ""
