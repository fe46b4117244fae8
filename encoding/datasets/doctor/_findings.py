"""Findings of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from encoding.datasets import BadData
from encoding.datasets.own.arrays import UNREADABLE
from encoding.storage.files import is_passing


@dataclass(frozen=True)
class Finding:
    """One finding: ``ok``, ``warning`` (usable) or ``error`` (the subject cannot be opened)."""

    level: str
    what: str
    meaning: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.level:8s}" + " ".join(part for part in (self.what, self.meaning, self.fix) if part)


def found_by(check: Iterator[Finding], name: str = "") -> Iterator[Finding]:
    """Yield the findings of one check, prefixed by the name of what was examined, if any; damage is turned into a finding.

    Raises
    ------
    OSError where the system cannot read a file now: that says nothing about the data, and findings are kept until the data change.
    """
    while True:
        try:
            finding = next(check)
        except StopIteration:
            return
        except (BadData, OSError) as error:
            if is_passing(error):
                raise
            finding = Finding("error", str(error), "Until then the subject cannot be opened.")
        except UNREADABLE as error:  # a fault that no reader names; it must not keep the doctor from all other data
            if isinstance(error, MemoryError):
                raise
            what = f"a file cannot be read ({type(error).__name__}: {error})."
            finding = Finding("error", what, "Until then the subject cannot be opened.")
        yield Finding(finding.level, f"{name}: {finding.what}" if name else finding.what, finding.meaning, finding.fix)
