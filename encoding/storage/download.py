"""Download a file: resumable, checked against its size and hash, and never left half written.

No library at hand resumes and checks both: pooch and ``torch.hub.download_url_to_file`` start again, and
``huggingface_hub`` serves the hub alone and compares sizes, not hashes. So ``requests`` transfers, and the rest is here.
What has arrived waits beside the target as ``<name>.part``, with the server's mark of that version (its ETag, or else its date) in
``<name>.part.etag``; it is continued only where the server still has the same version.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlparse

from filelock import FileLock

from encoding.runtime.progress import Report, silent
from encoding.storage.files import open_regular

SECONDS_TO_ANSWER = 8  # for the server, before it counts as out of reach
SECONDS_BETWEEN_TRIES = 1.0  # doubled with each
CHUNK = 2**17  # what a broken transfer loses at most
SPARE_BYTES = 500e6  # of the disk, that a download leaves free
HUB = "huggingface.co"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def fetch(
    address: str,
    target: Path,
    *,
    sha256: str = "",
    md5: str = "",
    n_bytes: int | None = None,
    n_tries: int = 1,
    report: Report = silent,
) -> Path:
    """Download ``address`` to ``target`` unless it is there.

    Parameters
    ----------
    address : ``https``; ``http`` only of this machine. Redirects to anything else are refused.
    sha256 : hex digits that the hash of the bytes begins with; empty where none is published. Files of the Hugging Face
        hub are then compared with the hash that the hub states.
    md5 : the same, where this is what is published.
    n_bytes : published size of the file, if there is one.
    n_tries : how often a transfer that breaks off is continued before it fails; tries that brought bytes do not count.
    report : called with the share of bytes received; what it raises stops the download, and the next call continues it.

    Returns
    -------
    ``target``

    Raises
    ------
    OSError where the server is out of reach, the disk has no room, or the bytes have another size or hash: these are thrown away.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, lock = (target.with_name(target.name + end) for end in (".part", ".lock"))
    with FileLock(lock):
        if not target.is_file():
            stated = _receive_with_patience(address, part, n_bytes, n_tries, report)
            _mark(part).unlink(missing_ok=True)
            if wrong := difference(part, sha256=sha256 or stated, md5=md5, n_bytes=n_bytes):
                part.unlink()
                raise OSError(f"what {address} sent {wrong}")
            part.replace(target)
        lock.unlink(missing_ok=True)  # only now: who waits for a lock that is gone finds the target, and does not write beside another
    report(1.0, f"fetched {target.name}")
    return target


def difference(path: Path, *, sha256: str = "", md5: str = "", n_bytes: int | None = None) -> str:
    """How a file differs from what was published, as the end of a sentence; empty where it does not. Arguments as of :func:`fetch`."""
    size = path.stat().st_size
    if n_bytes is not None and size != n_bytes:
        return f"has {size:,} bytes, and the file was published with {n_bytes:,}"
    wrong = next((digits for name, digits in (("sha256", sha256), ("md5", md5)) if digits and not _hash(path, name).startswith(digits)), "")
    return f"has not the checksum that was promised, {wrong}" if wrong else ""


def received_bytes(target: Path) -> int:
    """How much of a file is here: all of it, or what an interrupted download left."""
    part = target.with_name(target.name + ".part")
    return next((path.stat().st_size for path in (target, part) if path.is_file()), 0)


