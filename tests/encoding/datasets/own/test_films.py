"""Rows that are samples of runs: films, feature tables, trends, dropped ends, z-scores, groups, delays, and what is refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from nilearn.signal import clean
from PIL import Image

from encoding import DATASETS, FitSpec, fit
from encoding.datasets import BadData
from encoding.datasets._films import FilmSamples, Window
from encoding.datasets.doctor import diagnose
from encoding.datasets.own.runs import film_groups, without_trends
from encoding.evaluation.noise_ceiling import from_ncsnr_of_rows, ncsnr_of_repeats
from encoding.fits.plan import plan
from encoding.prediction.inputs import CannotPredict
from encoding.prediction.predict import predict
from encoding.prediction.tables import stimuli_in_table
from tests.encoding.features.test_delays import by_run

RNG = np.random.default_rng(0)
LENGTHS = (14, 12, 12, 13)
RUNS = np.repeat(np.arange(4), LENGTHS)
N, P, V = len(RUNS), 4, 6
X = RNG.normal(size=(N, P)).astype(np.float32)
Y = (by_run(X, [1], RUNS) @ RNG.normal(size=(P, V)) + 0.1 * RNG.normal(size=(N, V)) + 0.2 * np.arange(N)[:, None]).astype(np.float32)
TWICE = np.array([0, 1, 1, 0])[RUNS]
FILES = [f"run{run}.npy" for run in range(4)]
TIME = "[time]\ntr = 1.5\n"
SUBJECT = f"[subjects.me]\nresponses = {FILES}\n".replace("'", '"')
RATE = 10  # frames a second
FILM_SECONDS = {"a.mkv": 22, "b.mkv": 20}
FILMS = '[stimuli]\nfilms = ["a.mkv", "b.mkv", "b.mkv", "a.mkv"]\n'


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two films whose frame at t seconds is grey of level 10 t, and of 255 - 10 t."""
    import av

    folder = tmp_path_factory.mktemp("films")
    for name, seconds in FILM_SECONDS.items():
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("libx264rgb", rate=RATE, options={"qp": "0", "g": "35"})
            stream.width = stream.height = 16
            stream.pix_fmt = "rgb24"
            for number in range(seconds * RATE):
                frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), level(name, number), np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return folder


def level(name, number):
    return number if name == "a.mkv" else 255 - number


@pytest.fixture
def folder(data_dir, tmp_path, monkeypatch, films):
    """Four runs, one file each, and a table of features with a row for each of their samples."""
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "store"))
    folder = data_dir / "mine"
    (folder / "features").mkdir(parents=True)
    for run, name in enumerate(FILES):
        np.save(folder / name, Y[run == RUNS])
    np.save(folder / "all.npy", Y)
    np.save(folder / "runs.npy", RUNS + 5)
    np.save(folder / "features" / "words.npy", X)
    for name in FILM_SECONDS:
        (folder / name).symlink_to(films / name)
    return folder


def opened(folder, store, text=TIME + SUBJECT):
    (folder / "dataset.toml").write_text(text)
    problem = DATASETS["mine"].problem
    if problem:
        raise BadData(problem)
    return DATASETS["mine"].open("me", store)


# -- responses


def test_runs_are_files_or_a_column_and_the_numbers_are_the_same(folder, store):
    me = opened(folder, store)
    assert np.array_equal(me.runs, RUNS) and me.tr == 1.5 and np.array_equal(me.groups, RUNS)
    assert np.array_equal(me.responses["brain"][:], Y) and me.stimuli.names[14] == "samples/run1/00000"
    other = opened(folder, store, TIME + 'runs = "runs.npy"\n[subjects.me]\nresponses = "all.npy"\n')
    assert np.array_equal(other.runs, RUNS) and np.array_equal(other.responses["brain"][:], Y)
    assert other.stimuli.names[-1] == "samples/run 8/00012" and DATASETS["mine"].split == "holdout:0.8:0"


def test_trends_are_taken_out_ends_dropped_and_columns_standardised_run_by_run(folder, store):
    me = opened(folder, store, TIME + "drop = [2, 1]\ndetrend = 2\nzscore = true\n" + SUBJECT)
    expected = []
    for run in range(4):
        own = Y[run == RUNS].astype(np.float64)
        times = np.arange(len(own))
        own -= np.polynomial.polynomial.polyval(times, np.polynomial.polynomial.polyfit(times, own, 2)).T
        own = own[2:-1]
        expected.append((own - own.mean(0)) / own.std(0))
    np.testing.assert_allclose(me.responses["brain"][:], np.concatenate(expected), atol=1e-4)
    assert me.n_stimuli == N - 12 and np.array_equal(np.bincount(me.runs), np.array(LENGTHS) - 3)
    assert DATASETS["mine"].is_ready("me", store)
    other = opened(folder, store, TIME + "drop = [2, 1]\ndetrend = 1\nzscore = true\n" + SUBJECT)
    assert other.fingerprints != me.fingerprints and not np.array_equal(other.responses["brain"][:], me.responses["brain"][:])


