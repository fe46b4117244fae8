"""Plans of many fits that share opened subjects, folds and target groups."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

from encoding.datasets import DATASETS, Subject
from encoding.fits.plan import Plan, plan
from encoding.fits.spec import FitSpec
from encoding.runtime.progress import Report, silent
from encoding.storage.store import Store


class Plans:
    """Plans by spec, each made once. Arrays that plans have in common are kept once, so that thousands of plans fit into memory.

    Parameters
    ----------
    store : the Store of the fits.
    subjects : (data set, subject) to subjects that are open already.
    """

    def __init__(self, store: Store, *, subjects: Mapping[tuple[str, str], Subject] | None = None) -> None:
        self._store = store
        self._plans: dict[FitSpec, Plan] = {}
        self._subjects = dict(subjects or {})
        self._shared: dict[Hashable, Any] = {}

    def get(self, spec: FitSpec, report: Report = silent) -> Plan:
        """Return the plan of a spec; raises what :func:`encoding.fits.plan.plan` raises."""
        if spec not in self._plans:
            self._plans[spec] = self._make(spec, report)
        return self._plans[spec]

    def __len__(self) -> int:
        return len(self._plans)

    def forget(self) -> None:
        """Drop everything, so that data which changed on disk are opened again."""
        for kept in (self._plans, self._subjects, self._shared):
            kept.clear()

    def _make(self, spec: FitSpec, report: Report) -> Plan:
        named = (spec.dataset, spec.subject)
        if named not in self._subjects:
            DATASETS[spec.dataset].check_subject(spec.subject)
            self._subjects[named] = DATASETS[spec.dataset].open(spec.subject, self._store, report)
        made = plan(spec, self._store, report, subject=self._subjects[named])
        folds = self._shared.setdefault((named, spec.split), made.folds)
        groups = tuple((group.name, group.whole) for group in made.target_groups)
        key = (named, spec.target_groups, spec.hemi, spec.rois, made.readout.per_target, groups)
        return replace(made, folds=folds, target_groups=self._shared.setdefault(key, made.target_groups))
