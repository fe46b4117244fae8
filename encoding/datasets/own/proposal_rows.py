"""What a folder says of the rows of responses: which stimulus each answers, sessions, repeats, and ceilings from them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from encoding.datasets.own.candidates import ResponseOption, StimulusOption
from encoding.datasets.own.proposal import Draft
from encoding.datasets.own.proposal_columns import values_of
from encoding.datasets.own.survey import FoundArray

REPEATS = re.compile(r"(?i)repeat|(stim|image|img|nsd|picture)[a-z]*_?(id|idx|index|number|order)s?|conditions?$")


def propose_rows(one: ResponseOption, other: StimulusOption, arrays: Sequence[FoundArray], draft: Draft) -> set[Path]:
    """Add lines about the rows; return the files that they name.

    Parameters
    ----------
    one, other : responses and stimuli of the subject. arrays : of the subject and of everybody.
    """
    shown, used = other.shown, set()
    if one.n_rows != other.n_rows:
        vectors = [each for each in arrays if each.shape in ((one.n_rows,), (one.n_rows, 1), (1, one.n_rows)) and each.dtype.kind in "iuf"]
        named = [each for each in vectors if REPEATS.search(Path(each.name).name.split(".")[0])]
        counted = f"{draft.name} has {one.n_rows:,} rows, and {other.n_rows:,} stimuli are named"
        if "events" in other.table:
            what = f"{counted} by the events (rows of files: {_listed(one.counts)}; of tables: {_listed(other.counts)})."
            draft.lacks(what, "events = [the tables of just these rows, in their order]", is_needed=False)
        elif len(named) == 1:
            ids = values_of(named[0].path).astype(int)
            why = f"the stimulus of each row, counted from 0: {ids.min()} to {ids.max()} of {other.n_rows:,}."
            draft.add("repeats", named[0].path, why)
            used.add(named[0].path)
            shown = tuple(map(str, ids))
        else:
            what = f"{counted}: which stimulus does each row answer? (n_rows,) numbers from 0."
            if named:
                what += f" Files of this length: {', '.join(each.name for each in named)}."
            draft.lacks(what, f'repeats = "{named[0].name if named else "repeats.npy"}"')
            return used
    elif len(one.counts) == len(other.counts) > 1 and one.counts != other.counts:
        draft.note(
            f"rows of the files of {draft.name} ({_listed(one.counts)}) and of the events ({_listed(other.counts)}) agree in sum alone."
        )
    times = Counter(shown)
    repeated = [n for n in times.values() if n > 1]
    if len(repeated) > 1:
        if not draft.has("ceiling"):
            why = f"{len(repeated):,} of {len(times):,} stimuli have {min(repeated)} to {max(repeated)} rows; it is estimated from these."
            draft.add("ceiling_from", "ncsnr", why)
        mean = "Rows of a stimulus become their mean."
        options = {"yes": mean, "no": "Every row is a trial of its own, as while nothing is chosen."}
        if draft.choose("average", "Average the rows of each stimulus?", options, is_needed=False) == "yes":
            draft.add("average", True, f"chosen. {mean}")
    n_sessions = max(len(one.counts), len(other.counts) if "events" in other.table else 1)
    if n_sessions > 1:
        scaled = f"Every column is z-scored within each of {n_sessions} files, taken as sessions: betas of sessions differ in scale."
        options = {"yes": scaled, "no": "Numbers stay as they are, as while nothing is chosen."}
        if draft.choose("zscore", "Z-score every column within sessions?", options, is_needed=False) == "yes":
            draft.add("zscore", "session", f"chosen. {scaled}")
    return used


def _listed(counts: Sequence[int]) -> str:
    return ", ".join(f"{n:,}" for n in counts[:8]) + (" …" if len(counts) > 8 else "")
