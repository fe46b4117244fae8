"""List the finished fits of a Store as one table, with the users' notes and tags."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.datasets import DATASETS, Subject
from encoding.evaluation.noise_ceiling import noise_share, of_means
from encoding.evaluation.normalised_scores import from_r, has_model
from encoding.evaluation.scores import SCORES, STORED_SCORES
from encoding.evaluation.splits import ALL, WITHIN
from encoding.fits.open import find_key, open_fit
from encoding.fits.plan import folds_of
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.fits.vertex_scores import pooled_key
from encoding.plots.look import network_name
from encoding.runs.exchange import open_imported
from encoding.runs.labels import model_label, readout_title, subject_label
from encoding.runtime.csv import to_csv
from encoding.runtime.progress import Report, silent
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.atomic import atomic_file
from encoding.storage.files import open_regular, passing_errors_of
from encoding.storage.keys import short_digits, stage_of
from encoding.storage.npy import read_npy
from encoding.storage.store import PROVENANCE, Store

if TYPE_CHECKING:
    import pandas as pd

FIT_STAGES = ("fit", "imported")
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)  # what reading a damaged file raises
KEY = re.compile(r"(fit|imported)-[0-9a-f]{20}")
MOST_NOTE, MOST_TAG, MOST_TAGS = 2_000, 40, 20  # characters, characters, tags
SCORE_COLUMNS = tuple(score.column(statistic) for score in SCORES.values() for statistic in score.statistics)
NUMBERS = (*SCORE_COLUMNS, "seconds")
COLUMNS = (
    "dataset", "subject", "targets", "backbone", "layers", "components", "readout", "options", "split", *SCORE_COLUMNS,
    "made", "seconds", "device",
)  # fmt: skip
"""What the table says of each run, between its key and its notes."""
_DAMAGED_ROW = dict.fromkeys((*COLUMNS, "model", "sender"), "") | dict.fromkeys(NUMBERS, np.nan) | {"simulated": False, "damaged": True}
_DAMAGED_ROW |= {"dataset": "damaged: its provenance cannot be read"}


@dataclass(frozen=True)
class Note:
    """A user's note and tags on a run."""

    text: str = ""
    tags: tuple[str, ...] = ()


def open_run(key: str, store: Store, report: Report = silent) -> Result:
    """Open a finished fit, computed here or imported, by its key or a unique prefix of it.

    Raises
    ------
    As :func:`find_run`, :func:`encoding.fits.open.open_fit` and :func:`encoding.runs.exchange.open_imported`.
    """
    key = find_run(key, store)
    return open_imported(key, store) if stage_of(key) == "imported" else open_fit(key, store, report)


def find_run(text: str, store: Store) -> str:
    """Resolve a prefix of a run's key, or of its digest, to the whole key, whether the run was computed here or imported.

    Raises
    ------
    UnknownName unless exactly one run matches.
    """
    known = run_keys(store)
    matches = [key for key in known if text and (key.startswith(text) or key.rpartition("-")[2].startswith(text))]
    if text in matches or len(matches) == 1:
        return text if text in matches else matches[0]
    if len(matches) > 1:
        raise UnknownName(f"{text!r} begins the keys of {len(matches)} fits: {', '.join(matches[:5])}. Give more of the one that is meant.")
    kind = "imported fit" if stage_of(text) == "imported" else "fit"
    if any(stage_of(key) == "imported" for key in (text, *known)):
        raise UnknownName(f"{unknown(kind, text, known, show=5)} `python -m encoding runs` says what each is.")
    return find_key(text, store)


def run_keys(store: Store) -> list[str]:
    """List the keys of all finished fits, computed here or imported, oldest first."""
    found = []
    for path in [path for stage in FIT_STAGES for path in store.root.glob(f"{stage}/*/{PROVENANCE}")]:
        with suppress(FileNotFoundError, NotADirectoryError):  # removed meanwhile
            found.append((path.parent.stat().st_mtime, path.parent.name))
    return [key for _, key in sorted(found)]


