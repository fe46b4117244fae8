"""Recipes: every setting and number of their sources, and quick runs from simulated data to tables and a submission."""

import re
import shlex
import tomllib

import numpy as np
import pytest

from encoding import BACKBONES, DATASETS, FitSpec, Store
from encoding.backbones._input import prepared
from encoding.cli.recipes import fit_lines, opening_lines
from encoding.evaluation.scores import SCORES
from encoding.experiments.recipes.recipe import FOLDER, from_text, load, recipes
from encoding.experiments.recipes.running import TRACKS, run_recipe, simulated_data
from encoding.experiments.selection import with_validation
from encoding.prediction.submissions import submit
from encoding.runtime.registry import UnknownName

EIGHT = [f"subj0{number}" for number in range(1, 9)]
TEN = [f"sub{number:02}" for number in range(1, 11)]
OF_2021 = {"base.frames": 16, "base.input": "resize:224", "base.split": "first:900", "vary.subject": TEN}
THREE_LAYERS = {
    "base.subject": "subj01", "base.input": "resize:224", "base.layers": ["avgpool"], "base.n_components": 0, "base.readout": "mlp",
    "vary.hemi": ["lh", "rh"], "batch_size": 150, "n_epochs": 50, "patience": 3, "decimals": 2, "activation_1": ["relu", "tanh"],
    "activation_2": ["relu", "tanh"], "batch_norm_1": "searched", "batch_norm_2": "searched", "dropout_1": "searched",
    "dropout_2": "searched", "optimiser": ["adam", "sgd"], "learning_rate": ["1e-5", "1e-1", "log"], "weight_decay": "searched",
}  # fmt: skip
LINEAR = {
    "vary.subject": EIGHT, "vary.backbone": ["torchvision/alexnet", "open_clip/ViT-B-32/openai", "timm/samvit_base_patch16.sa1b"],
    "vary.layers": [["features.2"], ["embedding"], ["neck"]], "base.readout": "linear_sgd", "optimiser": "adamw", "weight_decay": 1e-2,
    "decay_every": 10, "base.n_components": 0,
}  # fmt: skip
CONV = {"base.readout": "positional", "head": "conv", "n_convs": 6, "optimiser": "adamw", "weight_decay": 1e-2, "base.target_groups": "roi"}
CLIP = {"base.backbone": "open_clip/ViT-B-32/openai", "base.layers": ["embedding"]}
BEST = {"choose.over": ["layers"], "choose.across_subjects": True, "choose.validation": "holdout:0.9:0", "base.component_scaling": "zscore"}
TRANSFER = OF_2021 | {
    "base.over_frames": "sequence", "base.backbone": "torchvision/alexnet", "loss": "1-r", "keep": "r", "n_epochs": 10, "optimiser": "adam",
    "learning_rate": 0.001,
}  # fmt: skip
LSTM = TRANSFER | {"base.readout": "lstm", "n_layers": 2, "units": 512, "dropout": 0.2}
SIX = ["lasso", "ols", "ridge", "elastic_net", "multitask_elastic_net", "rse"]
SETTINGS = {
    "mlp-resnet50-vgg16 resnet50": THREE_LAYERS
    | {"base.backbone": "torchvision/resnet50", "hidden_1": ["32", "2048", "log"], "hidden_2": ["32", "2048", "log"]},
    "mlp-resnet50-vgg16 vgg16": THREE_LAYERS
    | {"base.backbone": "torchvision/vgg16", "hidden_1": ["32", "25088", "log"], "hidden_2": ["32", "25088", "log"]},
    "clip-linear-deep-positional linear": LINEAR
    | {"base.target_groups": "both", "learning_rate": 1e-3, "decay_by": 0.5},
    "clip-linear-deep-positional single": LINEAR
    | {"base.target_groups": "roi", "learning_rate": 1e-4, "decay_by": 0.75},
    "clip-linear-deep-positional deep": CLIP
    | {"n_blocks": 4, "dropout": 0.05, "widening": 1.25, "residual_between": True, "vary.extra_subjects": [[], EIGHT[1:]]},
    "clip-linear-deep-positional positional": CONV | CLIP | {"conv_dropout": 0.2},
    "clip-linear-deep-positional positional-residual": CONV | CLIP | {"conv_dropout": 0.0, "conv_residual": True},
    "clip-linear-deep-positional positional-sam": CONV
    | {"conv_dropout": 0.2, "base.backbone": "timm/samvit_base_patch16.sa1b", "base.layers": ["neck"], "trunk": "conv"},
    "retinanet-levels levels": {
        "base.input": "resize:320", "base.readout": "ols", "base.split": "kfold:5:0", "vary.layers": "curated", "choose.per": "roi",
        "choose.groups": {"V1": ["V1v", "V1d"], "V2": ["V2v", "V2d"], "V3": ["V3v", "V3d"], "V4": ["hV4"], "bodies": ..., "faces": ...,
                          "places": ..., "words": ...},
    },
    "retinanet-levels banded": {
        "base.input": "resize:320", "base.readout": "banded_ridge", "base.split": "kfold:5:0",
        "base.layers": ["p3", "p4", "p5", "p6", "p7"],
    },
    "six-regressors layers": {
        "vary.backbone": [f"torchvision/{name}" for name in ("alexnet", "vgg16", "resnet50", "inception_v3")], "base.n_components": 30,
        "base.readout": "ols", "base.split": "holdout:0.8:224", "choose.by": "r_median", "choose.over": ["backbone", "layers"],
    },
    "six-regressors regressors": {
        "base.backbone": "torchvision/alexnet", "base.layers": ["features.12"], "base.n_components": 100, "base.split": "holdout:0.8:224",
        "vary.readout": ["ols", "ridge", "lasso", "elastic_net", "knn", "tree"], "lasso.alpha": 0.01, "choose.by": "r_median",
    },
    "clips-best-layer mini": OF_2021 | BEST
    | {"vary.readout": SIX, "lasso.n_folds": 3, "base.n_components": 100, "choose.per": "roi", "compose.refit": True},
    "clips-best-layer full": OF_2021 | BEST
    | {"vary.subject": [f"{name}-full" for name in TEN], "lasso.n_folds": 3, "base.n_components": 100, "compose.refit": True},
    "clips-best-layer nasnet": {"base.backbone": "keras/nasnet_mobile", "base.frames": 16, "vary.n_components": [100, 0],
                                "vary.readout": SIX, "vary.subject": TEN, "base.split": "first:900", "compose.method": "best"} | BEST,
    "clips-best-layer polynomial": OF_2021 | {"vary.degree": [1, 2], "base.readout": "rse", "base.n_components": 100},
    "clips-best-layer connected": TRANSFER | {"base.readout": "mlp", "hidden_1": 4096, "hidden_2": 4096, "frame_by_frame": True},
    "clips-best-layer recurrent": LSTM,
    "clips-best-layer connected-resnet18": TRANSFER | {"base.backbone": "torchvision/resnet18", "hidden_1": 4096, "hidden_2": 4096},
    "clips-best-layer three-lstm": LSTM | {"output": "lstm"},
}  # fmt: skip
NAMES = ("base", "vary", "choose", "compose")


