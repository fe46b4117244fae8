"""Registries: names to members, from the modules of one folder and the entry points of other installed packages."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

T = TypeVar("T")
LEAST_LIKENESS = 0.5  # of a name that is proposed, from 0 to 1


def unknown(kind: str, name: object, known: Iterable[str], *, show: int = 12) -> str:
    """Error text for an unknown name, with the nearest match and the known names.

    Examples
    --------
    >>> unknown("readout", "rigde", ["ols", "ridge"])
    "Unknown readout 'rigde'. Did you mean 'ridge'? Known: ols, ridge."
    """
    text = str(name)
    folder = f"{text.rpartition('/')[0]}/"
    known = sorted(known, key=lambda each: not each.startswith(folder)) if "/" in text else list(known)
    close = [each for each in difflib.get_close_matches(text, known, n=5, cutoff=LEAST_LIKENESS) if _is_near(text, each)]
    hint = f" Did you mean {close[0]!r}?" if close else ""
    rest = f" and {len(known) - show} more" if len(known) > show else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known[:show]) or 'none'}{rest}."


def _is_near(name: str, other: str) -> bool:
    """Whether two names are alike in what follows the folders that they share."""
    while "/" in name and "/" in other and name.partition("/")[0] == other.partition("/")[0]:
        name, other = name.partition("/")[2], other.partition("/")[2]
    return difflib.SequenceMatcher(None, name, other).ratio() >= LEAST_LIKENESS


class UnknownName(LookupError):
    """A name that does not exist. The message holds the nearest match and the known names."""


class Registry(Mapping[str, T]):
    """Mapping of names to members, filled on first access from the modules of a package and from entry points.

    A module is one file in the package's folder whose name has no leading underscore. Importing it calls :meth:`register`, so adding
    a member is adding a file. Another installed package adds one through an entry point of ``group``: its name is the member's, its
    value ``module:attribute`` the member itself or a class, which is called without arguments. An entry point that cannot be loaded,
    or whose name is taken, is left out with a warning that names its package. Threads that access a registry while another fills it
    wait; a module that is imported to fill it sees what there is so far.

    Parameters
    ----------
    kind : what a member is called in messages.
    package : the package whose modules register members.
    group : of entry points; none are looked for where it is empty.
    """

    _filling = threading.RLock()  # one for all registries: as a registry is filled, a module may read another

    def __init__(self, kind: str, package: str, *, group: str = "") -> None:
        self.kind, self.package, self.group = kind, package, group
        self._members: dict[str, T] = {}
        self._loaded = self._is_loading = False

    def register(self, name: str, member: T) -> T:
        """Add ``member`` under ``name``; ValueError where the name is taken."""
        if name in self._members:
            raise ValueError(f"{self.kind} {name!r} is registered twice.")
        self._members[name] = member
        return member

    def _load(self) -> None:
        if self._loaded:
            return
        with self._filling:
            if self._loaded or self._is_loading:
                return
            self._is_loading = True
            try:
                self._import_members()
                self._loaded = True
            finally:
                self._is_loading = False

    def _import_members(self) -> None:
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            if not module.ispkg and not module.name.startswith("_"):
                importlib.import_module(f"{self.package}.{module.name}")
        for entry_point in entry_points(group=self.group) if self.group else ():
            self._load_entry_point(entry_point)

    def _load_entry_point(self, entry_point: EntryPoint) -> None:
        origin = "another package" if entry_point.dist is None else entry_point.dist.name
        if entry_point.name in self._members:
            warnings.warn(f"{self.kind} {entry_point.name!r} of {origin} is left out: there is one of that name.", stacklevel=5)
            return
        try:
            member = entry_point.load()
            self._members[entry_point.name] = member() if isinstance(member, type) else member
        except Exception as error:  # another package's code, which may fail in any way
            warnings.warn(f"{self.kind} {entry_point.name!r} of {origin} cannot be loaded: {type(error).__name__}: {error}", stacklevel=5)

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
