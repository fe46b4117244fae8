"""The name of a result: a digest of everything that determines it."""

from __future__ import annotations

import hashlib
import json


def digest(stage: str, version: int, **inputs: object) -> str:
    """Name a result by everything that determines it: ``stage-<20 hex digits>``.

    ``inputs`` must be JSON-able; parents enter by their own digests. ``version`` is raised by a
    person when the stage's numbers change.
    """
    text = json.dumps([stage, version, inputs], sort_keys=True, separators=(",", ":"))
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def stage_of(key: str) -> str:
    """The stage a digest belongs to."""
    return key.rpartition("-")[0]
