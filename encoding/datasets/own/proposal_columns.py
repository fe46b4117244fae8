"""What a folder says of the columns of responses: their places, ROIs and noise ceilings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets._base import FSAVERAGE5_VERTICES, BadData
from encoding.datasets.own.array_files import read_array, split_member
from encoding.datasets.own.candidates import ResponseOption, hemisphere_of
from encoding.datasets.own.description import BLOCK, SPACES
from encoding.datasets.own.parsing import MAX_ROI_NAME, RESERVED_ROIS
from encoding.datasets.own.proposal import Draft
from encoding.datasets.own.survey import FoundArray
from encoding.datasets.own.text_tables import read_lines

NATIVE = ("T1w", "native", "func", "orig", "bold", "individual", "EPI", "T2w", "scanner", "boldref")
CEILING = re.compile(r"(?i)ceiling|(?:^|_)nc(?:_|$)|nc_(single|test)|reliab")
NCSNR = re.compile(r"(?i)ncsnr")
PLACE = re.compile(r"(?i)vert|index|indices")
NAME_PARTS = re.compile(
    r"(?i)(?:^|[_-])(?:sub-[a-z0-9]+|ses-[a-z0-9]+|hemi-[LR]|lh|rh|mask|rois?|label|space-[a-z0-9]+|desc-[a-z0-9]+)(?=[_-]|$)"
)
MAX_ROIS = 200
SIZES = {SPACES[space]: space for space in ("fsaverage5", "fsaverage6", "fsaverage", "fsLR")}


def propose_columns(one: ResponseOption, arrays: Sequence[FoundArray], draft: Draft) -> set[Path]:
    """Add lines for places, ROIs and ceilings of the columns of ``one``; return the files that they name.

    Parameters
    ----------
    arrays : of the subject and of everybody. table : of the subject in ``dataset.toml``; name : of the subject.
    """
    others = [each for each in arrays if not any(each.path == used.path for files in one.blocks.values() for used in files)]
    mask = _places(one, others, draft)
    used = {mask.path} if mask else set()
    of_columns = [(each, block) for each in others if each.path not in used and (block := _block_of(one, each, mask))]
    used |= _ceilings(one, of_columns, mask, draft)
    return used | _rois(one, [(each, block) for each, block in of_columns if each.path not in used], mask, draft)


def _block_of(one: ResponseOption, found: FoundArray, mask: FoundArray | None) -> str:
    """The block whose columns an array has one number each for; empty where there is none."""
    if mask is not None:
        n_columns = int(np.count_nonzero(values_of(mask.path)))
        return next(iter(one.blocks)) if found.shape in (mask.shape, (n_columns,), (1, n_columns), (n_columns, 1)) else ""
    size = int(np.prod(found.shape))
    if max(found.shape, default=0) != size:
        return ""
    blocks = [block for block, n in one.n_columns.items() if n == size]
    side = hemisphere_of(found.name)
    return (side if side in blocks else "") if len(one.blocks) > 1 else next(iter(blocks), "")


def values_of(path: Path) -> np.ndarray:
    """Values of a small array, squeezed, read once until its file changes; NaN is 0."""
    about = split_member(path)[0].stat()
    return _values(path, about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)


@lru_cache(maxsize=64)
def _values(path: Path, *state: int) -> np.ndarray:
    return np.nan_to_num(read_array(path)).squeeze()


def _is_binary(found: FoundArray) -> bool:
    return found.dtype.kind in "biuf" and bool(np.isin(values_of(found.path), (0, 1)).all()) and bool(values_of(found.path).any())


# -- places


def _places(one: ResponseOption, others: Sequence[FoundArray], draft: Draft) -> FoundArray | None:
    """Add the line ``vertices``, or what is open or missing of it; return the mask, where there is one."""
    first = one.first
    volumes = [each for each in others if len(each.shape) == 3 and each.is_volume]
    if first.is_volume:
        masks = [each for each in volumes if each.grid == first.grid and _is_binary(each)]
        mask = _brain_mask(masks, draft)
        if not masks:
            what = (
                f"a mask of {draft.name}: no volume of zeros and ones has the grid {first.grid} of the responses; its ones are the columns."
            )
            draft.lacks(what, 'vertices = { mask = "brain_mask.nii.gz", space = "native" }', is_needed=True)
        if mask:
            _add_mask(mask, first, draft)
        return mask
    if first.columns:
        if first.size == SPACES["fsLR"]:
            draft.add("vertices", {"space": "fsLR"}, "the CIFTI header gives each column's vertex of fsLR 32k.")
        else:
            draft.note(f"{first.name} lies on surfaces of {first.size:,} vertices; a brain map needs those of fsLR 32k: resample it.")
        return None
    if set(one.blocks) == {"lh", "rh"}:
        _surface(one, others, draft)
        return None
    n_columns = one.n_columns[BLOCK]
    masks = [each for each in volumes if _is_binary(each) and np.count_nonzero(values_of(each.path)) == n_columns]
    if masks:
        mask = _brain_mask(masks, draft, any_fits=True)
        if mask:
            _add_mask(mask, mask, draft)
        return mask
    atlases = [each for each in volumes if each.dtype.kind in "iuf" and n_columns > 1 and _n_labels(each) == n_columns]
    if len(atlases) == 1:
        why = f"its labels are 1 to {n_columns:,}, as many as there are columns; it must lie in MNI space."
        draft.add("vertices", {"parcels": atlases[0].path}, why)
        return None
    line = 'vertices = { mask = "mask.nii.gz", space = "native" }  # or { space = "fsaverage", lh = …, rh = … }'
    draft.lacks(f"places of the {n_columns:,} columns of {draft.name}; without them there is no brain map.", line)
    return None


def _n_labels(found: FoundArray) -> int:
    labels = np.unique(values_of(found.path))
    labels = labels[labels != 0]
    return len(labels) if np.array_equal(labels, np.arange(1, len(labels) + 1)) else 0


def _brain_mask(masks: Sequence[FoundArray], draft: Draft, *, any_fits: bool = False) -> FoundArray | None:
    """The mask of the columns: the only one, or the only one that is named a brain's, or that holds all others; else a choice."""
    brains = [each for each in masks if re.search(r"(?i)brain", Path(each.name).name)]
    if not any_fits and not brains:
        brains = [each for each in masks if all((values_of(other.path) <= values_of(each.path)).all() for other in masks)]
    fitting = brains or masks
    named = {each.name: each for each in masks}
    options = {name: f"{np.count_nonzero(values_of(each.path)):,} voxels." for name, each in named.items()}
    decided = fitting[0].name if len(fitting) == 1 else None
    return named.get(draft.choose("mask", "Which mask says what voxels are columns?", options, decided=decided) if masks else None)


