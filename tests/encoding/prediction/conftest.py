"""Small data of both challenges, written once."""

import numpy as np
import pytest

from encoding import DATASETS
from encoding.datasets.algonauts2021 import Algonauts2021
from encoding.datasets.algonauts2023 import Algonauts2023
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from tests.encoding.datasets.made2021 import write_made
from tests.encoding.datasets.made2023 import SIZE, made_subject


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    return write_made(tmp_path_factory.mktemp("algonauts2021"))


@pytest.fixture
def clip_data(clips, monkeypatch):
    list(DATASETS)
    monkeypatch.setitem(DATASETS._members, "algonauts2021", Algonauts2021(clips))
    return clips


@pytest.fixture(scope="session")
def challenge2023(tmp_path_factory):
    """Two of the challenge's subjects, simulated."""
    out = tmp_path_factory.mktemp("algonauts2023")
    for name, seed in (("subj01", 1), ("subj06", 6)):
        noise = np.random.default_rng(seed)
        responses = {hemi: noise.normal(size=(24, n)).astype(np.float32) for hemi, n in (("lh", 60), ("rh", 70))}
        write_algonauts2023(made_subject(name=name, responses=responses), out, size=SIZE)
    return out


@pytest.fixture
def data2023(challenge2023, monkeypatch):
    list(DATASETS)
    monkeypatch.setitem(DATASETS._members, "algonauts2023", Algonauts2023(challenge2023))
    return challenge2023