def all_runs(store: Store, *, subject_of: Callable[[str, str], Subject | None] | None = None) -> pd.DataFrame:
    """Tabulate all finished fits, newest first.

    Parameters
    ----------
    subject_of : gives the subject of a data set and a name, or None where it is not at hand. With it scores that need a noise ceiling
        are computed; without it imported fits alone have them, which bring their ceilings.

    Returns
    -------
    Table with one row per fit and the columns ``key``, ``simulated`` and ``imported`` (bool), ``dataset``, ``subject``, ``targets`` (the
    hemisphere, ROIs or vertex that a fit is of; empty for every target), ``backbone``, ``layers``, ``components`` (such as ``PCA 100``),
    ``readout``, ``options``, ``split``, every score's statistics over every fitted vertex (:data:`SCORE_COLUMNS`; ``pooled_r`` is NaN with
    one fold, and until the intervals are computed), ``made`` (UTC), ``seconds`` the fit took (NaN where unknown), ``device``, ``model``
    (network and layers in words), ``sender`` (of an imported one), ``tags`` (a tuple) and ``note``.

    Notes
    -----
    A run whose scores are damaged has NaN in their place. One whose provenance is damaged is ``damaged`` (bool), has empty columns and
    says so in ``dataset``.

    Raises
    ------
    OSError, with the file's name, where the system cannot read one now.
    """
    import pandas as pd

    rows, subjects = [], dict[tuple[str, str], Subject | None]()
    for key in reversed(run_keys(store)):
        try:
            changed = (store.path(key) / PROVENANCE).stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
            continue
        about, note = _about(str(store.path(key)), changed), read_note(key, store)
        about = about or _DAMAGED_ROW | {"imported": stage_of(key) == "imported"}
        pooled = store.path(pooled_key(key))
        if not about["imported"] and (pooled / PROVENANCE).exists():
            about = about | _summaries({"pooled_r": {path.stem: path for path in pooled.glob("*_r.npy")}})
        if subject_of is not None and not about["imported"] and not about["damaged"]:
            named = about["dataset"], about["subject"]
            if named not in subjects:
                subjects[named] = subject_of(*named)
            about = about | _normalised(about["spec"], about["paths"], subjects[named])
        rows.append({"key": key, **about, "tags": note.tags, "note": note.text})
    return pd.DataFrame(rows, columns=["key", "simulated", "imported", "damaged", *COLUMNS, "model", "sender", "tags", "note"])


def matching(table: pd.DataFrame, *, words: str = "", tags: Sequence[str] = (), by: str = "made", ascending: bool = False) -> pd.DataFrame:
    """Filter and sort the table of runs.

    Parameters
    ----------
    table : as :func:`all_runs` returns it.
    words : every one must occur in some column, case-insensitively.
    tags : every one must be among a run's tags.
    by, ascending : column and direction of the sort.

    Raises
    ------
    UnknownName where there is no column ``by``.
    """
    if by not in table.columns:
        raise UnknownName(unknown("column", by, table.columns, show=20))
    for word in words.lower().split():
        table = table[np.array([word in text for text in _searchable(table)], bool)]
    for tag in tags:
        table = table[np.array([tag in own for own in table["tags"]], bool)]
    return table.sort_values(by, ascending=ascending, kind="stable", ignore_index=True)


