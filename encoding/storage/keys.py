"""Keys of results: digests of everything that determines a result."""

from __future__ import annotations

import hashlib
import json


def digest(stage: str, version: int, **inputs: object) -> str:
    """Compute the key of a result, ``<stage>-<20 hexadecimal digits>``.

    Parameters
    ----------
    version : of the stage's algorithm; to be raised when its numbers change.
    inputs : everything else that determines the result, JSON-serialisable; parents enter by their own keys.
    """
    text = json.dumps([stage, version, inputs], sort_keys=True, separators=(",", ":"))
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def short_digits(*keys: str) -> str:
    """First six digits of each key, by which names of files tell results apart: ``3fa92c-71b0de``."""
    return "-".join(key.rpartition("-")[2][:6] for key in keys)


def stage_of(key: str) -> str:
    """Stage of a key: the part before the digest."""
    return key.rpartition("-")[0]
