"""Tables of a TOML file read key by key. Every complaint names the file, the key and the mend."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoding.datasets._base import BadData
from encoding.runtime.registry import unknown


@dataclass(frozen=True)
class Section:
    """One table of a TOML file.

    Attributes
    ----------
    file : the TOML file; paths in it are relative to its folder.
    name : the table's dotted name; empty for the file as a whole.
    values : what is in it.
    """

    file: Path
    name: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, file: Path) -> Section:
        """A whole file; :class:`BadData` where it cannot be read as TOML."""
        try:
            return cls(file, "", tomllib.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise BadData(f"{file} cannot be read ({error.strerror}). Mend its permissions or write it again.") from error
        except UnicodeDecodeError as error:
            raise BadData(f"{file} is not text in UTF-8 ({error}). Save it again as UTF-8.") from error
        except tomllib.TOMLDecodeError as error:
            raise BadData(
                f'{file} is not TOML: {error}. Text stands in quotes (title = "Mine"), tables in brackets ([stimuli]).'
            ) from error

    def knows(self, *keys: str) -> None:
        """:class:`BadData` where the table has another key than these, with the nearest of them."""
        where = f" in [{self.name}]" if self.name else ""
        for key in self.values:
            if key not in keys:
                raise BadData(f"{self.file}: {unknown(f'key{where}', key, keys, show=len(keys))}")

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def wrong(self, key: str, needed: str) -> BadData:
        """The complaint that what ``key`` says is not what is needed."""
        found = f", not {self.values[key]!r}" if key in self.values else ""
        return BadData(f"{self.file}: {self.path_of(key)} must be {needed}{found}.")

    def path_of(self, key: str) -> str:
        """The dotted name of a key."""
        return f"{self.name}.{key}" if self.name else key

    def text(self, key: str, default: str = "") -> str:
        return self._kind(key, str, "text in quotes", default)

    def flag(self, key: str, default: bool = False) -> bool:
        return self._kind(key, bool, "true or false", default)

    def file_at(self, key: str) -> Path | None:
        """The path that ``key`` names, absolute or from the TOML file's folder; None where the key is missing."""
        text = self._kind(key, str, 'the path of a file or folder in quotes, such as "responses.npy"', None)
        return None if text is None else self.file.parent / Path(text).expanduser()

    def section(self, key: str) -> Section:
        """The table under ``key``, an empty one where it is missing."""
        return Section(self.file, self.path_of(key), self._kind(key, dict, f"a table, such as [{self.path_of(key)}]", {}))

    def sections(self) -> Iterable[tuple[str, Section]]:
        """Every key with the table under it."""
        return [(key, self.section(key)) for key in self.values]

    def files(self) -> dict[str, Path]:
        """Every key with the path it names."""
        return {key: self.file_at(key) for key in self.values}

    def checked(self, key: str, check: Callable[[Any], Any], default: str) -> str:
        """Text that ``check`` takes; its ValueError becomes :class:`BadData` naming the key."""
        text = self.text(key, default)
        try:
            check(text)
        except ValueError as error:
            raise BadData(f"{self.file}: {self.path_of(key)}: {error}") from error
        return text

    def _kind(self, key: str, kind: type, needed: str, default: Any) -> Any:
        value = self.values.get(key, default)
        if key in self.values and not isinstance(value, kind):
            raise self.wrong(key, needed)
        return value
