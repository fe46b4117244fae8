"""Recipes: every setting and number of their sources, and quick runs from simulated data to tables and a submission."""

import re
import tomllib

import numpy as np
import pytest

from encoding import BACKBONES, DATASETS, FitSpec, Store
from encoding.backbones._input import prepared
from encoding.evaluation.scores import SCORES
from encoding.experiments.recipes.recipe import FOLDER, from_text, load, recipes
from encoding.experiments.recipes.running import TRACKS, run_recipe, simulated_data
from encoding.experiments.selection import with_validation
from encoding.prediction.submissions import submit
from encoding.runtime.registry import UnknownName
from tests import with_nightly

NUMBERS = {
    "mlp-resnet50-vgg16": """0.6769 0.0799 0.5354 0.2162 0.6789 0.069 0.5373 0.2175 0.7086 -0.0014 0.5619 0.2352 0.7201 -0.0412
        0.5719 0.2424 2048 25088 batch_size=150 n_epochs=50 patience=3 decimals=2 1e-05:0.1:log
        optimiser activation_1 batch_norm_2 weight_decay""",
    "clip-linear-deep-positional": """features.2 embedding neck subj08 0.2726 0.3257 0.2747 0.3274 0.2157 0.2835 0.2528 0.318 0.2545 0.3125
        weight_decay=0.01 learning_rate=0.001 decay_by=0.5 learning_rate=0.0001 decay_by=0.75 decay_every=10 n_blocks=4 dropout=0.05
        widening=1.25 residual_between=True dropout_1=0.2 dropout_2=0.2 head=conv n_convs=6 conv_dropout=0.2 conv_residual=True
        trunk=conv reduction=none""",
    "retinanet-levels": "0.097 0.094 kfold:5:0 p3 p7 hV4 banded_ridge curated",
    "six-regressors": """n_components=30 n_components=100 0.2417 0.2415 0.2412 0.2402 0.1021 0.0382 alpha=0.01 holdout:0.8:224 r_median
        inception_v3 features.12 knn tree elastic_net ridge ols alpha_per_target=False""",
    "clips-best-layer": """sub10 sub10-full frames=16 n_components=100 n_components=0 n_folds=3 rse multitask_elastic_net hidden_1=4096
        hidden_2=4096 units=512 dropout=0.2 loss=1-r n_epochs=10 optimiser=adam learning_rate=0.001 keep=r first:900 holdout:0.9:0
        component_scaling=zscore output=lstm nasnet_mobile vonenet 0.5674 0.2641 degree=2 frame_by_frame=True layer3""",
}


def words(value, name=""):
    """Every value of nested tables as text, alone and as ``name=value``; numbers within texts in their shortest form."""
    if isinstance(value, dict):
        return {word for key, each in value.items() for word in words(each, key)}
    if isinstance(value, list):
        return {word for each in value for word in words(each, name)}
    text = str(value)
    plain = re.sub(r"\d+e-\d+", lambda found: str(float(found[0])), text)
    return {text, plain, f"{name}={text}", *re.split(r"[/ =]", plain), *re.split(r"[/ =:]", plain)}


@pytest.mark.parametrize("name", recipes())
def test_every_setting_and_number_of_the_source_stands_in_the_file(name):
    found = words(tomllib.loads((FOLDER / f"{name}.toml").read_text()))
    missing = [word for word in NUMBERS[name].split() if word not in found]
    assert missing == []


def test_there_are_five_recipes_and_28_published_scores_of_the_clips():
    assert recipes() == tuple(sorted(NUMBERS))
    clips = load("clips-best-layer").published
    assert [sum(each.score == track for each in clips) for track in TRACKS] == [19, 9]
    mini, _, nasnet, *_ = load("clips-best-layer").parts
    vary = mini.vary
    assert len(vary["backbone"]) == 12 and nasnet.base["backbone"] == "keras/nasnet_mobile"
    assert len(vary["readout"]) == 6 and len(vary["subject"]) == 10


