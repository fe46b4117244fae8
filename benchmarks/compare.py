"""Every readout under one protocol: ``python -m benchmarks.compare [--photographs DIR] [--only NAME …] [--write]``.

Three problems, none of them measured from a brain:

- the simulated subject (Gabor energy, 100 components): mean r of a few regions and of all vertices;
- real photographs with planted truth (with ``--photographs``): responses made from what Gabor filters say of each photograph, as a
  linear map, as a map of squares that no linear readout can follow, and as noise alone;
- simulated clips (Gabor energy of 8 frames, kept in their order).

The same split, scores and code as everywhere else (``encoding.fit``), each readout with its own defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from encoding import DATASETS, READOUTS, FitSpec, Store, fit
from encoding.datasets._images import list_images

PAGE = Path(__file__).parents[1] / "docs" / "readouts.md"
START, END = "<!-- readouts: start -->", "<!-- readouts: end -->"
REGIONS = ("V1v", "hV4", "FFA-1", "PPA")
TRUTHS = ("linear", "squares", "noise")
N_PER_TRUTH, N_COMPONENTS, SIGNAL = 60, 40, 0.6
N_CLIPS, N_FRAMES = 300, 8


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="a folder of a few hundred real photographs, or of folders of them")
    parser.add_argument("--only", nargs="+", default=[], metavar="READOUT", help="some readouts (default: all)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/readouts.md")
    asked = parser.parse_args()
    photographs = asked.photographs and asked.photographs.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ENCODING_DATA_DIR"] = scratch
        store = Store(Path(scratch) / "store")
        problems = _problems(Path(scratch), store, photographs)
        rows = [_row(name, problems, store) for name in asked.only or READOUTS]
    print(json.dumps(rows, indent=1))
    if asked.write:
        before, after = PAGE.read_text().split(START)[0], PAGE.read_text().split(END)[1]
        PAGE.write_text(f"{before}{START}\n{_table(rows)}\n{END}{after}")


def _problems(root: Path, store: Store, photographs: Path | None) -> dict[str, tuple[FitSpec, tuple[str, ...]]]:
    """Title to what is fitted and the regions reported; the fits leave features and components in the Store."""
    from encoding.datasets.writers.algonauts2021 import simulate_algonauts2021

    found = {"subject": (FitSpec(), (*REGIONS, "all"))}
    if photographs:
        write_planted(root / "planted", photographs, store)
        spec = FitSpec(dataset="planted", subject="photographs", n_components=N_COMPONENTS)
        found["photographs"] = (spec, TRUTHS)
    simulate_algonauts2021(root / "algonauts2021", n_clips=N_CLIPS, subjects=("subj01",))
    subject = DATASETS["algonauts2021"].subjects()[0]
    clips = FitSpec(
        dataset="algonauts2021", subject=subject, n_components=20, frames=N_FRAMES, over_frames="sequence", split=f"first:{N_CLIPS - 60}"
    )
    found["clips"] = (clips, ("V1", "FFA"))
    for title, (spec, _) in found.items():
        print(f"preparing: {title}", file=sys.stderr, flush=True)
        fit(spec, store)
    return found


def write_planted(folder: Path, photographs: Path, store: Store) -> None:
    """A data set of one's own in ``folder``: photographs, and responses made from them, a third of them each of :data:`TRUTHS`."""
    from encoding.backbones import BACKBONES
    from encoding.datasets._images import ImageFiles
    from encoding.features.extraction import extract, feature_keys, load
    from encoding.features.pca import fit_components
    from encoding.storage.fingerprints import files_fingerprint

    paths = [path for place in (photographs, *sorted(photographs.iterdir())) if place.is_dir() for path in list_images(place)]
    paths += [path for place in sorted(photographs.glob("*/*/")) for path in list_images(place)]
    stimuli = ImageFiles(paths, fingerprint=files_fingerprint(paths, store))
    source = BACKBONES["gabor"]
    keys = feature_keys(stimuli.fingerprint, source.fingerprint("gabor", "pretrained"), ["energy"])
    extract(stimuli, lambda: source.open("gabor", "pretrained"), keys, store)
    Z = fit_components([load(keys["energy"], store)], np.arange(len(paths)), N_COMPONENTS).scores
    rng = np.random.default_rng(0)
    driven = Z / Z.std(0) / np.sqrt(np.arange(1, N_COMPONENTS + 1))  # early components count more
    linear = driven @ rng.normal(size=(N_COMPONENTS, N_PER_TRUTH))
    squares = (driven[:, :8] @ rng.normal(size=(8, N_PER_TRUTH))) ** 2
    signal = np.concatenate([linear, squares, np.zeros_like(linear)], axis=1)
    spread = signal.std(0)
    signal = np.divide(signal - signal.mean(0), spread, out=np.zeros_like(signal), where=spread > 0)
    responses = np.sqrt(SIGNAL) * signal + np.sqrt(1 - SIGNAL) * rng.normal(size=signal.shape)
    folder.mkdir(parents=True)
    np.save(folder / "responses.npy", responses.astype(np.float32))
    np.save(folder / "regions.npy", np.repeat(np.arange(1, len(TRUTHS) + 1), N_PER_TRUTH))
    (folder / "images").mkdir()
    for number, path in enumerate(paths):
        (folder / "images" / f"{number:05d}{path.suffix.lower()}").symlink_to(path)
    (folder / "dataset.toml").write_text(
        'title = "Planted truth on photographs"\nsimulated = true\n[stimuli]\nfolder = "images"\n[subjects.photographs]\n'
        f'responses = "responses.npy"\nrois.truth = {{ labels = "regions.npy", names = {json.dumps(TRUTHS)} }}\n'
    )


def _row(name: str, problems: dict[str, tuple[FitSpec, tuple[str, ...]]], store: Store) -> dict[str, object]:
    """Mean r of each region, and seconds from stored features (0 for what the preparation fitted), problem by problem, or why not."""
    row: dict[str, object] = {"readout": name}
    for title, (spec, regions) in problems.items():
        print(f"{name}: {title}", file=sys.stderr, flush=True)
        wanted = replace(spec, readout=name)
        started = time.perf_counter()
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                result = fit(wanted, store)
        except ValueError as error:
            row[title] = {"not done": str(error)}
            continue
        table = result.rois()
        r = {region: float(table.loc[table["roi"] == region, "r_mean"].mean()) for region in regions}
        row[title] = {"r": r, "seconds": round(time.perf_counter() - started, 1), "said": sorted({str(each.message) for each in said})}
    return row


def _table(rows: list[dict[str, object]]) -> str:
    """A Markdown table, a readout a line, a dash where a readout does not apply."""
    titles = [title for title in rows[0] if title != "readout"]
    regions = {title: next(list(row[title]["r"]) for row in rows if "r" in row[title]) for title in titles}
    head = ["readout", *(f"{title}: {region}" for title in titles for region in regions[title])]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [f"{row[title]['r'][region]:.3f}" if "r" in row[title] else "-" for title in titles for region in regions[title]]
        lines.append(f"| {' | '.join(['`' + str(row['readout']) + '`', *cells])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