def test_slow_drifts_are_nilearns_cosines_and_the_mean_stays():
    Z = RNG.normal(size=(200, 3)) + np.sin(np.arange(200) / 40)[:, None] + 7
    expected = clean(Z, detrend=False, standardize=None, filter="cosine", high_pass=0.02, t_r=1.5)
    np.testing.assert_allclose(without_trends(Z, 1.5, high_pass=0.02), expected - expected.mean(0) + Z.mean(0), atol=1e-8)
    assert np.abs(without_trends(Z, 1.5, degree=0).mean(0)).max() < 1e-12


def test_a_constant_column_is_zero_after_standardising(folder, store):
    np.save(folder / "run2.npy", np.full((12, V), 3.3, np.float32))
    me = opened(folder, store, TIME + "zscore = true\n" + SUBJECT)
    assert not me.responses["brain"][:][me.runs == 2].any() and me.responses["brain"][:][me.runs != 2].any(0).all()


# -- stimuli


def test_a_sample_shows_its_own_stretch_of_the_film(folder, store):
    me = opened(folder, store, TIME + "drop = [1, 0]\n" + FILMS + SUBJECT)
    assert isinstance(me.stimuli, FilmSamples) and DATASETS["mine"].clips and DATASETS["mine"].is_ready("me", store)
    for n_frames in (1, 3):
        samples = me.stimuli.sampled(n_frames)
        for row, run, place in ((0, 0, 1), (7, 0, 8), (20, 1, 8), (len(samples) - 1, 3, 12)):
            name = ("a.mkv", "b.mkv", "b.mkv", "a.mkv")[run]
            shown = [np.asarray(image)[0, 0, 0] for image in samples.frames(row)]
            times = [1.5 * place + 1.5 * (each + 0.5) / n_frames for each in range(n_frames)]
            assert shown == [level(name, int(at * RATE + 1e-6)) for at in times], (row, n_frames)
    assert me.stimuli.sampled(2).fingerprint != me.stimuli.sampled(3).fingerprint
    assert {folder / name for name in FILM_SECONDS} <= set(DATASETS["mine"].watched("me"))


def test_runs_begin_within_their_film_and_windows_may_be_longer(folder, store):
    me = opened(folder, store, TIME + FILMS + "starts = [0, 0.5, 2, 1]\nwindow = 3\n" + SUBJECT)
    first = int(np.flatnonzero(me.runs == 2)[0])
    assert [np.asarray(image)[0, 0, 0] for image in me.stimuli.sampled(2).frames(first)] == [255 - 27, 255 - 42]
    assert np.array_equal(me.groups, TWICE)
    apart = FILMS.replace('"b.mkv", "b.mkv", "a.mkv"', '"b.mkv", "a.mkv", "b.mkv"').replace("films", "starts = [0, 0, 9, 0]\nfilms")
    (folder / "runs.npy").unlink()
    short = [np.save(folder / name, Y[run == RUNS][:7]) for run, name in enumerate(FILES)]
    np.save(folder / "features" / "words.npy", X[: 7 * len(short)])
    assert len(np.unique(opened(folder, store, TIME + apart + SUBJECT).groups)) == 3  # the third begins where the first ends


def test_a_film_that_was_seen_twice_is_one_group_and_gives_a_ceiling(folder, store):
    cleaned = TIME + "detrend = 1\n"
    me = opened(folder, store, cleaned + FILMS + SUBJECT + 'ceiling_from = "ncsnr"\n')
    assert np.array_equal(me.groups, TWICE)
    assert len(np.unique(me.stimulus_of_row)) == 26 and "25 stimuli shown 2 times" in me.ceiling_about
    ncsnr = ncsnr_of_repeats(me.responses["brain"][:], me.stimulus_of_row)
    np.testing.assert_allclose(me.ceiling["brain"], from_ncsnr_of_rows(ncsnr, np.ones(N, int)), rtol=1e-5)


def test_samples_of_a_run_that_begins_between_two_are_stimuli_of_their_own(folder, store):
    me = opened(folder, store, "[time]\ntr = 1\n" + FILMS + "starts = [0, 2.5, 2.5, 0.5]\n" + SUBJECT + 'ceiling_from = "ncsnr"\n')
    assert [len(np.unique(me.stimulus_of_row[me.runs == run])) for run in range(4)] == list(LENGTHS)
    assert me.most_repeats == 2 and np.array_equal(me.stimulus_of_row[me.runs == 1], me.stimulus_of_row[me.runs == 2])


