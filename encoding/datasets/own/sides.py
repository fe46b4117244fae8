"""Hemispheres that files name themselves: a block ``lh`` or ``rh`` must not hold the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from encoding.datasets._base import BadData
from encoding.datasets.own.array_files import split_member
from encoding.datasets.own.arrays import errors_of
from encoding.datasets.own.description import SubjectFiles

OTHER = {"lh": "rh", "rh": "lh"}
STRUCTURE = "AnatomicalStructurePrimary"  # of GIFTI
CORTEX = {"lh": "left", "rh": "right"}
NAMED = {"lh": r"(?<![a-z])(lh|left|hemi-l)(?![a-z])", "rh": r"(?<![a-z])(rh|right|hemi-r)(?![a-z])"}  # in file names, in lower case


def files_of_sides(files: SubjectFiles) -> Iterator[tuple[str, Path]]:
    """Yield the block and the path of every file that is given for ``lh`` or ``rh``."""
    places = files.places
    parcels = places.parcels if places and isinstance(places.parcels, Mapping) else {}
    single = [files.ceiling, files.ncsnr, parcels, *([places.files, places.spheres] if places else [])]
    for block in OTHER:
        yield from ((block, path) for path in files.responses.get(block, ()))
        yield from ((block, about.path) for about in files.rois.get(block, {}).values())
        yield from ((block, paths[block]) for paths in single if paths and block in paths)


def require_sides(files: SubjectFiles) -> None:
    """Check that no file of a block ``lh`` or ``rh`` is of the other hemisphere by its content: parts of CIFTI, and GIFTI.

    Raises
    ------
    BadData with the first that is.
    """
    for block, path in files_of_sides(files):
        file, member = split_member(path)
        name, other = file.name.lower(), OTHER[block]
        if name.endswith(".nii") and member == other:
            raise BadData(f'{path} is the hemisphere {other}, but it is given for {block}. Write "{file.name}:{block}".')
        if name.endswith(".gii") and file.is_file():
            about = file.stat()
            found = _structures(file, about.st_mtime_ns, about.st_ctime_ns, about.st_size)
            if CORTEX[other] in found and CORTEX[block] not in found:
                raise BadData(
                    f"{file} says that it is of the {CORTEX[other]} cortex ({STRUCTURE}), but it is given for {block}. "
                    "Exchange the two files, or correct what it says."
                )


@lru_cache(maxsize=256)
def _structures(path: Path, *state: int) -> str:
    """Structures that a GIFTI file says to be of, in lower case, such as ``cortexleft``; empty where it does not say."""
    import nibabel

    with errors_of(path):
        image = nibabel.load(path)
        every = [image.meta, *(each.meta for each in image.darrays)]
        return " ".join(str(meta[STRUCTURE]) for meta in every if STRUCTURE in meta).lower()


def is_named_other(path: Path, block: str) -> bool:
    """Whether the name of a file of ``lh`` or ``rh`` has the other hemisphere in it and not that one."""
    name = split_member(path)[0].name.lower()
    return bool(re.search(NAMED[OTHER[block]], name)) and not re.search(NAMED[block], name)
