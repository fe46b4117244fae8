"""Fetching a file that a person asked for: it goes on where it stopped, is checked, and appears when whole.

What has arrived waits beside the target as ``<name>.part``, with the server's mark of that version (its ETag) in
``<name>.part.etag``; it is continued only where the server still has the same version.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlparse

from filelock import FileLock

from encoding.runtime.progress import Report, silent
from encoding.storage.fingerprints import sha256 as sha256_of

SECONDS_TO_ANSWER = 8  # for the server, before it counts as out of reach
CHUNK = 2**20
HUB = "huggingface.co"
SHA256_DIGITS = 64


def fetch(address: str, target: Path, *, sha256: str = "", report: Report = silent) -> Path:
    """The file at ``address``, at ``target`` once it is whole and checked; fetched before, it is not fetched again.

    Parameters
    ----------
    sha256 : hex digits that the hash of its bytes begins with; empty where none is published. Files of the Hugging Face
        hub are held against the hash that the hub states.
    report : told bytes done; what it raises stops the work, and the next call goes on from there.

    Raises
    ------
    OSError where the server is out of reach, or sent other bytes than were promised: these are thrown away.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, mark = (target.with_name(target.name + end) for end in (".part", ".part.etag"))
    lock = target.with_name(target.name + ".lock")
    try:
        with FileLock(lock):
            if not target.is_file():
                promised = sha256 or _hub_hash(address)
                _receive(address, part, mark, report)
                mark.unlink(missing_ok=True)
                if not sha256_of(part).startswith(promised):
                    part.unlink()
                    raise OSError(f"what {address} sent has not the checksum that was promised, {promised}")
                part.replace(target)
    finally:
        lock.unlink(missing_ok=True)
    report(1.0, f"fetched {target.name}")
    return target


def _receive(address: str, part: Path, mark: Path, report: Report) -> None:
    """All of the file into ``part``, from where an earlier call stopped if the server still has that version."""
    there = part.stat().st_size if part.is_file() and mark.is_file() else 0
    asked = {"Range": f"bytes={there}-", "If-Range": mark.read_text()} if there else {}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, headers=asked), timeout=SECONDS_TO_ANSWER)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not there:  # 416: nothing is left to be sent, or the file is another one
            raise
        mark.unlink()
        return _receive(address, part, mark, report)
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        done = file.tell()
        if etag := answer.headers.get("ETag"):
            mark.write_text(etag)
        else:
            mark.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        whole = done + int(length) if length else None
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            of = f" of {whole / 1e6:,.0f}" if whole else ""
            report(min(0.99, done / whole) if whole else 0.0, f"fetching {part.stem}: {done / 1e6:,.0f}{of} MB")
    if whole is not None and done != whole:
        raise OSError(f"{address} broke off after {done:,} of {whole:,} bytes; ask again to go on from there")
    return None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Does not follow: the hub states a file's hash in the answer that points elsewhere."""

    def redirect_request(self, req: object, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str) -> None:
        return None


def _hub_hash(address: str) -> str:
    """The sha256 that the Hugging Face hub states for a large file; empty elsewhere and for small ones."""
    if urlparse(address).hostname != HUB:
        return ""
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.build_opener(_Stay).open(request, timeout=SECONDS_TO_ANSWER) as answer:
            return stated_hash(answer.headers)
    except urllib.error.HTTPError as error:
        if 300 <= error.code < 400:
            return stated_hash(error.headers)
        raise


def stated_hash(headers: Mapping[str, str]) -> str:
    """The sha256 in the hub's headers, empty where there is none.

    >>> stated_hash({"X-Linked-ETag": '"' + "ab" * 32 + '"'}) == "ab" * 32
    True
    """
    found = (headers.get("X-Linked-ETag") or "").strip('"').lower()
    return found if len(found) == SHA256_DIGITS and all(digit in "0123456789abcdef" for digit in found) else ""
