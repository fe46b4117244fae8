"""Convert the ROI pickles of BOLD Moments: responses to the clips of Algonauts 2021, those of its test set included."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoding.datasets._base import BadData
from encoding.datasets._tracks2021 import read_arrays
from encoding.datasets._videos import list_videos
from encoding.datasets.catalogue.fetch import Conversion, Converted
from encoding.evaluation.noise_ceiling import from_repeats

SIDES = {"lh": "l", "rh": "r"}
ROIS = (
    "V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4", "EBA", "FFA", "OFA", "STS", "LOC", "PPA", "RSC", "TOS", "V3ab", "IPS0",
    "IPS1-2-3", "7AL", "BA2", "PFt", "PFop", "MT",
)  # fmt: skip
SETS = ("train_data_allvoxel", "test_data_allvoxel")


def convert(work: Conversion) -> Converted:
    """Write responses averaged over repeats, ROIs side by side, training clips first; ceilings are those of the test clips.

    Clips stay where the user has them, and are named in the order of their names. A ceiling is the reliability of the mean over the ten
    repeats of the test clips (:func:`encoding.evaluation.noise_ceiling.from_repeats`), which is what the split of the data set tests.
    """
    responses, ceilings, rois, n_clips = {}, {}, {}, set()
    for number, (block, side) in enumerate(SIDES.items()):
        parts, reliable, columns, start = [], [], {}, 0
        for place, roi in enumerate(ROIS):
            train, test = read_sets(work.file(f"{work.subject}_roi-{side}{roi}_betas_normalized.pkl"))
            parts.append(np.concatenate([train.mean(1), test.mean(1)]).astype(np.float32))
            reliable.append(from_repeats(test))
            columns[roi] = slice(start, start + train.shape[2])
            start += train.shape[2]
            n_clips.add((len(train), len(test)))
            work.report((number + (place + 1) / len(ROIS)) / 2, f"{block} {roi}")
        if len(n_clips) > 1:
            raise BadData(f"The ROIs of {work.subject} have different numbers of clips: {sorted(n_clips)}.")
        np.save(work.folder / f"{block}.npy", np.concatenate(parts, axis=1))
        np.save(work.folder / f"{block}_ceiling.npy", np.concatenate(reliable))
        responses[block], ceilings[block] = f"./{block}.npy", f"./{block}_ceiling.npy"
        rois[block] = {}
        for roi, within in columns.items():
            mask = np.zeros(start, bool)
            mask[within] = True
            np.save(work.folder / f"{block}_{roi}.npy", mask)
            rois[block][roi] = f"./{block}_{roi}.npy"
    ((n_train, n_test),) = n_clips
    clips = list_videos(work.stimuli)
    if len(clips) != n_train + n_test:
        raise BadData(f"{work.stimuli} holds {len(clips):,} clips, and there are responses to {n_train:,} + {n_test:,}.")
    (work.folder / "clips.txt").write_text("".join(f"{clip.absolute()}\n" for clip in clips), encoding="utf-8")
    table = {"stimuli": {"files": "./clips.txt"}, "responses": responses, "rois": rois, "ceiling": ceilings, "ceiling_unit": "fraction"}
    return table, f"first:{n_train}"


def read_sets(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Responses of one ROI to training and test clips, each (n_clips, n_repeats, n_voxels), without running the pickle.

    Raises
    ------
    BadData where they are missing or of another shape.
    """
    arrays = read_arrays(path)
    if missing := [name for name in SETS if name not in arrays]:
        raise BadData(f"{path.name} holds no {missing[0]}; it holds {', '.join(sorted(arrays)) or 'no array'}.")
    train, test = (arrays[name] for name in SETS)
    if train.ndim != 3 or test.ndim != 3 or train.shape[2] != test.shape[2] or min(test.shape[:2]) < 2:
        raise BadData(f"{path.name} has shapes {train.shape} and {test.shape}, where (n_clips, n_repeats, n_voxels) are expected.")
    return train, test
