"""Any clip becomes the frames that were drawn, or an error that names it."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from encoding.datasets._base import BadData
from encoding.datasets._videos import VideoFiles, evenly_spaced, list_videos
from tests import PROJECT

av = pytest.importorskip("av")

N, SIDE = 30, 48
ROOT = PROJECT


def drawn(number, n=N):
    """Frame ``number``: a patchwork that drifts and grows lighter."""
    blocks = np.random.default_rng(0).integers(0, 128, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8)
    return np.kron(np.roll(blocks, number, axis=1), np.ones((4, 4, 1), np.uint8)) + np.uint8(120 * number / n)


def write(path, *, n=N, codec="libx264rgb", pixels="rgb24", options=(("qp", "0"),), container_options=()):
    """A clip; with the defaults it holds every pixel as it was drawn."""
    with av.open(str(path), "w", container_options=dict(container_options)) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.options = SIDE, SIDE, pixels, dict(options)
        for number in range(n):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(number, n), format="rgb24")))
        container.mux(stream.encode())
    return path


def clip(path, **more):
    return VideoFiles([path], fingerprint="f", **more)


@pytest.fixture(scope="module")
def lossless(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clips") / "0001_a.mp4")


@pytest.mark.parametrize("n_frames", [1, 2, 3, 16, 30])
def test_frames_are_the_drawn_ones_pixel_by_pixel(lossless, n_frames):
    frames = clip(lossless, n_frames=n_frames).frames(0)
    assert len(frames) == n_frames and all(frame.mode == "RGB" for frame in frames)
    for number, frame in zip(np.linspace(0, N - 1, n_frames, dtype=int), frames, strict=True):
        assert np.array_equal(np.asarray(frame), drawn(number)), number


def test_frames_are_spaced_as_the_development_kit_does():
    assert evenly_spaced(90, 16) == [0, 5, 11, 17, 23, 29, 35, 41, 47, 53, 59, 65, 71, 77, 83, 89]  # rounding up would give 6, 12, 18 …
    assert evenly_spaced(3, 5) == [0, 0, 1, 1, 2]
    assert evenly_spaced(1, 4) == [0, 0, 0, 0] and evenly_spaced(7, 1) == [0]


def test_sixteen_frames_are_taken_unless_told_otherwise(lossless):
    stimuli = clip(lossless)
    assert stimuli.n_frames == len(stimuli.frames(0)) == 16
    assert stimuli.sampled(4).n_frames == len(stimuli.sampled(4).frames(0)) == 4
    assert stimuli.n_frames == 16
    with pytest.raises(ValueError, match="One frame of each clip is needed at least, not 0"):
        stimuli.sampled(0)


def test_the_picture_of_a_clip_is_its_middle_frame(lossless):
    assert np.array_equal(np.asarray(clip(lossless)[0]), drawn(14))


def test_the_number_of_frames_is_part_of_the_fingerprint_and_the_place_is_not(lossless):
    stimuli = clip(lossless)
    assert stimuli.sampled(16).fingerprint == stimuli.fingerprint != stimuli.sampled(2).fingerprint
    assert stimuli.sampled(2).sampled(16).fingerprint == stimuli.fingerprint
    assert VideoFiles([], fingerprint="f").fingerprint == stimuli.fingerprint != VideoFiles([], fingerprint="g").fingerprint


@pytest.mark.parametrize(
    ("name", "codec", "pixels"), [("a.mp4", "mpeg4", "yuv420p"), ("a.mp4", "libx264", "yuv420p"), ("a.mov", "png", "rgb24")]
)
def test_every_codec_shows_the_drawn_frames(tmp_path, name, codec, pixels):
    frames = clip(write(tmp_path / name, codec=codec, pixels=pixels, options=()), n_frames=3).frames(0)
    for number, frame in zip((0, 14, 29), frames, strict=True):
        errors = {other: np.abs(np.asarray(frame, int) - drawn(other)).mean() for other in range(N)}
        assert min(errors, key=errors.get) == number and errors[number] < 25


def test_clips_can_be_pickled_and_read_from_threads(tmp_path):
    paths = [write(tmp_path / f"{i}.mp4", n=4 + i) for i in range(6)]
    stimuli = pickle.loads(pickle.dumps(VideoFiles(paths, fingerprint="f", n_frames=2)))
    with ThreadPoolExecutor(4) as pool:
        for i, (first, last) in enumerate(pool.map(stimuli.frames, list(range(6)) * 3)):
            n = 4 + i % 6
            assert np.array_equal(np.asarray(first), drawn(0, n)) and np.array_equal(np.asarray(last), drawn(n - 1, n))
    assert stimuli.names == tuple("012345") and len(stimuli) == 6
    assert [image.size for image in stimuli] == [(SIDE, SIDE)] * 6


def test_frames_not_asked_for_are_let_go(tmp_path):
    """300 frames of 480 x 480 pixels are 207 MB as RGB, half of that as they come from the decoder."""
    with av.open(str(tmp_path / "long.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 480
        for number in range(300):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((480, 480, 3), number % 256, np.uint8), format="rgb24")))
        container.mux(stream.encode())
    look = (
        "import resource, sys\nfrom pathlib import Path\nfrom encoding.datasets._videos import VideoFiles\n"
        "clip = VideoFiles([Path(sys.argv[1])], fingerprint='f', n_frames=4)\nclip.sampled(1).frames(0)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nassert len(clip.frames(0)) == 4\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", look, tmp_path / "long.mp4"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(done.stdout) < 50


# -- what is no clip


@pytest.mark.parametrize("content", [b"", b"not a video" * 50, b"\x00\x00\x00\x20ftypisom" + bytes(200)])
def test_what_is_no_video_is_named(tmp_path, content):
    (tmp_path / "0007_odd.mp4").write_bytes(content)
    for look in (lambda stimuli: stimuli[0], lambda stimuli: stimuli.frames(0)):
        with pytest.raises(BadData, match=r"0007_odd\.mp4 .*Copy this file again"):
            look(clip(tmp_path / "0007_odd.mp4"))


def test_a_missing_clip_and_one_of_sound_alone_are_named(tmp_path):
    with pytest.raises(BadData, match=r"gone\.mp4 cannot be read \(No such file"):
        clip(tmp_path / "gone.mp4").frames(0)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44_100
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    with pytest.raises(BadData, match=r"sound\.mp4 holds no video"):
        clip(tmp_path / "sound.mp4").frames(0)


@pytest.mark.parametrize("flags", ["", "faststart"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.8])
def test_a_clip_cut_short_is_named_wherever_its_table_of_contents_lies(tmp_path, flags, keep):
    path = write(tmp_path / "cut.mp4", container_options={"movflags": flags}.items() if flags else ())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(BadData, match=r"cut\.mp4 "):
        clip(path).frames(0)


def test_a_damaged_clip_gives_frames_or_bad_data_and_nothing_else(tmp_path):
    path, chance = write(tmp_path / "bent.mp4", codec="libx264", pixels="yuv420p", options=()), random.Random(0)
    whole, n_refused = path.read_bytes(), 0
    for _ in range(60):
        bent = bytearray(whole)
        for _ in range(4):
            bent[chance.randrange(len(bent))] = chance.randrange(256)
        path.write_bytes(bent)
        try:
            assert all(isinstance(frame, Image.Image) for frame in clip(path, n_frames=3).frames(0))
        except BadData as error:
            n_refused += 1
            assert "bent.mp4" in str(error)
    assert n_refused > 10


def test_clips_are_listed_in_natural_order(tmp_path):
    for name in ("0010_b.mp4", "0009_c.MP4", "._0001_a.mp4", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_videos(tmp_path)] == ["0009_c.MP4", "0010_b.mp4"]
    with pytest.raises(BadData, match=r"There is no folder .*nowhere"):
        list_videos(tmp_path / "nowhere")
