"""Escape text from people, files and links: in Markdown it could load a foreign image or pass for the product's own words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from encoding.storage.keys import short_digits

WORD_JOINER = "\u2060"  # invisible; keeps addresses from becoming links
LONGEST = 120  # characters of a file's name before its digits


def plain(text: object) -> str:
    r"""Escape a text so that ``st.markdown`` and everything else that takes Markdown shows it letter by letter, in one line.

    >>> plain("![x](b.png) *V1* :red[a]")
    '\\!\\[x\\]\\(b\\.png\\) \\*V1\\* \\:red\\[a\\]'
    """
    line = re.sub(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)", WORD_JOINER, " ".join(str(text).split()))
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line)


def file_stem(*words: str, keys: Iterable[str]) -> str:
    """Name of a file to download, without its ending: words, and the first digits of the results that it is of, which tell files apart.

    >>> file_stem("report", "torchvision/alexnet", keys=["fit-3fa92c0e", "fit-71b0de55"])
    'report-torchvision-alexnet-3fa92c-71b0de'
    """
    named = re.sub(r"[/\\\s]", "-", "-".join(words))[:LONGEST]
    return f"{named}-{short_digits(*keys)}"