def settings_of(part):
    """A part's settings, flat: ``base.x``, ``vary.x`` (names alone, ``vary.layers`` beside networks), options and what a search varies."""
    found = {f"{table}.{name}": value for table in NAMES for name, value in part.get(table, {}).items()} | part["base"].get("options", {})
    for name in ("backbone", "readout"):
        several = [each if isinstance(each, dict) else {"name": each} for each in part.get("vary", {}).get(name, [])]
        if several:
            found[f"vary.{name}"] = [each["name"] for each in several]
            found |= {f"{each['name']}.{key}": value for each in several for key, value in each.items()}
            found |= {"vary.layers": [each["layers"] for each in several]} if name == "backbone" else {}
    for varied in part.get("search", {}).get("vary", []):
        name, _, values = varied.partition("=")
        found[name] = re.split("[:,]", values) if values else "searched"
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_of_the_source_has_its_value(name):
    recipe, _, part_name = name.partition(" ")
    (part,) = (part for part in tomllib.loads((FOLDER / f"{recipe}.toml").read_text())["parts"] if part["name"] == part_name)
    found = settings_of(part)
    for setting, value in SETTINGS[name].items():
        if isinstance(value, dict):
            assert list(found[setting]) == list(value)
            assert all(found[setting][key] == each for key, each in value.items() if each is not ...)
        else:
            assert (setting, found.get(setting)) == (setting, value)


