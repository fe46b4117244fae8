"""Escape text from people, files and links: in Markdown it could load a foreign image or pass for the product's own words."""

from __future__ import annotations

import re

WORD_JOINER = "\u2060"  # invisible; keeps addresses from becoming links


def plain(text: object) -> str:
    r"""Escape a text so that ``st.markdown`` and everything else that takes Markdown shows it letter by letter, in one line.

    >>> plain("![x](b.png) *V1* :red[a]")
    '\\!\\[x\\]\\(b\\.png\\) \\*V1\\* \\:red\\[a\\]'
    """
    line = re.sub(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)", WORD_JOINER, " ".join(str(text).split()))
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line)
