"""Write clips and simulated responses in the exact layout of the Algonauts 2021 challenge."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoding.datasets import _tracks2021 as tracks
from encoding.datasets._volumes import on_surface
from encoding.datasets.algonauts2021 import MINI_TRACK, PERSON, Algonauts2021Layout
from encoding.datasets.simulation import clips as simulated_clips
from encoding.datasets.simulation.clips import FRAMES_PER_SECOND, N_FRAMES, Clips
from encoding.datasets.simulation.cortex import SUBJECTS, Hemisphere, truth
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.atomic import scratch_folder

N_REPETITIONS = 3
SEED = 2021
STANDS_FOR = {  # what of the simulated cortex the challenge's ROIs are made of
    "V1": ("V1v", "V1d"),
    "V2": ("V2v", "V2d"),
    "V3": ("V3v", "V3d"),
    "V4": ("hV4",),
    "LOC": ("midlateral",),
    "EBA": ("EBA",),
    "FFA": ("FFA-1", "FFA-2"),
    "STS": ("lateral",),
    "PPA": ("PPA",),
}
MARKER = """These data are simulated. No brain was measured.

They were written by Encoding Explorer in the layout of the Algonauts 2021 challenge: drawn clips, and the answers of a simulated cortex.
LOC and STS are stretches of its lateral cortex that bear those names for the layout's sake.
"""


@dataclass(frozen=True, kw_only=True)
class Participant:
    """One person's responses, every block (n_clips, n_repetitions, n_voxels) float32.

    Attributes
    ----------
    rois : the mini track, each of :data:`~encoding.datasets.algonauts2021.MINI_TRACK` to its block.
    brain : the full track. voxels : (n_voxels,) ascending flat indices of its columns in the volume.
    """

    rois: Mapping[str, np.ndarray]
    brain: np.ndarray
    voxels: np.ndarray


def simulate_algonauts2021(out: Path, report: Report = silent, *, n_clips: int = 60, subjects: Sequence[str] = tuple(SUBJECTS)) -> Path:
    """Write the clips and the demo's simulated subjects, who watch them three times, to ``out``.

    Parameters
    ----------
    n_clips : clips with responses; a tenth as many are written without.
    subjects : of the simulated cortex; ``subj01`` is written as ``sub01``.

    Raises
    ------
    UnknownName; FileExistsError as :func:`write_algonauts2021`.
    """
    check_free(Path(out))
    for name in subjects:
        if name not in SUBJECTS:
            raise UnknownName(unknown("simulated subject", name, SUBJECTS))
    filmed = simulated_clips.clips(n_clips + max(1, n_clips // 10), seed=SEED, report=subprogress(report, 0, 0.3))
    people = {}
    for number, name in enumerate(subjects):
        progress = subprogress(report, 0.3 + 0.4 * number / len(subjects), 0.3 + 0.4 * (number + 1) / len(subjects))
        people[name.replace("subj", "sub")] = simulate_participant(name, filmed, n_clips, progress)
    return write_algonauts2021(out, filmed, people, subprogress(report, 0.7, 1), simulated=True)


def simulate_participant(name: str, filmed: Clips, n_clips: int, report: Report = silent) -> Participant:
    """Simulate a subject of the demo viewing the first ``n_clips`` clips; each voxel responds as the vertex at its centre.

    The ceilings are those of :func:`encoding.datasets.simulation.cortex.truth`, of the mean over repetitions.
    """
    halves = truth(name)
    seen = simulated_clips.signals(halves, filmed.first(n_clips), report)
    signal = np.hstack([seen[hemi] for hemi in halves])
    ceiling = np.concatenate([half.ceiling for half in halves.values()])
    voxels, vertices = voxels_of(halves)
    repeats = simulated_clips.repetitions(signal, ceiling, np.random.default_rng([SEED, SUBJECTS[name]]), n=N_REPETITIONS)
    return Participant(
        rois={roi: repeats[:, :, columns] for roi, columns in rois_of(halves).items()}, brain=repeats[:, :, vertices], voxels=voxels
    )


def rois_of(halves: Mapping[str, Hemisphere]) -> dict[str, np.ndarray]:
    """Columns of the challenge's ROIs, with both hemispheres side by side."""
    by_roi, start = {roi: [] for roi in MINI_TRACK}, 0
    for half in halves.values():
        for roi, parts in STANDS_FOR.items():
            by_roi[roi] += [start + half.rois[part] for part in parts]
        start += len(half.vertices)
    return {roi: np.unique(np.concatenate(columns)) for roi, columns in by_roi.items()}


