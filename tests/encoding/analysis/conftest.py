"""The planted data: with readouts that have parameters to search, and with repeated stimuli."""

import shutil

import numpy as np
import pytest

import encoding.analysis.hyperparameter_search as search_module
from encoding import READOUTS, Store
from encoding.analysis.optuna_study import begin
from tests.conftest import TinyStimuli, register_tiny
from tests.encoding.analysis.repeated_stimuli import IDS
from tests.encoding.analysis.searched_readouts import Boosted, Signed, SignedArrays, Stepped
from tests.encoding.analysis.squares import squares_subject


@pytest.fixture(scope="package")
def subject():
    """The subject of drawn stimuli."""
    return squares_subject()


@pytest.fixture(scope="session")
def empty_study(tmp_path_factory):
    """A study's file before its first trial; making one takes half a second."""
    path = tmp_path_factory.mktemp("study") / "empty.db"
    begin(path)
    return path


@pytest.fixture
def planted(tiny, monkeypatch, empty_study):
    """Readouts with a space, registered for one test, on the planted data."""

    def begin_quickly(path):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_study, path)
        begin(path)

    monkeypatch.setattr(search_module, "begin", begin_quickly)
    list(READOUTS)
    for readout in (Signed(), SignedArrays(), Boosted(), Stepped()):
        monkeypatch.setitem(READOUTS._members, readout.name, readout)
    for kept in (Signed.fitted, Stepped.epochs):
        kept.clear()
    return tiny


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """The data set of repeated stimuli, and a Store for its fits."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        dataset, rng = register_tiny(monkeypatch), np.random.default_rng(0)
        pixels = dataset.subject.stimuli.pixels[IDS]
        responses = {hemi: (Y[IDS] + 0.3 * rng.normal(size=Y.shape)).astype(np.float32) for hemi, Y in dataset.subject.responses.items()}
        prints = {hemi: f"repeats-{hemi}" for hemi in responses}
        dataset.change(stimuli=TinyStimuli(pixels), responses=responses, fingerprints=prints, groups=IDS)
        yield dataset, Store(tmp_path_factory.mktemp("repeated"))
