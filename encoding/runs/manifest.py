"""The manifest of an exported fit: its members and their checksums, its provenance and its sender."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

FORMAT = "encoding-explorer-fit"
FORMAT_VERSION = 2
MAX_CHARACTERS = 200  # of the sender's name


class BadExchange(ValueError):
    """A file is not an exported fit, is damaged or contradicts itself. The message gives the reason."""


@dataclass(frozen=True)
class Checksum:
    """Size and SHA-256 (64 hex digits) of one member of the archive."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Fields of ``manifest.json`` of an exported fit.

    Attributes
    ----------
    version : of the format; 1 holds each array as a ``.npy`` member, 2 all of them as one ``.safetensors`` member.
    by : who sends the fit; may be empty.
    command : the shell command that fits it again.
    provenance : ``key``, ``created``, ``commit``, ``libraries``, ``machine``, ``python`` and ``made_from`` of the fit.
    files : member of the archive to its checksum.
    texts : name to its strings, for arrays of strings, which safetensors does not hold; empty in version 1.

    Raises
    ------
    BadExchange where a field is missing or of another type.
    """

    version: int
    by: str
    command: str = ""
    provenance: Mapping[str, Any]
    files: Mapping[str, Checksum]
    texts: Mapping[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sound = isinstance(self.by, str) and len(self.by) <= MAX_CHARACTERS and isinstance(self.command, str)
        sound = sound and isinstance(self.provenance, dict) and isinstance(self.files, dict) and isinstance(self.texts, dict)
        if not sound or not all(isinstance(sums, Checksum) for sums in self.files.values()):
            raise BadExchange("The manifest does not hold what it has to.")
        for name, texts in self.texts.items():
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise BadExchange(f"The manifest has no sound list of texts under {name!r}.")

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read and check a manifest.

        Raises
        ------
        BadExchange where it is no JSON, of another format or version, or a field is missing or of another type.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadExchange(f"The manifest cannot be read: {error}") from error
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise BadExchange("This zip is no exported fit.")
        if (version := fields.get("version")) not in (1, FORMAT_VERSION):
            raise BadExchange(f"Another version of this program exported this fit (format {version!r}; 1 and {FORMAT_VERSION} are read).")
        files, texts = fields.get("files"), fields.get("texts", {})
        if isinstance(files, dict):
            files = {name: _checksum(sums) for name, sums in files.items()}
        values = {name: fields.get(name) for name in ("by", "provenance")}
        return cls(version=version, command=fields.get("command", ""), files=files, texts=texts, **values)

    def to_json(self) -> bytes:
        """Serialise the manifest; the inverse of :meth:`from_json`."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1, sort_keys=True).encode()


def _checksum(values: Any) -> Checksum:
    if not isinstance(values, dict) or set(values) != {"bytes", "sha256"}:
        raise BadExchange("The manifest does not hold what it has to.")
    return Checksum(**values)