MLP_NUMBERS = """resnet50 lh .6769 .0799 .5354 .2162  resnet50 rh .6789 .0690 .5373 .2175
    vgg16 lh .7086 -.0014 .5619 .2352  vgg16 rh .7201 -.0412 .5719 .2424"""
CLIP_NUMBERS = """linear .2726 .3257  single .2747 .3274  deep .2157 .2835  positional .2528 .3180  positional-sam .2545 .3125"""
SIX_NUMBERS = "lasso .2417 elastic_net .2415 ridge .2412 ols .2402 knn .1021 tree .0382"
MINI = """.1813 .4222 .4555 .5038 .4318 .4329 .3986 .4334 .5000 .4999 .0578 .5552 .5674 .5114 .5053 .5637 .4994 .5308 .4756"""
FULL = ".1229 .1893 .1962 .2641 .0149 .2504 .2496 .2614 .2491"


def test_every_published_number_stands_where_it_belongs():
    found = {(each.of, each.hemi, each.score): each.value for each in load("mlp-resnet50-vgg16").published}
    words = MLP_NUMBERS.split()
    rows = [words[start : start + 6] for start in range(0, 24, 6)]
    scores = ("rmse", "r2", "mae", "smooth_l1")
    assert found == {(of, hemi, score): float(text) for of, hemi, *four in rows for score, text in zip(scores, four, strict=True)}
    found = {(each.of, each.hemi, each.roi, each.score): each.value for each in load("clip-linear-deep-positional").published}
    words = CLIP_NUMBERS.split()
    assert found == {
        (words[3 * n], hemi, "OFA", "r"): float(words[3 * n + 1 + side]) for n in range(5) for side, hemi in enumerate(("lh", "rh"))
    }
    words = SIX_NUMBERS.split()
    found = {each.where["readout"]: each.value for each in load("six-regressors").published}
    assert found == {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    assert {each.score for each in load("six-regressors").published} == {"r_median"}
    clips = load("clips-best-layer").published
    for track, numbers in zip(TRACKS, (MINI, FULL), strict=True):
        assert [each.value for each in clips if each.score == track] == [float(text) for text in numbers.split()]


def test_there_are_five_recipes_and_28_published_scores_of_the_clips():
    assert recipes() == tuple(sorted({name.partition(" ")[0] for name in SETTINGS}))
    clips = load("clips-best-layer").published
    assert [sum(each.score == track for each in clips) for track in TRACKS] == [19, 9]
    parts = {part.name: part for part in load("clips-best-layer").parts}
    for each in clips:  # each has fits of its track to stand beside; of a best layer composed ones
        assert parts[each.of].vary["subject"][0] == ("sub01" if each.score == "mini_track" else "sub01-full"), each.what
        assert bool(parts[each.of].choose) == bool(parts[each.of].compose)
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


@pytest.mark.parametrize("name", recipes())
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
    trained = {"mlp-resnet50-vgg16", "clip-linear-deep-positional", "clips-best-layer"}
    assert (len(ran.losses) > 0) == (name in trained)
    if name in trained:
        assert np.isfinite(ran.losses[["t_loss", "v_loss"]]).all(axis=None) and (ran.losses[["t_loss", "v_loss"]] > 0).all(axis=None)
        assert set(ran.losses["part"]) <= {part.name for part in load(name).parts}
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


def test_a_run_names_every_fit_and_the_command_that_opens_it(quick, shell, tmp_path, monkeypatch):
    recipe, ran = load("six-regressors"), quick("six-regressors")
    lines = fit_lines(ran.parts[1])
    assert [line.split()[1] for line in lines] == list(ran.parts[1].table["key"].unique())
    assert all(each in line for each, line in zip(["ols", "ridge", "lasso"], lines, strict=False)), recipe.parts[1].vary
    command = next(line for line in opening_lines(ran.data) if "report" in line)
    place, *words = shlex.split(command.replace("KEY", lines[0].split()[1]).replace("report.html", str(tmp_path / "report.html")))
    monkeypatch.setenv(*place.split("="))
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(quick.store.root))
    code, _, err = shell(*words[3:])
    assert code == 0, err
    assert "Residuals." in (tmp_path / "report.html").read_text()


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
