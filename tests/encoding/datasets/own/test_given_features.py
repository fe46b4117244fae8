"""Feature tables as backbones: the same numbers as by hand, in every format, named by row or in order, alone and beside networks."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoding import BACKBONES, DATASETS, FitSpec, Store, fit
from encoding.cli import main
from encoding.datasets import BadData
from encoding.datasets.own.feature_tables import open_tables
from encoding.features.pca import fit_components
from encoding.fits.plan import plan
from encoding.prediction.inputs import CannotPredict
from encoding.prediction.predict import predict
from encoding.prediction.predictor import InMemory, Predictor
from encoding.prediction.tables import stimuli_in_table
from encoding.readouts import BadOption
from encoding.runs.exchange import import_, packed
from encoding.runtime.registry import UnknownName

N, P = 40, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P)).astype(np.float32)
Y = (X @ RNG.normal(size=(P, 7)) + RNG.normal(size=(N, 7))).astype(np.float32)
STEMS = [f"scene{i}" for i in range(N)]
TOML = 'title = "Mine"\n[stimuli]\n{stimuli}\n[subjects.me]\nresponses = "responses.npy"\n[subjects.you]\nresponses = "responses.npy"\n'
SPEC = FitSpec(dataset="mine", subject="me", backbone="given/words", layers=("table",), n_components=0, split="holdout:0.7:5")


@pytest.fixture
def folder(data_dir):
    """A data set of names without images, with one table."""
    folder = data_dir / "mine"
    (folder / "features").mkdir(parents=True)
    (folder / "dataset.toml").write_text(TOML.format(stimuli='names = "names.txt"'))
    (folder / "names.txt").write_text("\n".join(f"{stem}.png" for stem in STEMS))
    np.save(folder / "responses.npy", Y)
    np.save(folder / "features" / "words.npy", X)
    return folder


@pytest.fixture
def images(folder):
    """The same with an image for each name."""
    (folder / "images").mkdir()
    for i, stem in enumerate(STEMS):
        Image.fromarray(np.full((4, 4, 3), i * 6, np.uint8)).save(folder / "images" / f"{stem}.png")
    (folder / "dataset.toml").write_text(TOML.format(stimuli='folder = "images"'))
    return folder


def csv(names=True, order=range(N), header=("file", *"abcde")):
    rows = [([f"{STEMS[i]}.png"] if names else []) + [repr(float(x)) for x in X[i]] for i in order]
    return "\n".join(",".join(row) for row in [list(header if names else header[1:]), *rows])


def by_hand(train, test):
    """Correlation of an ordinary least squares fit on the table, per vertex."""
    A = np.c_[np.ones(len(X)), X.astype(float)]
    predicted = A[test] @ np.linalg.lstsq(A[train], Y[train].astype(float), rcond=None)[0]
    return np.array([np.corrcoef(predicted[:, j], Y[test, j])[0, 1] for j in range(Y.shape[1])])


def scores(result):
    return result.score(result.plan.hemis[0])


def test_a_table_without_images_is_fitted_as_by_hand(folder, store):
    result = fit(replace(SPEC, readout="ols"), store)
    (fold,) = result.plan.folds
    np.testing.assert_allclose(scores(result), by_hand(fold.train, fold.test), atol=1e-5)
    assert BACKBONES["given/words"].layers("given/words") == ("table",) and "given/words" in list(BACKBONES)


def write(folder, kind):
    path = folder / "features" / f"t.{kind.partition('-')[0]}"
    order = RNG.permutation(N)
    if kind == "npy":
        np.save(path, X.reshape(N, P, 1))
    elif kind == "npz-layers":
        np.savez(path, one=X, two=X[:, :2])
    elif kind == "npz-stimuli":
        np.savez(path, **{STEMS[i]: X[i] for i in order})
    elif kind.startswith("h5"):
        import h5py

        with h5py.File(path, "w") as file:
            file["one"] = X
    elif kind == "mat":
        from scipy.io import savemat

        savemat(path, {"one": X})
    elif kind == "tsv":
        path.write_text(csv(order=order).replace(",", "\t"))
    else:
        path.write_text(
            {"csv-rows": csv(names=False), "csv-named": csv(order=order), "csv-stems": csv(order=order).replace(".png", "")}[kind]
        )


@pytest.mark.parametrize("kind", ["npy", "npz-layers", "npz-stimuli", "h5", "mat", "tsv", "csv-rows", "csv-named", "csv-stems"])
def test_every_format_gives_the_same_rows_and_keeps_the_names_of_columns(folder, store, kind):
    write(folder, kind)
    table = DATASETS["mine"].open("me", store).stimuli.tables["t"]
    assert table.layers == {"npz-layers": ("one", "two"), "h5": ("one",), "mat": ("one",)}.get(kind, ("table",))
    np.testing.assert_array_equal(table.read(table.layers[0]), X)
    assert table.n_features(table.layers[0]) == P
    assert table.columns(table.layers[0]) == (tuple("abcde") if kind[:3] in ("csv", "tsv") else ())


def test_a_subject_of_its_own_comes_first_and_rows_may_be_of_images_or_of_responses(folder, store, tmp_path):
    (folder / "features" / "me").mkdir()
    np.save(folder / "features" / "me" / "words.npy", 2 * X)
    mine, yours = (DATASETS["mine"].open(name, store).stimuli.tables["words"].read("table") for name in ("me", "you"))
    np.testing.assert_array_equal(mine, 2 * yours)
    shown = [*STEMS, *STEMS[:3]]
    np.save(tmp_path / "few.npy", X)
    np.save(tmp_path / "many.npy", np.r_[X, X[:3]])
    files = {name: tmp_path / f"{name}.npy" for name in ("few", "many")}
    tables = open_tables(files, [Path(name) for name in shown], [Path(name) for name in STEMS], store)
    np.testing.assert_array_equal(tables["few"].read("table"), tables["many"].read("table"))


def numbered(folder, store, header, key, stems, order=None):
    """Open a table whose first column holds a number for each stimulus, beside X."""
    order = RNG.permutation(N) if order is None else order
    lines = [",".join([key(i), *(repr(float(x)) for x in X[i])]) for i in order]
    (folder / "names.txt").write_text("\n".join(map(stems, range(N))))
    (folder / "features" / "t.csv").write_text("\n".join([*header, *lines]))
    return DATASETS["mine"].open("me", store).stimuli.tables["t"]


@pytest.mark.parametrize("stems", ["{}.png", "{:03d}.png"])
@pytest.mark.parametrize("key", ["{}", "{}.0", "{:03d}"])
@pytest.mark.parametrize("header", ["name", "stimulus_id", "image", "picture", "luminance", ""])
def test_a_first_column_of_names_that_are_numbers_pairs_rows_whatever_its_header(folder, store, header, key, stems):
    table = numbered(folder, store, [f"{header},a,b,c,d,e"] if header else [], key.format, stems.format)
    np.testing.assert_array_equal(table.read("table"), X)
    assert table.columns("table") == (tuple("abcde") if header else ())


@pytest.mark.parametrize(
    ("header", "key"),
    [("name", lambda i: str(100 + 2 * i)), ("width", str), ("width", lambda i: str(1 + i)), ("width", lambda i: str(30_000 + i))],
)
def test_a_first_column_of_numbers_that_may_be_names_is_refused(folder, store, header, key):
    stems = "scene{}.png" if key(0) != "30000" else "{}.png"
    shown = (lambda i: stems.format(30_001 + i)) if key(0) == "30000" else stems.format
    with pytest.raises(BadData, match=r"t\.csv, '(name|width)', holds 40 distinct whole numbers, of which \d+ are .* Name the column file"):
        numbered(folder, store, [f"{header},a,b,c,d,e"], key, shown).read("table")


def test_a_first_column_of_whole_numbers_may_be_a_feature(folder, store):
    widths = RNG.permutation(N) * 7 + 640
    for key in (lambda i: str(widths[i]), lambda i: str(i // 2)):
        table = numbered(folder, store, ["width,a,b,c,d,e"], key, "{}.png".format, order=range(N))
        assert table.n_features("table") == P + 1


def test_names_of_numbers_that_two_stimuli_have_are_not_guessed(folder, store):
    table = numbered(folder, store, ["file,a,b,c,d,e"], str, lambda i: "01.png" if i == 0 else f"{i}.png")
    with pytest.raises(BadData, match=r"no row for 1 of 40 stimuli, the first 01\.png"):
        table.read("table")


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_a_name_without_its_ending_that_two_stimuli_have_is_refused(folder, store, kind):
    names = [f"{i}.{ending}" for i in range(N // 2) for ending in ("bmp", "png")]
    table = numbered(folder, store, ["file,a,b,c,d,e"], str, names.__getitem__, order=range(N // 2))
    if kind == "npz":
        (folder / "features" / "t.csv").unlink()
        np.savez(folder / "features" / "t.npz", **{str(i): X[i] for i in range(N // 2)})
        table = DATASETS["mine"].open("me", store).stimuli.tables["t"]
    with pytest.raises(BadData, match=r"names '0', which may be 0\.bmp or 0\.png. Write the names of files with their endings"):
        table.read(table.layers[0])
    np.savez(folder / "features" / "whole.npz", **{name: X[i] for i, name in enumerate(names)})
    np.testing.assert_array_equal(DATASETS["mine"].open("me", store).stimuli.tables["whole"].read("table"), X)


def _nan(folder):
    wrong = X.copy()
    wrong[7, 3] = np.nan
    np.save(folder / "features" / "words.npy", wrong)


WRONG = [
    (lambda folder: np.save(folder / "features" / "words.npy", X[:-1]), r"words\.npy has 39 rows, but there are 40 stimuli. Save a row"),
    (
        lambda folder: np.save(folder / "features" / "words.npy", X.T),
        r"has 5 rows, but there are 40 stimuli. Its columns are as many: save X.T",
    ),
    (_nan, r"NaN or infinity for scene7\.png, row 7 \(counted from 0\), column 3"),
    (lambda folder: np.save(folder / "features" / "words.npy", np.array([[{}]] * N)), "Python objects"),
    (lambda folder: np.save(folder / "features" / "words.npy", X * 1j), "holds complex64 where real numbers are needed. Complex numbers"),
]


@pytest.mark.parametrize(("damage", "message"), WRONG)
def test_a_wrong_table_is_named_with_its_fix(folder, store, damage, message):
    damage(folder)
    with pytest.raises(BadData, match=message):
        fit(SPEC, store)


TEXT_WRONG = [
    (csv(order=range(1, N)), r"no row for 1 of 40 stimuli, the first scene0\.png"),
    (csv(order=[0, *range(N)]), r"names the stimulus 'scene0\.png' twice"),
    (csv().replace("scene3.png,", "scene3.png,x"), r"column 'a': 'x.*' is no number"),
    (csv().replace(repr(float(X[4, 1])), ""), r"NaN or infinity for scene4\.png, row 4 .*column 'b'"),
]


@pytest.mark.parametrize(("text", "message"), TEXT_WRONG)
def test_a_wrong_text_table_is_named_with_its_fix(folder, store, text, message):
    (folder / "features" / "text.csv").write_text(text)
    with pytest.raises(BadData, match=message):
        fit(replace(SPEC, backbone="given/text"), store)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"pool": "mean"}, ValueError, "no image passes through. Leave --pool mean out"),
        ({"readout": "finetune"}, BadOption, "is a feature table"),
        ({"layers": ("tabel",)}, LookupError, "Did you mean 'table'"),
        ({"backbone": "given/wards"}, UnknownName, "Did you mean 'given/words'"),
        (
            {"backbone": "pixels", "layers": ("rgb",)},
            BadData,
            r"pixels needs images. Backbones without images are feature tables \(given/words\)",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(folder, store, changes, error, message):
    with pytest.raises(error, match=message):
        plan(replace(SPEC, **changes), store)


def test_keys_follow_the_bytes_of_the_table_and_nothing_that_does_not_apply(folder, store):
    before = plan(SPEC, store).feature_keys
    assert plan(replace(SPEC, feature_dtype="float16", frames=3), store).feature_keys == before
    np.save(folder / "features" / "words.npy", X + 1)
    assert plan(SPEC, store).feature_keys != before


def test_a_table_stands_beside_a_network(images, store, tiny):
    """Side by side it equals a fit on the columns side by side, whatever the order; as bands the shares are named."""
    spec = replace(
        SPEC, backbone="given/words + tinynet", layers=("given/words table", "tinynet colour"), layer_scaling="none", readout="ridge"
    )
    result = fit(spec, store)
    own = [np.asarray(store.get(key)["X"]) for key in result.plan.feature_keys.values()]
    np.testing.assert_array_equal(own[0], X)
    (fold,) = result.plan.folds
    joined = fit_components([np.hstack(own)], fold.train, 0).scores
    np.testing.assert_allclose(np.abs(result.components(0)), np.abs(joined), atol=1e-4)
    np.save(images / "features" / "joined.npy", np.hstack(own))
    np.testing.assert_allclose(scores(fit(replace(SPEC, backbone="given/joined", readout="ridge"), store)), scores(result), atol=1e-5)
    turned = replace(spec, backbone="tinynet + given/words", layers=spec.layers[::-1])
    np.testing.assert_allclose(scores(fit(turned, store)), scores(result), atol=1e-5)
    bands = fit(replace(spec, readout="banded_ridge"), store)
    assert list(bands.layer_shares(bands.plan.hemis[0])) == list(spec.layers)


def test_the_shell_lists_fits_and_looks_over(folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path / "cache"))
    assert main(["layers", "given/words"]) == 0 and capsys.readouterr().out.strip() == "table"
    data = ["--dataset", "mine", "--subject", "me", "--components", "0", "--split", "holdout:0.7:5"]
    assert main(["fit", *data, "--backbone", "given/words", "--layer", "table", "--readout", "ols", "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["key"]
    np.save(tmp_path / "new.npy", X[:3])
    assert main(["predict", key, "--table", str(tmp_path / "new.npy"), "--out", str(tmp_path / "out")]) == 0
    assert "responses to 3 rows" in capsys.readouterr().out
    assert np.load(tmp_path / "out" / "brain_predictions.npy").shape == (3, Y.shape[1])
    assert main(["predict", key, "--images", str(folder), "--out", str(tmp_path / "out2")]) != 0
    assert "predicts from the feature table given/words, in which new images have no row" in capsys.readouterr().err
    assert main(["doctor", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "40 names of stimuli without images" in out and "features given/words: table 5 columns" in out
    np.save(folder / "features" / "words.npy", X[:-1])
    assert main(["doctor", str(folder)]) != 0 and "words.npy has 39 rows" in capsys.readouterr().out


@pytest.mark.parametrize("readout", ["ridge", "banded_ridge"])
def test_rows_of_another_table_are_predicted_here_and_where_the_fit_is_sent(folder, store, tmp_path, monkeypatch, readout):
    (folder / "features" / "text.csv").write_text(csv())
    result = fit(replace(SPEC, backbone="given/text", readout=readout), store)
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "empty"))
    there = import_(io.BytesIO(packed(result)), Store(tmp_path / "there"))
    (tmp_path / "new.csv").write_text(csv(order=result.test_rows()))
    monkeypatch.setenv("ENCODING_DATA_DIR", str(folder.parent))
    for each in (result, there):
        new = stimuli_in_table(tmp_path / "new.csv", each, each.store)
        assert new.names == tuple(f"{STEMS[i]}.png" for i in result.test_rows())
        np.testing.assert_allclose(predict(each, new, device="cpu")["brain"], result.predicted("brain", np.arange(7)), atol=1e-5)
        np.testing.assert_allclose(Predictor.of(each, device="cpu")(new)["brain"], result.predicted("brain", np.arange(7)), atol=1e-5)
        with pytest.raises(CannotPredict, match="new images have no row"):
            predict(each, InMemory([[Image.new("RGB", (4, 4))]]), device="cpu")
    np.save(tmp_path / "fewer.npy", X[:, :4])
    with pytest.raises(CannotPredict, match="4 columns in table, but the fit saw 5"):
        stimuli_in_table(tmp_path / "fewer.npy", result, store)
    (tmp_path / "turned.csv").write_text(csv(header=("file", *"abced")))
    with pytest.raises(CannotPredict, match="the column 'e' where the fit saw 'd'"):
        stimuli_in_table(tmp_path / "turned.csv", result, store)