def _add_mask(mask: FoundArray, responses: FoundArray, draft: Draft) -> None:
    """Add the mask with its space, which BIDS states in names; without that it is a choice."""
    stated = mask.entities.get("space") or responses.entities.get("space") or ""
    n_voxels = np.count_nonzero(values_of(mask.path))
    space, why = ("MNI" if stated.startswith("MNI") else "native" if stated in NATIVE else None), f"its name says space-{stated}"
    if space is None:
        options = {"native": "The subject's own space: slices, and no brain map.", "MNI": "MNI space: a brain map is drawn."}
        space = draft.choose("space", f"In which space does {mask.name} lie? Its name states none.", options)
        if space is None:
            return
        why = "chosen"
    reason = f"{mask.name}: {n_voxels:,} voxels are 1; these are the columns. Space: {why}."
    draft.add("vertices", {"mask": mask.path, "space": space}, reason)


def _surface(one: ResponseOption, others: Sequence[FoundArray], draft: Draft) -> None:
    """Add the space of two hemispheres: stated in names, or that which has as many vertices; with files of vertices otherwise."""
    stated = one.first.entities.get("space") or one.first.entities.get("den") or ""
    sizes = set(one.n_columns.values())
    counted = SIZES.get(next(iter(sizes))) if len(sizes) == 1 else None
    if counted:
        why = f"{sizes.pop():,} columns in each hemisphere are the vertices of {counted}" + (
            f", as its name says ({stated})." if stated else "."
        )
        draft.add("vertices", {"space": counted}, why)
        return
    files = {block: each for each in others if PLACE.search(Path(each.name).name) and (block := _block_of(one, each, None))}
    if set(files) == set(one.blocks) and all(np.unique(values_of(each.path)).size == one.n_columns[block] for block, each in files.items()):
        largest = max(int(values_of(each.path).max()) for each in files.values())
        fitting = {  # a number is of the same vertex in fsaverage and fsaverage6
            space: f"{size:,} vertices a hemisphere."
            for size, space in SIZES.items()
            if largest < size and space != "fsaverage6" and (space != "fsaverage" or largest >= FSAVERAGE5_VERTICES)
        }
        decided = next(iter(fitting)) if len(fitting) == 1 else None
        if space := draft.choose("space", "Of which surface are the vertices?", fitting, decided=decided, is_needed=False):
            paths = {block: each.path for block, each in files.items()}
            draft.add("vertices", {"space": space} | paths, f"files with the vertex of each column; the largest is {largest:,}.")
        return
    if stated.startswith("fsaverage"):
        what = f"{stated} has other numbers of vertices than fsaverage, fsaverage6 and fsaverage5: resample it (mri_surf2surf) for a map."
    else:
        what = f"places of the columns of {draft.name} ({', '.join(f'{n:,} {block}' for block, n in one.n_columns.items())}); no brain map."
    draft.lacks(what, 'vertices = { space = "fsaverage", lh = "lh_vertices.npy", rh = "rh_vertices.npy" }')


# -- noise ceilings and ROIs


def _by_block(one: ResponseOption, values: dict[str, Any]) -> Any:
    return values[BLOCK] if list(one.blocks) == [BLOCK] else values


