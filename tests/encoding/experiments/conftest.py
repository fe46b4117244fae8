"""Two planted subjects and two networks, and experiments on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding import BACKBONES, Store
from encoding.experiments import Experiment, run_experiment
from encoding.experiments.selection import with_validation
from encoding.features import extraction
from tests.conftest import TINY, OtherTinySource, TinyStimuli
from tests.encoding.experiments import planted as planting


@pytest.fixture
def lab(tiny, monkeypatch):
    """The planted data set with a second subject, who saw other images, and a second network."""
    monkeypatch.setitem(BACKBONES.sources._members, "othernet", OtherTinySource())
    first, rng = tiny.subject, np.random.default_rng(1)
    responses = {hemi: np.asarray(Y)[::-1].copy() for hemi, Y in first.responses.items()}
    pixels = rng.permutation(first.stimuli.pixels[::-1])
    second = replace(
        first,
        name="subj02",
        stimuli=TinyStimuli(pixels),
        responses=responses,
        fingerprints={hemi: f"{hemi}-second" for hemi in responses},
    )
    subjects = {"subj01": first, "subj02": second}
    monkeypatch.setattr(tiny, "subjects", lambda: tuple(subjects))
    monkeypatch.setattr(tiny, "open", lambda subject, *_: tiny.subject if subject == "subj01" else subjects[subject])
    return tiny


@pytest.fixture(scope="package")
def planted(tmp_path_factory):
    """Two subjects, of whom the second sees other stimuli, and a Store."""
    with pytest.MonkeyPatch.context() as patch:
        planting.register_planted(patch, {f"subj0{number}": planting.planted_subject(f"subj0{number}", seed=number) for number in (1, 2)})
        yield Store(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="package")
def ran(planted):
    """Both subjects' grid of two networks and two layers, with validation fits."""
    return run_experiment(with_validation(replace(planting.GRID, vary={"subject": "all", **planting.GRID.vary})), planted)


@pytest.fixture
def passes(monkeypatch):
    """Network, first image and layers of every pass of stimuli through a backbone."""
    made, stream = [], extraction._stream

    def counted(stimuli, backbone, rows, *rest):
        made.append((backbone.fingerprint, stimuli.fingerprint, tuple(rows)))
        return stream(stimuli, backbone, rows, *rest)

    monkeypatch.setattr(extraction, "_stream", counted)
    return made


GRID = Experiment(
    base=replace(TINY, n_components=6, hemi="lh", rois=("driven",)),
    vary={
        "subject": "all",
        "backbone": ["tinynet", "othernet"],
        "layers": "curated",
        "readout": ["ridge", "ols"],
    },
)
"""2 subjects x 2 networks x 2 layers x 2 readouts."""
