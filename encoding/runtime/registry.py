"""A named set of things, filled by the modules of one folder."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


def unknown(kind: str, name: str, known: Iterable[str], *, show: int = 12) -> str:
    """The sentence that says ``name`` does not exist, what is near it and what does exist.

    Examples
    --------
    >>> unknown("readout", "rigde", ["ols", "ridge"])
    "Unknown readout 'rigde'. Did you mean 'ridge'? Known: ols, ridge."
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    rest = f" and {len(known) - show} more" if len(known) > show else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known[:show])}{rest}."


class UnknownName(LookupError):
    """Asked for a name that does not exist. The message holds the nearest one and those that do."""


class Registry(Mapping[str, T]):
    """Names to things; the modules of ``package`` add theirs when it is first looked into.

    A module is one file in the package's folder whose name has no leading underscore. Importing it
    calls :meth:`register`, so adding a member is adding a file.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._members: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str, member: T) -> T:
        """Add ``member`` under ``name``; ValueError where the name is taken."""
        if name in self._members:
            raise ValueError(f"{self.kind} {name!r} is registered twice.")
        self._members[name] = member
        return member

    def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
                if not module.ispkg and not module.name.startswith("_"):
                    importlib.import_module(f"{self.package}.{module.name}")

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._members))

    def __len__(self) -> int:
        self._load()
        return len(self._members)

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._members:
            raise UnknownName(unknown(self.kind, name, self))
        return self._members[name]

    def __contains__(self, name: object) -> bool:  # Mapping's own expects KeyError
        self._load()
        return name in self._members

    def get(self, name: str, default: T | None = None) -> T | None:  # Mapping's own expects KeyError
        """The member of that name, or ``default``."""
        return self[name] if name in self else default  # noqa: SIM401 - this is get