def _mark(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _hash(path: Path, algorithm: str) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _receive_with_patience(address: str, part: Path, n_bytes: int | None, n_tries: int, report: Report) -> str:
    """Call :func:`_receive` until it succeeds, or ``n_tries`` tries in a row brought nothing."""
    import requests

    n_empty = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            return _receive(address, part, n_bytes, report)
        except OSError as error:
            passing = isinstance(error, BrokenOff | requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError)
            grew = part.is_file() and part.stat().st_size > before
            n_empty = 0 if grew and n_tries > 1 else n_empty + 1
            if not passing or n_empty >= n_tries:
                raise
        seconds = SECONDS_BETWEEN_TRIES * 2**n_empty
        there = part.stat().st_size if part.is_file() else 0
        waiting = f"{urlparse(address).hostname} broke off or does not answer; asking again, try {n_empty + 1} of {n_tries}"
        report(there / n_bytes if n_bytes else 0.0, waiting)
        time.sleep(seconds)


class BrokenOff(OSError):
    """A transfer ended before the file was whole."""


def _receive(address: str, part: Path, n_bytes: int | None, report: Report) -> str:
    """Complete ``part``, and return the sha256 that the hub states (empty elsewhere)."""
    import requests

    check_address(address)
    mark = _mark(part)
    there = part.stat().st_size if part.is_file() and mark.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-", "If-Range": mark.read_text()} if there else {})
    with requests.get(address, headers=headers, stream=True, timeout=SECONDS_TO_ANSWER, hooks={"response": _check_redirect}) as answer:
        if answer.status_code == 416 and there:  # nothing is left to be sent, or the file is another one
            mark.unlink()
            return _receive(address, part, n_bytes, report)
        answer.raise_for_status()
        continues = answer.status_code == 206
        same = _starts_at(answer.headers.get("Content-Range"), there) and (not there or _is_version(answer.headers, headers["If-Range"]))
        if continues and not same:
            mark.unlink()
            return _receive(address, part, n_bytes, report)
        length = answer.headers.get("Content-Length")
        whole = (there if continues else 0) + int(length) if length else None
        if n_bytes is not None and whole is not None and whole != n_bytes:
            raise OSError(f"{address} has {whole:,} bytes, and the file was published with {n_bytes:,}")
        _check_room(part, (whole or n_bytes or 0) - (there if continues else 0))
        with part.open("ab" if continues else "wb") as file:
            done = file.tell()
            if version := _version(answer.headers):
                mark.write_text(version)
            else:
                mark.unlink(missing_ok=True)
            limit = whole if whole is not None else n_bytes
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if limit is not None and done > limit:
                    raise OSError(f"{address} sends more than the {limit:,} bytes that were announced")
                of = f" of {whole / 1e6:,.0f}" if whole else ""
                report(min(0.99, done / whole) if whole else 0.0, f"fetching {part.stem}: {done / 1e6:,.0f}{of} MB")
    if whole is not None and done != whole:
        raise BrokenOff(f"{address} broke off after {done:,} of {whole:,} bytes; ask again to go on from there")
    if urlparse(address).hostname != HUB:
        return ""
    return next(filter(None, (stated_hash(step.headers) for step in [*answer.history, answer])), "")  # the redirection states it


def reason_of(error: OSError) -> str:
    """Say in a few words why a download failed: the kind of ``error``, and the innermost of the errors that it wraps.

    >>> reason_of(OSError(28, "No space left on device"))
    'OSError: [Errno 28] No space left on device'
    >>> reason_of(OSError("403 Forbidden for url: https://host.example/weights.pt?Signature=1f"))
    'OSError: 403 Forbidden for url: https://host.example/weights.pt'
    """
    inner: BaseException | None = error
    while inner is not None:
        last, wrapped = inner, (getattr(inner, "original_error", None), getattr(inner, "reason", None), *inner.args)
        inner = next((each for each in wrapped if isinstance(each, Exception)), None)
    text = re.sub(r"(https?://[^\s?]*)\?\S*", r"\1", str(last))  # what follows may be a signature
    return f"{type(error).__name__}: {text.rpartition('): ')[2] if last is not error else text}"  # without urllib3's name of the connection


def check_address(address: str, *, origin: str = "") -> None:
    """Check that an address is ``https``, or ``http`` of this machine.

    Parameters
    ----------
    origin : address that redirected to this one; only this machine may redirect to itself.

    Raises
    ------
    OSError for any other.
    """
    to, start = urlparse(address), urlparse(origin or address)
    local = to.hostname in LOOPBACK
    if not (to.hostname and (to.scheme == "https" or (to.scheme == "http" and local))) or (local and start.hostname not in LOOPBACK):
        raise OSError(f"{f'{origin} leads to ' if origin else ''}{address}, which is not an https address; nothing was fetched from it")


def _check_redirect(answer: Any, *args: Any, **more: Any) -> None:
    if answer.is_redirect:
        check_address(urljoin(answer.url, answer.headers["Location"]), origin=answer.url)


def _starts_at(content_range: str | None, place: int) -> bool:
    """Whether a Content-Range begins at a byte; true where the server does not say."""
    match = re.match(r"bytes (\d+)-", content_range or "")
    return match is None or int(match[1]) == place


def _is_version(headers: Mapping[str, str], mark: str) -> bool:
    """Whether an answer is of the version of a mark, which not every server compares; true where the answer does not say."""
    return headers.get("ETag" if mark.startswith('"') else "Last-Modified") in (None, mark)


def _version(headers: Mapping[str, str]) -> str:
    """What If-Range compares: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


def _check_room(part: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if n_bytes and n_bytes + SPARE_BYTES > free:
        raise OSError(
            f"{part.parent} has {free / 1e9:,.1f} GB free, and {part.stem} needs {n_bytes / 1e9:,.1f} GB. Free some, or use another disk."
        )


def stated_hash(headers: Mapping[str, str]) -> str:
    """The sha256 in the hub's headers, empty where there is none.

    >>> stated_hash({"X-Linked-ETag": '"' + "ab" * 32 + '"'}) == "ab" * 32
    True
    """
    match = re.fullmatch(r'"?([0-9a-f]{64})"?', (headers.get("X-Linked-ETag") or "").lower())
    return match[1] if match else ""