def tested(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table of runs whose scores are of test stimuli: sound ones that do not merely validate another or test nothing."""
    kinds = [WITHIN in split or split == ALL for split in table["split"]]
    return table[~table["damaged"].astype(bool) & ~np.array(kinds, bool)]


def newest_pair(table: pd.DataFrame, *, first: str = "") -> tuple[str | None, list[str]]:
    """Find the two newest fits that can be compared in a table of runs, newest first: the older as A, the newer as B.

    There may be none. They have subject, split and targets in common; where no two have these, subject and split, or the subject.

    Parameters
    ----------
    first : key of the fit that is to be A, with the newest other one of its subject as B.
    """
    chosen = table[(table["key"] == first) & ~table["damaged"].astype(bool)]
    sound = tested(table)
    for shared in (["dataset", "subject", "split", "targets"], ["dataset", "subject", "split"], ["dataset", "subject"]):
        if len(chosen):
            same = (sound[shared] == chosen[shared].iloc[0]).all(axis=1) & (sound["key"] != first)
            if same.any():
                return first, [sound.loc[same, "key"].iloc[0]]
            continue
        for _, same in sound.groupby(shared, sort=False):
            if len(same) > 1:
                newer, older = same["key"].iloc[:2]
                return older, [newer]
    return (first, []) if len(chosen) else (None, [])


def known_tags(table: pd.DataFrame) -> list[str]:
    """List all tags in use, sorted."""
    return sorted({tag for own in table["tags"] for tag in own})


def as_csv(table: pd.DataFrame) -> str:
    """Convert the table of runs to CSV; tags are separated by spaces."""
    return to_csv(table.assign(tags=[" ".join(tags) for tags in table["tags"]]))


def short_name(row: Mapping[str, Any]) -> str:
    """Summarise a run in one line: ``Gabor filters energy · PCA 100 · ridge · demo, subject 1 · r 0.352 · 4b4c69``."""
    if row["damaged"]:
        return f"{row['key']} · {row['dataset']}"
    options = f" {row['options']}" if row["options"] else ""
    mark = ", imported" if row["imported"] else ""
    model = f"{row['model']} · {row['components']} · {readout_title(row['readout'])}{options}"
    digits = short_digits(row["key"])
    score = "no test score" if row["split"] == ALL else f"{'validation ' if WITHIN in row['split'] else ''}r {row['r_mean']:z.3f}"
    only = f", {row['targets']} only" if row["targets"] else ""
    return f"{model} · {row['dataset']}, {subject_label(row['subject'])}{only} · {score} · {digits}{mark}"


def read_note(key: str, store: Store) -> Note:
    """Read the note and tags of a run; empty where there are none, or the file is damaged. OSError where it cannot be read now."""
    try:
        path = _note_path(key, store)
        with open_regular(path) as file:
            found = json.loads(file.read())
        return Note(str(found["text"]), tuple(map(str, found["tags"])))
    except (*DAMAGED, FileNotFoundError):
        return Note()


def write_note(key: str, store: Store, note: Note) -> None:
    """Write the note and tags of a run, replacing those before; an empty note is removed.

    Raises
    ------
    ValueError where it is too long, or a tag is empty or holds a comma or a line break. UnknownName where there is no such run.
    """
    if key not in store:
        raise UnknownName(f"There is no run {key!r}, so nothing can be noted of it.")
    _check_note(note)
    path = _note_path(key, store)
    path.parent.mkdir(parents=True, exist_ok=True)
    with store.lock(f"note-{key}"):
        if note == Note():
            path.unlink(missing_ok=True)
            return
        content = {"text": note.text, "tags": list(note.tags), "changed": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
        with atomic_file(path, "w") as file:
            json.dump(content, file)


def _check_note(note: Note) -> None:
    if len(note.text) > MOST_NOTE:
        raise ValueError(f"A note has {MOST_NOTE:,} characters at most, not {len(note.text):,}.")
    if len(note.tags) > MOST_TAGS:
        raise ValueError(f"A run has {MOST_TAGS} tags at most, not {len(note.tags)}.")
    for tag in note.tags:
        if not tag.strip() or len(tag) > MOST_TAG or "," in tag or not tag.isprintable():
            raise ValueError(f"A tag is 1 to {MOST_TAG} characters in one line without a comma, not {tag!r}.")


def _note_path(key: str, store: Store) -> Path:
    """The file of a run's note; ValueError for what is no key, so that no other file is ever named."""
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not the key of a run.")
    return store.root / "notes" / f"{key}.json"


@lru_cache(maxsize=4096)
def _about(folder: str, changed: int) -> dict[str, Any] | None:
    """A run's row as its folder has it, read once for each version; None where its provenance is damaged."""
    try:
        return _row_of(Path(folder))
    except (*DAMAGED, FileNotFoundError, NotADirectoryError):
        return None


def _row_of(folder: Path) -> dict[str, Any]:
    path = folder / PROVENANCE
    with open_regular(path) as file:
        provenance = json.loads(file.read())
    made, files = provenance["made_from"], provenance["files"]
    spec = FitSpec.as_stored(dict(made["spec"]))
    imported = made.get("imported")
    blocks = [name.removesuffix("_r") for name in files if name.endswith("_r") and f"{name}2" in files]  # not lh_validation_r
    paths = {score: {block: folder / f"{block}_{score}.npy" for block in blocks if f"{block}_{score}" in files} for score in STORED_SCORES}
    paths["pooled_r"] = {name: folder / f"{name}.npy" for name in files if name.startswith("pooled.")}
    ceilings = {block: folder / f"about.{block.removeprefix('fit.')}_ceiling.npy" for block in blocks}
    has_ceilings = imported is not None and all(path.stem in files for path in ceilings.values())
    return {
        "simulated": bool(made.get("simulated")),
        "imported": imported is not None,
        "damaged": False,
        "dataset": spec.dataset,
        "subject": spec.subject,
        "targets": _targets(spec),
        "backbone": network_name(spec),
        "layers": " + ".join(spec.layers),
        "components": spec.components_label,
        "readout": spec.readout,
        "options": " ".join([*(f"{name}={value}" for name, value in spec.options), *(["average_repeats"] if spec.average_repeats else [])]),
        "split": spec.split,
        **_summaries(paths),
        **(_from_ceilings(spec, paths, {block: _map(path) for block, path in ceilings.items()}) if has_ceilings else {}),
        "spec": spec,
        "paths": paths,
        "made": str(provenance.get("created", ""))[:16].replace("T", " "),
        "seconds": float(made.get("fit_seconds", np.nan)),
        "device": str(made.get("device", "")),
        "model": model_label(spec),
        "sender": "" if imported is None else imported.get("by") or "not said",
    }


def _targets(spec: FitSpec) -> str:
    """The hemisphere, ROIs or vertex that a fit is of; empty where it predicts every target.

    Where targets have models of their own every one is predicted, whatever the ROIs.
    """
    if spec.target_groups.startswith("vertex:"):
        return " ".join(spec.target_groups.split(":")[1:])
    rois = spec.roi_names if spec.target_groups in ("roi", "roi:both") and not spec.targets_apart else ()
    return " ".join([*([] if spec.hemi == FitSpec.hemi else [spec.hemi]), *rois])


def _summaries(paths: Mapping[str, Mapping[str, Path]]) -> dict[str, float]:
    """Statistics of scores over every vertex, of the mean over folds where the arrays have them; ``paths`` is score to block to file."""
    found: dict[str, float] = {}
    for score, of_blocks in paths.items():
        if of_blocks:
            maps = [_map(path) for path in of_blocks.values()]
            found |= SCORES[score].summary(np.concatenate(maps) if all(each is not None for each in maps) else np.zeros(0))
    return found


def _map(path: Path) -> np.ndarray | None:
    """(n_vertices,) the mean over folds; None where it is damaged."""
    try:
        with passing_errors_of(path):
            return np.atleast_2d(read_npy(path)).mean(0)
    except (*DAMAGED, FileNotFoundError):
        return None


def _normalised(spec: FitSpec, paths: Mapping[str, Mapping[str, Path]], subject: Subject | None) -> dict[str, float]:
    """Statistics of the scores that need a noise ceiling; empty where none is known, or the subject no longer fits the scores."""
    if subject is None or subject.ceiling is None or not all(block in subject.ceiling for block in paths["r"]):
        return {}
    share = 1.0
    if spec.average_repeats:
        try:
            share = noise_share(subject.stimulus_of_row, folds_of(spec.split, subject))
        except ValueError:  # the split is no longer one of these data
            return {}
    return _from_ceilings(spec, paths, {block: of_means(np.asarray(subject.ceiling[block]), share) for block in paths["r"]})


def _from_ceilings(spec: FitSpec, paths: Mapping[str, Mapping[str, Path]], ceilings: Mapping[str, np.ndarray | None]) -> dict[str, float]:
    maps = [(_map(path), ceilings[block]) for block, path in paths["r"].items()]
    if any(r is None or ceiling is None or r.shape != ceiling.shape for r, ceiling in maps):
        return {}
    errors = [_map(paths["rmse"][block]) if block in paths["rmse"] else None for block in paths["r"]]
    fitted = [has_model(r, rmse) for (r, _), rmse in zip(maps, errors, strict=True)]
    of_clips = spec.dataset in DATASETS and DATASETS[spec.dataset].clips
    found: dict[str, float] = {}
    for score in SCORES.values():
        if score.needs_ceiling and not (score.images_only and of_clips):
            values = [from_r(score.key, r, ceiling, fitted=there) for (r, ceiling), there in zip(maps, fitted, strict=True)]
            found |= score.summary(np.concatenate(values))
    return found


def _searchable(table: pd.DataFrame) -> list[str]:
    columns = [name for name in table.columns if name not in NUMBERS]
    return [" ".join(map(str, row)).lower() for row in table[columns].itertuples(index=False)]
