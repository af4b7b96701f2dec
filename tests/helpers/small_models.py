"""The small random models of ``peftlab parity``, which the tests share."""

from peftcourse.parity.models import (
    FAMILIES,
    GQA,
    build,
    llama,
    randomise_adapter,
    relative_error,
    token_ids,
)

__all__ = [
    "FAMILIES",
    "GQA",
    "build",
    "llama",
    "randomise_adapter",
    "relative_error",
    "token_ids",
]