@pytest.mark.parametrize("name", recipes())
def test_every_name_of_a_full_recipe_exists(name, monkeypatch):
    """Networks, layers, readouts and their parameters are checked without data and weights."""
    recipe = load(name)
    monkeypatch.setattr(type(DATASETS[recipe.dataset]), "check_subject", lambda *_: None)
    assert recipe.differs and recipe.asks and recipe.source
    for part in (*recipe.parts, *recipe.quickly()):
        experiment = part.experiment()
        assert experiment.cells()
        assert {spec.dataset for spec in experiment.specs()} == {recipe.dataset}
        for network, way in {(spec.backbone, spec.input) for spec in experiment.specs() if spec.input}:
            assert prepared(BACKBONES[network], way).preparation(network)
        if part.choose:
            assert len(with_validation(experiment, part.choose.get("validation", "holdout:0.8:0")).cells()) == 2 * len(experiment.cells())
    known = {score.mean_column for score in SCORES.values()} | {score.median_column for score in SCORES.values() if score.has_median}
    for number in recipe.published:
        assert number.score in known | set(SCORES) | {"r_max", *TRACKS}
        assert set(number.where) <= {"subject", "backbone", "layers", "readout", "n_components", "degree"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Quick runs of recipes on one Store, which share what they can."""
    store, done = Store(tmp_path_factory.mktemp("recipes")), {}

    def run(name):
        if name not in done:
            done[name] = run_recipe(load(name), store, quick=True, device="cpu")
        return done[name]

    run.store = store
    return run


@pytest.mark.parametrize("name", with_nightly(recipes(), always=("clips-best-layer", "six-regressors")))
def test_a_quick_run_ends_in_tables(quick, name):
    ran = quick(name)
    assert [result.errors for result in ran.parts] == [()] * len(load(name).quickly())
    for result in ran.parts:
        assert len(result.table) and result.table.simulated.all()
        assert np.isfinite(result.table.query("n_vertices > 0").rmse).all()
        assert (result.selection is not None) == bool(result.part.choose)
        if result.selection is not None:
            chosen = result.selection.table().query("n_vertices > 0")
            assert (chosen.winner != "").all() and chosen.test.notna().any()
    assert len(ran.published) == len(load(name).published)
    assert ran.published.n.max() > 0 or name == "clip-linear-deep-positional"
    assert ran.published.query("n > 0").ours.notna().all()


def test_clips_end_in_a_submission_of_composed_fits_of_two_subjects(quick, tmp_path):
    ran = quick("clips-best-layer")
    mini = ran.parts[0]
    assert [fit.plan.spec.subject for fit in mini.composed] == ["sub01", "sub02"]
    assert {fit.plan.spec.split for fit in mini.composed} == {"all"}
    with simulated_data(load("clips-best-layer"), quick.store):
        made = submit(mini.composed, tmp_path / "out", device="cpu")
    assert made.subjects == ("sub01", "sub02")
    assert {"mini_track.pkl", "mini_track.zip"} <= {path.name for path in made.files}


def test_the_commands(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")
    code, out, _ = shell("recipe", "list")
    assert code == 0 and all(name in out for name in recipes())
    code, out, _ = shell("recipe", "show", "six-regressors")
    assert code == 0
    assert "differs from its source" in out and "0.2417" in out and 'layers = ["features.12"]' in out
    code, _, err = shell("recipe", "show", "six-regresors")
    assert code == 2 and "six-regressors" in err
    code, _, err = shell("recipe", "run", "six-regressors", "--quick", "--workers", "2")
    assert code == 2 and "leave out --workers" in err


def test_a_misspelt_entry_is_refused():
    text = 'title = "a"\nasks = "b"\ndataset = "demo"\nsource = "c"\n'
    assert from_text("x", text).parts == ()
    for more in ('author = "d"', '[[parts]]\nname = "p"\nvarry = {}', '[[parts]]\nname = "p"\nquick = {bas = {}}',
                 '[[published]]\nwhat = "w"\nscore = "r"\nvalue = 1.0\nof = "p"'):  # fmt: skip
        with pytest.raises(UnknownName):
            from_text("x", f"{text}{more}\n")


def test_part_settings_of_the_base_are_those_of_a_fit():
    for name in recipes():
        for part in load(name).parts:
            assert set(part.base) <= set(FitSpec.__dataclass_fields__)