def voxels_of(halves: Mapping[str, Hemisphere]) -> tuple[np.ndarray, np.ndarray]:
    """The voxels that the simulated cortex runs through.

    Returns
    -------
    voxels : (n_voxels,) ascending flat indices in the challenge's volume.
    columns : (n_voxels,) for each, the first vertex in it, as column of both hemispheres side by side.
    """
    everywhere = on_surface(np.arange(np.prod(tracks.VOLUME)), tracks.VOLUME, tracks.AFFINE)
    at = np.concatenate([everywhere[hemi][1][np.searchsorted(everywhere[hemi][0], half.vertices)] for hemi, half in halves.items()])
    return np.unique(at, return_index=True)


def write_algonauts2021(
    out: Path,
    filmed: Clips | Sequence[Iterable[np.ndarray]],
    people: Mapping[str, Participant],
    report: Report = silent,
    *,
    simulated: bool,
) -> Path:
    """Write clips and responses to ``out``; returns that folder. The files appear only once complete.

    Parameters
    ----------
    filmed : the clips, those with responses first; either simulated ones, or for each its frames, (height, width, 3) uint8
        of even height and width.
    people : ``subNN`` to responses to the first clips.

    Raises
    ------
    ValueError where the layout cannot hold what is given; FileExistsError where the data are there already.
    """
    _check_people(people)
    out = check_free(Path(out))
    with scratch_folder(out) as scratch:
        layout = Algonauts2021Layout(scratch)
        _write_clips(filmed, layout, subprogress(report, 0, 0.9))
        for person, responses in people.items():
            report(0.9, f"Writing responses: {person}")
            _write_person(layout, person, responses)
        if simulated:
            (out / layout.marker.name).write_text(MARKER)
        for folder in (layout.participants, layout.clips):
            folder.rename(out / folder.name)
    return out


def check_free(out: Path) -> Path:
    """Return ``out``; FileExistsError where it holds data of this layout."""
    for folder in (Algonauts2021Layout(out).clips, Algonauts2021Layout(out).participants):
        if folder.exists():
            raise FileExistsError(f"{folder} exists already. Remove it first, or write to another folder.")
    return out


def _check_people(people: Mapping[str, Participant]) -> None:
    for person, responses in people.items():
        if not PERSON.fullmatch(person):
            raise ValueError(f"Algonauts 2021 names its subjects sub01, sub02 …; {person!r} is not such a name.")
        if set(responses.rois) != set(MINI_TRACK):
            raise ValueError(f"The mini track has the ROIs {', '.join(MINI_TRACK)}; {person} has {', '.join(responses.rois)}.")
        if responses.brain.shape[2] != len(responses.voxels) or (np.diff(responses.voxels) <= 0).any():
            raise ValueError(f"Each column of {person}'s whole brain needs a voxel of its own, in ascending order.")


def _write_clips(filmed: Clips | Sequence[Iterable[np.ndarray]], layout: Algonauts2021Layout, report: Report) -> None:
    layout.clips.mkdir()
    for clip in range(len(filmed)):
        frames = (filmed.frame(clip, number) for number in range(N_FRAMES)) if isinstance(filmed, Clips) else filmed[clip]
        write_clip(frames, layout.clips / f"{clip + 1:04d}_simulated.mp4")
        report((clip + 1) / len(filmed), f"Writing clips: {clip + 1:,} of {len(filmed):,}")


def write_clip(frames: Iterable[np.ndarray], path: Path) -> None:
    """Encode frames (height, width, 3) uint8 as an mp4 at ten per second; lossy, as the challenge's are."""
    import av

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream(codec, rate=FRAMES_PER_SECOND)
                stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "yuv420p"
                stream.codec_context.thread_count = 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def _write_person(layout: Algonauts2021Layout, person: str, responses: Participant) -> None:
    layout.roi(person, "V1").parent.mkdir(parents=True)
    layout.whole_brain(person).parent.mkdir(parents=True)
    for roi in MINI_TRACK:
        write_pickle({"train": responses.rois[roi]}, layout.roi(person, roi))
    mask = np.zeros(tracks.VOLUME, np.uint8)
    mask.ravel()[responses.voxels] = 1
    write_pickle({"train": responses.brain, "voxel_mask": mask}, layout.whole_brain(person))


def write_pickle(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Pickle a dict of arrays at protocol 2 as Python 2 and numpy 1 did."""
    with path.open("wb") as file:
        _Python2Pickler(file, protocol=2).dump({name: np.ascontiguousarray(values) for name, values in arrays.items()})


class _Python2Pickler(pickle._Pickler):
    """Spells text and bytes as Python 2 did, where they were the same, and numpy's names as version 1 did."""

    dispatch = dict(pickle._Pickler.dispatch)

    def _save_string(self, value: bytes | str) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        code = (
            pickle.SHORT_BINSTRING + bytes([len(content)]) if len(content) < 256 else pickle.BINSTRING + len(content).to_bytes(4, "little")
        )
        self.write(code + content)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = _save_string

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = getattr(obj, "__module__", "numpy").replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{name or obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch[type] = save_global
