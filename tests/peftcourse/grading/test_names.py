"""Names are unique, safe wherever they are unpacked, and follow from a submission's own place."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from peftcourse.grading.names import MAX_BYTES, MAX_LENGTH, safe, unique

AWKWARD = st.sampled_from(
    [
        "con",
        "NUL.txt",
        "COM¹",
        "a" * 300,
        "张" * 200,
        "..",
        "-rf",
        "=1+1",
        "é",
        "e\u0301",
        "É",
        "\ud800",
    ]
)
LABELS = st.lists(st.tuples(st.text() | AWKWARD, st.text()), max_size=12)


def is_safe(name: str) -> bool:
    device = name.split(".")[0].rstrip().upper()
    return (
        0 < len(name) <= MAX_LENGTH
        and len(name.encode()) <= MAX_BYTES
        and name[0] not in ".-+=@ "
        and name[-1] not in " ."
        and not set(name) & set('/\\:*?"<>|\0\n')
        and all(unicodedata.category(char)[0] != "C" for char in name)
        and device not in {"CON", "PRN", "AUX", "NUL", "COM1", "COM¹", "LPT9"}
    )


@given(LABELS)
def test_names_are_safe_and_unique_without_regard_to_case(labels):
    names = unique(labels)
    assert len(names) == len(labels)
    assert all(map(is_safe, names)), names
    folded = {unicodedata.normalize("NFKC", name).casefold() for name in names}
    assert len(folded) == len(names)


@given(LABELS, st.randoms())
def test_names_do_not_depend_on_the_order(labels, random):
    labels = list(dict(labels).items())
    shuffled = random.sample(labels, len(labels))
    first, second = unique(labels), unique(shuffled)
    assert dict(zip(labels, first, strict=True)) == dict(zip(shuffled, second, strict=True))


def test_readable_names_stay_as_they_are():
    for name in ("alice", "Ada Lovelace_12345", "José Ñandú", "Ада", "张伟", "ada@example.org"):
        assert safe(name) == name


def test_names_that_clash_are_both_marked_and_nobody_inherits_one():
    first, second, other = unique([("Ada", "x/Ada"), ("ada", "y/ada"), ("Bob", "Bob")])
    assert first.startswith("Ada-") and second.startswith("ada-") and other == "Bob"
    assert unique([("ada", "y/ada"), ("ADA", "z/ADA")])[0] == second
