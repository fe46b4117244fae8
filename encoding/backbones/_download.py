"""Download a file: resumable, checked against its hash, and never left half written.

No library at hand resumes and checks both: pooch and ``torch.hub.download_url_to_file`` start again, and
``huggingface_hub`` serves the hub alone and compares sizes, not hashes. So ``requests`` transfers, and the rest is here.
What has arrived waits beside the target as ``<name>.part``, with the server's mark of that version (its ETag) in
``<name>.part.etag``; it is continued only where the server still has the same version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

from filelock import FileLock

from encoding.runtime.progress import Report, silent
from encoding.storage.fingerprints import sha256 as sha256_of

SECONDS_TO_ANSWER = 8  # for the server, before it counts as out of reach
CHUNK = 2**20
HUB = "huggingface.co"


def fetch(address: str, target: Path, *, sha256: str = "", report: Report = silent) -> Path:
    """Download ``address`` to ``target`` unless it is there.

    Parameters
    ----------
    sha256 : hex digits that the hash of the bytes begins with; empty where none is published. Files of the Hugging Face
        hub are then compared with the hash that the hub states.
    report : called with the share of bytes received; what it raises stops the download, and the next call continues it.

    Returns
    -------
    ``target``

    Raises
    ------
    OSError where the server is out of reach, or sent bytes of another hash: these are thrown away.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, lock = (target.with_name(target.name + end) for end in (".part", ".lock"))
    with FileLock(lock):
        if not target.is_file():
            stated = _receive(address, part, report)
            promised = sha256 or stated
            _mark(part).unlink(missing_ok=True)
            if not sha256_of(part).startswith(promised):
                part.unlink()
                raise OSError(f"what {address} sent has not the checksum that was promised, {promised}")
            part.replace(target)
        lock.unlink(missing_ok=True)  # only now: who waits for a lock that is gone finds the target, and does not write beside another
    report(1.0, f"fetched {target.name}")
    return target


def _mark(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _receive(address: str, part: Path, report: Report) -> str:
    """Complete ``part``, and return the sha256 that the hub states (empty elsewhere)."""
    import requests

    mark = _mark(part)
    there = part.stat().st_size if part.is_file() and mark.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-", "If-Range": mark.read_text()} if there else {})
    with requests.get(address, headers=headers, stream=True, timeout=SECONDS_TO_ANSWER) as answer:
        if answer.status_code == 416 and there:  # nothing is left to be sent, or the file is another one
            mark.unlink()
            return _receive(address, part, report)
        answer.raise_for_status()
        with part.open("ab" if answer.status_code == 206 else "wb") as file:
            done = file.tell()
            if etag := answer.headers.get("ETag"):
                mark.write_text(etag)
            else:
                mark.unlink(missing_ok=True)
            length = answer.headers.get("Content-Length")
            whole = done + int(length) if length else None
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                of = f" of {whole / 1e6:,.0f}" if whole else ""
                report(min(0.99, done / whole) if whole else 0.0, f"fetching {part.stem}: {done / 1e6:,.0f}{of} MB")
    if whole is not None and done != whole:
        raise OSError(f"{address} broke off after {done:,} of {whole:,} bytes; ask again to go on from there")
    if urlparse(address).hostname != HUB:
        return ""
    return next(filter(None, (stated_hash(step.headers) for step in [*answer.history, answer])), "")  # the redirection states it


def stated_hash(headers: Mapping[str, str]) -> str:
    """The sha256 in the hub's headers, empty where there is none.

    >>> stated_hash({"X-Linked-ETag": '"' + "ab" * 32 + '"'}) == "ab" * 32
    True
    """
    match = re.fullmatch(r'"?([0-9a-f]{64})"?', (headers.get("X-Linked-ETag") or "").lower())
    return match[1] if match else ""