@pytest.mark.parametrize("ceiling", ["", 'ceiling_from = "ncsnr"\n'])
def test_a_copy_of_a_film_under_another_name_is_the_same_film(folder, store, ceiling):
    (folder / "copy.mkv").write_bytes((folder / "b.mkv").read_bytes())
    same = opened(folder, store, TIME + FILMS + SUBJECT + ceiling)
    me = opened(folder, store, TIME + FILMS.replace('"b.mkv", "a.mkv"', '"copy.mkv", "a.mkv"') + SUBJECT + ceiling)
    assert me.stimuli.names[RUNS.searchsorted(2)] == "copy at 0.0 s" and np.array_equal(me.groups, TWICE)
    assert np.array_equal(me.stimulus_of_row, same.stimulus_of_row) and me.ceiling_about == same.ceiling_about
    assert DATASETS["mine"].is_ready("me", store)


def test_copies_of_images_are_one_stimulus_in_all_runs(folder, store):
    for i in range(N):
        Image.new("RGB", (8, 8), (i % 14 if RUNS[i] in (1, 2) else 100 + i, 0, RUNS[i] in (1, 2))).save(folder / f"{i}.png")
    (folder / "order.txt").write_text("\n".join(f"{i}.png" for i in range(N)))
    text = TIME + '[stimuli]\nfiles = "order.txt"\n' + SUBJECT
    me, other = opened(folder, store, text), opened(folder, store, text + 'ceiling_from = "ncsnr"\n')
    assert np.array_equal(me.groups, np.array([0, 1, 1, 3])[RUNS]) and me.most_repeats == 2
    assert np.array_equal(me.groups, other.groups) and np.array_equal(me.stimulus_of_row, other.stimulus_of_row)


def test_single_samples_that_are_alike_do_not_join_runs():
    runs, stimuli = np.repeat([0, 1, 2], 10), np.arange(30)
    stimuli[[3, 13, 23]] = 3  # a blank screen in every run
    assert np.array_equal(film_groups(runs, stimuli), runs)
    stimuli[20:25] = stimuli[:5]
    assert np.array_equal(film_groups(runs, stimuli), np.repeat([0, 1, 0], 10))


def test_images_of_samples_are_listed_as_those_of_trials(folder, store):
    for i in range(N):
        Image.new("RGB", (8, 8), (4 * i, 0, 0)).save(folder / f"{i}.png")
    (folder / "order.txt").write_text("\n".join(f"{0 if i in (20, 40) else i}.png" for i in range(N)))
    me = opened(folder, store, TIME + 'drop = [1, 1]\n[stimuli]\nfiles = "order.txt"\n' + SUBJECT)
    assert me.stimuli.names[0] == "1" and np.array_equal(me.groups, me.runs) and me.n_stimuli == N - 8


# -- fits


WORDS = FitSpec(dataset="mine", subject="me", backbone="given/words", layers=("table",), n_components=0)
SPEC = replace(WORDS, split="runs", delays="1,2", options={"alpha": 1.0})


@pytest.mark.parametrize("rows", ["all", "kept"])
def test_a_fit_on_a_table_with_delays_is_ridge_by_hand_and_predicts_another_run(folder, store, rows, tmp_path):
    kept = np.concatenate([np.flatnonzero(run == RUNS)[2:-1] for run in range(4)])
    if rows == "kept":
        np.save(folder / "features" / "words.npy", X[kept])
    me = opened(folder, store, TIME + "drop = [2, 1]\ndetrend = 1\n" + SUBJECT)
    result, runs = fit(SPEC, store, device="cpu"), RUNS[kept]
    assert len(result.plan.folds) == 4
    new = RNG.normal(size=(9, P)).astype(np.float32)
    np.save(tmp_path / "new.npy", new)
    predicted = predict(result, stimuli_in_table(tmp_path / "new.npy", result, store), device="cpu")["brain"]
    expected = []
    for number, fold in enumerate(result.plan.folds):
        centre = X[kept][fold.train].mean(0)
        Z, T = by_run(X[kept].astype(np.float64) - centre, (1, 2), runs), me.responses["brain"][:].astype(np.float64)
        A, B = Z[fold.train] - Z[fold.train].mean(0), T[fold.train] - T[fold.train].mean(0)
        w = np.linalg.solve(A.T @ A + np.eye(2 * P), A.T @ B)
        intercept = T[fold.train].mean(0) - Z[fold.train].mean(0) @ w
        np.testing.assert_allclose(result.predicted_rows(number, fold.test, "brain", np.arange(V)), Z[fold.test] @ w + intercept, atol=1e-4)
        expected.append(by_run(new - centre, (1, 2), np.zeros(9)) @ w + intercept)
    np.testing.assert_allclose(predicted, np.mean(expected, axis=0), atol=1e-4)


