"""The doctor on Algonauts 2021."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest

from encoding.datasets.doctor import diagnose
from tests.encoding.datasets.doctor.findings import told


@pytest.fixture
def videos(data):
    """Twelve clips of three frames, of which ten have responses: nine ROIs of one person, and a whole brain of another."""
    pytest.importorskip("av")
    from encoding.datasets.algonauts2021 import MINI_TRACK
    from tests.encoding.datasets.test_videos import write

    folder = data / "algonauts2021"
    clips = folder / "AlgonautsVideos268_All_30fpsmax"
    clips.mkdir(parents=True)
    for number in range(1, 13):
        write(clips / f"{number:04d}_0-1.mp4", n=2 + number)
    chance = np.random.default_rng(0)
    for place, roi, n in [("mini_track/sub01", roi, 25) for roi in MINI_TRACK] + [("full_track/sub02", "WB", 40)]:
        path = folder / "participants_data_v2021" / place / f"{roi}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((78, 93, 71))
        mask.ravel()[:n] = 1
        path.write_bytes(pickle.dumps({"train": chance.normal(size=(10, 3, n)).astype(np.float32), "voxel_mask": mask}, protocol=2))
    (folder / "SIMULATED.txt").touch()
    return folder


def test_sound_videos_give_nothing_but_what_is_so(videos, store):
    findings = diagnose(videos.parent, store)
    assert {finding.level for finding in findings} == {"ok"}
    for part in (
        "algonauts2021: 12 clips, named by their rows, all readable, of 3 to 14 frames",
        "no clip has a double",
        "sub01: 10 rows answer the first 10 clips; 2 are test clips",
        "sub01: voxels: V1 25, V2 25",
        "sub02-full: voxels: WB 40",
        "A rough noise ceiling",
    ):
        assert part in told(findings, "ok"), part


def test_videos_without_the_marker_are_compared_with_the_download(videos, store):
    (videos / "SIMULATED.txt").unlink()
    warnings = told(diagnose(videos, store), "warning")
    for part in (
        "12 clips. The challenge's download has 1,102",
        "sub01: 10 rows. The challenge's download has 1,000",
        "sub01: 25 voxels in V1. The challenge's download has 232",
    ):
        assert part in warnings, part


def test_what_is_wrong_with_videos_is_named(videos, store):
    clips, mini = (
        sorted((videos / "AlgonautsVideos268_All_30fpsmax").iterdir()),
        videos / "participants_data_v2021" / "mini_track" / "sub01",
    )
    clips[2].write_bytes(b"no clip")
    shutil.copy(clips[4], clips[5])
    for path in clips[9:]:
        path.unlink()
    (mini / "V1.pkl").unlink()
    (mini / "V2.pkl").write_bytes(pickle.dumps(shutil.rmtree, protocol=2))
    findings = diagnose(videos, store)
    for part in (
        "1 of 9 clips cannot be read, the first: ",
        "sub01 lacks V1.pkl",
        "V2.pkl is refused, and nothing in it was run",
        "sub02-full: 9 clips for 10 rows. Each row answers one clip.",
    ):
        assert part in told(findings, "error"), part
    assert "1 clip equals another, the first 0006_0-1.mp4 and 0005_0-1.mp4" in told(findings, "warning")


def test_clips_without_people_have_no_responses(videos, store):
    shutil.rmtree(videos / "participants_data_v2021")
    assert "no sub01, sub02 … in mini_track or full_track. There are no responses." in told(diagnose(videos, store), "error")