def _ceilings(
    one: ResponseOption, found: Sequence[tuple[FoundArray, str]], mask: FoundArray | None, draft: Draft
) -> set[Path]:  # fmt: skip
    """Add a noise ceiling whose file's name says so; several are a choice."""
    sets: dict[str, dict[str, FoundArray]] = {}
    for each, block in found:
        stem = Path(each.name).name
        if each.dtype.kind in "iuf" and (CEILING.search(NAME_PARTS.sub("", stem.split(".")[0])) or NCSNR.search(stem)):
            sets.setdefault(re.sub(r"(lh|rh|hemi-[LR])", "*", each.name), {})[block] = each
    sets = {key: files for key, files in sets.items() if set(files) == set(one.blocks)}
    if not sets:
        return set()
    every = {each.path for files in sets.values() for each in files.values()}
    largest_of = {key: max(float(values_of(each.path).max()) for each in files.values()) for key, files in sets.items()}
    options = {key: f"largest value {largest:.4g}." for key, largest in largest_of.items()}
    chosen = draft.choose("ceiling", "Which noise ceiling?", options, decided=next(iter(sets)) if len(sets) == 1 else None, is_needed=False)
    if chosen is None:
        return every
    files = sets[chosen]
    largest = largest_of[chosen]
    value = _by_block(one, {block: each.path for block, each in files.items()})
    if NCSNR.search(chosen):
        what = f"{chosen} is NSD's ratio of signal to noise; for ceilings of it, say how many trials each row is the mean of."
        draft.lacks(what, f'ncsnr = "{chosen}"\naveraged = 1')
        return every
    unit = "a share of variance" if largest <= 1 else "percent of variance"
    if 1 < largest <= 2:
        what = f"the unit of {chosen}, whose largest value is {largest:.3g}."
        draft.lacks(what, f'ceiling = "{chosen}"\nceiling_unit = "percent"')
        return every
    why = f'its name says what it is; taken as {unit}, as its largest value is {largest:.3g} (correlations: ceiling_unit = "r").'
    draft.add("ceiling", value, why)
    return every


def _rois(one: ResponseOption, found: Sequence[tuple[FoundArray, str]], mask: FoundArray | None, draft: Draft) -> set[Path]:
    """Add masks of ROIs, and labels whose names stand in a table beside them as BIDS has it."""
    used: set[Path] = set()
    rois: dict[str, dict[str, Any]] = {block: {} for block in one.blocks}
    for each, block in found:
        name = roi_name(each.name)
        if each.dtype.kind not in "biuf" or not name or name in rois[block] or len(rois[block]) == MAX_ROIS:
            continue
        if _is_binary(each):
            rois[block][name] = each.path
        elif each.dtype.kind in "iu" or np.array_equal(values_of(each.path), np.floor(values_of(each.path))):
            labels = np.unique(values_of(each.path))
            names = _label_names(each.path)
            if not 1 < len(labels) <= MAX_ROIS or labels.min() < 0:
                continue
            if not names:
                what = f"names of the {len(labels) - (0 in labels)} labels of {each.name}, one number a column."
                draft.lacks(what, f'rois.{name} = {{ labels = "{each.name}", names = ["name of label 1", "…"] }}')
                continue
            rois[block][name] = {"labels": each.path, "names": {key: label for key, label in names.items() if label in labels}}
        else:
            continue
        used.add(each.path)
    if used:
        n = sum(map(len, rois.values()))
        where = "on the grid of the mask" if mask else "one number a column"
        draft.add("rois", _by_block(one, rois), f"{n} files of zeros and ones, or labels with names, {where}.")
    return used


def roi_name(path: str) -> str:
    """Name of an ROI from its file's: the entity ``label`` or ``roi`` of BIDS, else what is left without subject and hemisphere.

    Examples
    --------
    >>> roi_name("masks/sub-01_hemi-L_label-FFA_mask.nii.gz"), roi_name("rois/lh_V1.npy"), roi_name("PPA.nii")
    ('FFA', 'V1', 'PPA')
    """
    stem = Path(path.rpartition(":")[2] if ":" in path else path).name.split(".")[0]
    stated = re.search(r"(?:label|roi)-([A-Za-z0-9]+)", stem)
    name = stated[1] if stated else NAME_PARTS.sub("", stem).strip("_- ")
    return "" if name in RESERVED_ROIS or len(name) > MAX_ROI_NAME else name


def _label_names(path: Path) -> dict[str, int]:
    """Name to label of the table ``…_dseg.tsv`` (index, name) beside a file of labels; empty where there is none."""
    table = path.with_name(path.name.split(".")[0] + ".tsv")
    try:
        names, lines = read_lines(table) if table.is_file() else ([], [])
        place, label = names.index("name"), names.index("index")
        return {cells[place].strip(): int(cells[label]) for _, cells in lines if int(cells[label])}
    except (BadData, ValueError):
        return {}
