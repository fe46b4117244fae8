"""Find files whose names are spelled in another way on disk: accents composed (Windows, Linux) or decomposed (macOS), capitals."""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def decoded(content: bytes) -> str:
    """Decode text by its byte order mark, UTF-8 without one."""
    return content.decode(next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8"))


def plain(name: str) -> str:
    """A name with composed accents and without capitals, by which names that look alike are equal."""
    return unicodedata.normalize("NFC", name).casefold()


def same_name(first: str, second: str) -> bool:
    """Whether two names differ in the composition of accents at most."""
    return unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)


def on_disk(path: Path) -> Path:
    """Return ``path`` as its folders and file are named on disk, where that differs in the composition of accents at most."""
    if path.exists() or path == path.parent:
        return path
    folder = on_disk(path.parent)
    there = folder.iterdir() if folder.is_dir() else ()
    return next((each for each in there if same_name(each.name, path.name)), path)


def near_name(path: Path) -> str:
    """A sentence with the file that has the name of a missing one but for capitals; empty where there is none."""
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    near = next((each.name for each in there if plain(each.name) == plain(path.name)), None)
    return f"Did you mean {near}, with other capitals? " if near else ""