def test_a_fit_on_films_finds_the_lag_and_predicts_no_single_image(folder, store):
    from encoding.prediction.predictor import Predictor

    opened(folder, store, TIME + "zscore = true\n" + FILMS + SUBJECT)
    spec = replace(SPEC, backbone="pixels", layers=("rgb",), frames=2, n_components=3, split="kfold:2:0")
    result = fit(spec, store, device="cpu")
    assert result.n_test == N and np.isfinite(result.score("brain")).all()
    with pytest.raises(CannotPredict, match="whole runs"):
        Predictor.of(result, device="cpu")


# -- refusals and the doctor


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[time]\nzscore = true\n" + SUBJECT, "needs tr"),
        ("[time]\ntr = 0\n" + SUBJECT, "above 0"),
        ("[time]\ntr = 2\ndrop = 5\n" + SUBJECT, "two whole numbers"),
        ("[time]\ntr = 2\ndetrend = -1\n" + SUBJECT, "degree of a polynomial"),
        ("[time]\ntr = 2\nhigh_pass = 0.3\n" + SUBJECT, "half the sampling rate"),
        (TIME + "drop = [6, 5]\n" + SUBJECT, "run1 has 12 samples"),
        (TIME + SUBJECT + "average = true\n", "averages rows"),
        (TIME + 'runs = "torn.npy"\n' + SUBJECT, "goes back to"),
        (TIME + 'runs = "day"\n' + SUBJECT, "column of the events"),
        (TIME + SUBJECT + 'groups = "torn.npy"\n', "parts the samples of run0"),
        (FILMS + SUBJECT, r"\[time\] with tr"),
        (TIME + FILMS.replace('"a.mkv", ', "") + SUBJECT, "3 films and 4 runs"),
        (TIME + FILMS + "starts = [1]\n" + SUBJECT, "4 films and 1 starts"),
        (TIME + '[stimuli]\nfolder = "."\nwindow = 2\n' + SUBJECT, "window, which is of films"),
        ("[time]\ntr = 2.0\n" + FILMS + SUBJECT, "a.mkv lasts 22.0 s, and 3 samples of run0 were taken after its end"),
        (SUBJECT, "must say where the images are"),
    ],
)
def test_what_cannot_be_is_named(folder, store, text, match):
    np.save(folder / "torn.npy", np.arange(N) % 3)
    with pytest.raises(BadData, match=match):
        opened(folder, store, text)


def test_a_film_that_is_none_is_named_by_the_reader_and_the_doctor(folder, store):
    (folder / "a.mkv").unlink()
    (folder / "a.mkv").write_bytes(b"no film")
    with pytest.raises(BadData, match=r"a\.mkv cannot be read as a video"):
        opened(folder, store, TIME + FILMS + SUBJECT)
    assert any("1 of 2 films cannot be read" in finding.what for finding in diagnose(folder, store=store))


@pytest.mark.parametrize("stimuli", ["", FILMS])
def test_the_doctor_describes_runs(folder, store, stimuli):
    (folder / "dataset.toml").write_text(TIME + "drop = [1, 0]\ndetrend = 1\nzscore = true\n" + stimuli + SUBJECT)
    findings = list(diagnose(folder, store=store))
    assert not [finding for finding in findings if finding.level == "error"]
    texts = " ".join(finding.what for finding in findings)
    assert "4 runs of 12 to 14 samples, one every 1.5 s, of which 4 at their ends are left out" in texts
    assert ("2 films of 0.7 minutes" if stimuli else "samples have numbers") in texts and "given/words" in texts


def test_windows_divide_into_the_middles_of_equal_parts(tmp_path):
    assert Window(tmp_path, 2.0, 1.0).times(2) == [2.25, 2.75]
    with pytest.raises(ValueError, match="at least"):
        FilmSamples([], {}, n_frames=0)


def test_keys_follow_the_films_not_their_place(folder, store, tmp_path):
    me = opened(folder, store, TIME + FILMS + SUBJECT)
    spec = replace(SPEC, backbone="pixels", layers=("rgb",), n_components=3)
    before = plan(spec, store).key
    (tmp_path / "elsewhere").mkdir()
    (folder / "b.mkv").rename(tmp_path / "elsewhere" / "c.mkv")
    moved = TIME + FILMS.replace("b.mkv", str(tmp_path / "elsewhere" / "c.mkv")) + SUBJECT
    assert opened(folder, store, moved).stimuli.fingerprint == me.stimuli.fingerprint and plan(spec, store).key == before
