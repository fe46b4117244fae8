"""Parameters that make no sense are refused before any work, and values that a search may propose are taken."""

import pytest

from encoding.readouts import READOUTS, BadOption, Choice, Range, known_space, search_space

list(READOUTS)
SPACES = [(name, key) for name, readout in READOUTS.items() for key, space in known_space(readout.options).items() if space]
OF_TRAINED = [
    ({"optimiser": "adm"}, "optimiser must be adamw, adam or sgd, not 'adm'"),
    ({"loss": "r"}, r"loss must be mse, 1-r or mse\+r, not 'r'"),
    ({"learning_rate": 0}, "learning_rate must be a number above 0, not 0.0"),
    ({"weight_decay": -1}, "weight_decay must be a number of 0 or more"),
    ({"validation": 0.9}, "validation must be a share above 0 and up to 0.5"),
    ({"batch_size": 1}, "batch_size must be 2 or more, not 1"),
    ({"n_epochs": 0}, "n_epochs must be 1 or more, not 0"),
    ({"seed": -1}, "seed must be 0 or more"),
    ({"pateince": 3}, "Did you mean 'patience'"),
]
WRONG = {
    "ridge": [
        ({"alhpa": 1}, "Unknown parameter of ridge 'alhpa'. Did you mean 'alpha'"),
        ({"alpha": -1}, "0 or more, not -1"),
        ({"alpha": float("nan")}, "0 or more, not nan"),
        ({"alphas": []}, "at least one penalty"),
        ({"n_folds": 1}, "2 or more, not 1"),
        ({"n_folds": 2.5}, r"ridge cannot use n_folds=2.5. Its default: 5"),
        ({"alpha": "big"}, r"ridge cannot use alpha='big'"),
        ({"alphas": [1, "x"]}, r"ridge cannot use alphas="),
        ({"alpha": True}, r"ridge cannot use alpha=True"),
    ],
    "ols": [
        ({"alpha": 1}, "ols has no parameters"),
    ],
    "banded_ridge": [
        ({"n_candidates": 0}, "n_candidates must be 1 or more, not 0"),
        ({"alphas": []}, "at least one penalty"),
        ({"alphas": [-1]}, "0 or more, not -1"),
        ({"concentrations": [0]}, "numbers above 0, not 0"),
        ({"concentrations": []}, "at least one number"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"n_folds": 1}, "n_folds must be 2 or more, not 1"),
        ({"select": "rr"}, "select must be r2 or r, not 'rr'"),
        ({"n_candidate": 3}, "Did you mean 'n_candidates'"),
    ],
    "lasso": [
        ({"alpha": 0}, "above 0"),
        ({"alphas": ()}, "at least one"),
        ({"select": "mse"}, "r2 or r"),
        ({"l1_ratio": 0.5}, "Unknown parameter of lasso"),
    ],
    "elastic_net": [
        ({"l1_ratio": 0}, "use ridge"),
        ({"l1_ratios": ()}, "at least one"),
    ],
    "multitask_lasso": [
        ({"alpha": 0}, "above 0"),
        ({"alphas": ()}, "at least one"),
        ({"n_folds": 1}, "2 or more, not 1"),
        ({"select": "mse"}, "r2 or r"),
        ({"l1_ratio": 0.5}, "Unknown parameter of multitask_lasso"),
    ],
    "multitask_elastic_net": [
        ({"l1_ratio": 0}, "use ridge"),
        ({"l1_ratios": (0.5, 1.5)}, "at most 1, not 1.5"),
        ({"l1_ratios": ()}, "at least one"),
    ],
    "pls": [
        ({"n_components": 0}, "1 or more, not 0"),
        ({"n_components": 2.5}, "pls cannot use n_components=2.5. Its default: None"),
        ({"n_folds": 1}, "2 or more, not 1"),
        ({"select": "rmse"}, "select must be r2 or r, not 'rmse'"),
        ({"scale": 1}, "pls cannot use scale=1. Its default: True"),
        ({"components": 3}, "Unknown parameter of pls 'components'. Did you mean 'n_components'"),
    ],
    "knn": [
        ({"k": 0}, "k must be 1 or more, not 0"),
        ({"metric": "cosin"}, "one of euclidean, manhattan, cosine, correlation, not 'cosin'"),
        ({"weighting": "near"}, "one of uniform, distance, not 'near'"),
    ],
    "rse": [
        ({"similarity": "euclidean"}, "one of correlation, cosine, not 'euclidean'"),
        ({"k": 0}, "k must be 1 or more"),
    ],
    "tree": [
        ({"max_depth": 0}, "max_depth must be 1 or more"),
        ({"max_features": 1.5}, "share above 0 and up to 1, not 1.5"),
        ({"seed": -1}, "seed must be 0 to 4294967295"),
        ({"depth": 3}, "Unknown parameter of tree 'depth'"),
    ],
    "mlp": [
        ({"activation_1": "gelu"}, "activation_1 must be relu, tanh or none"),
        ({"dropout_2": 1}, "dropout_2 must be a share from 0 to below 1"),
        ({"hidden_2": 0}, "hidden_2 must be 1 or more"),
        ({"momentum": 1.0}, "momentum"),
        ({"momentum": -0.1}, "momentum"),
        ({"loss_scale": "sum"}, "loss_scale"),
        ({"keep": "last"}, "keep"),
    ],
    "deep": [
        ({"n_blocks": 0}, "n_blocks must be 1 or more"),
        ({"widening": 0}, "widening must be above 0"),
        ({"leak": 1}, "leak must be a slope"),
    ],
    "positional": [
        ({"n_frequencies": 0}, "n_frequencies must be 1 to 16"),
        ({"head": "conv1d"}, "head must be weights or conv, not 'conv1d'"),
        ({"trunk": "none"}, "trunk must be mlp"),
        ({"kernel_size": 2}, "kernel_size must be odd"),
        ({"n_convs": 1}, "n_convs must be 2 to 64"),
        ({"conv_dropout": 1}, "conv_dropout must be a share"),
        ({"head": "conv", "frame_by_frame": True}, "does not compute one by one"),
    ],
    "linear_sgd": [
        ({"early_stopping": "vertex"}, "early_stopping must be all or roi"),
    ],
    "lstm": [
        ({"n_layers": 0}, "n_layers must be 1 or more, not 0"),
        ({"units": 0}, "units must be 1 or more"),
        ({"output": "gru"}, "output must be linear or lstm, not 'gru'"),
        ({"dropout": 1.0}, "dropout must be a share from 0 to below 1"),
        ({"loss": "r"}, r"loss must be mse, 1-r or mse\+r"),
        ({"unit": 3}, "Did you mean 'units'"),
    ],
    "finetune": [
        ({"n_blocks": 0}, "n_blocks must be 1 or more, not 0. A frozen backbone is what ridge or mlp read"),
        ({"backbone_learning_rate": 0}, "backbone_learning_rate must be a number above 0"),
        ({"hidden": -1}, "hidden must be 0"),
        ({"activation": "gelu"}, "activation must be none, relu or tanh"),
        ({"dropout": 1}, "dropout must be a share from 0 to below 1"),
        ({"batch_size": 1}, "batch_size must be 2 or more"),
        ({"n_block": 2}, "Did you mean 'n_blocks'"),
    ],
    "forest": [
        ({"n_trees": 0}, "n_trees must be 1 to 10,000"),
    ],
}
CASES = [(name, *case) for name, cases in WRONG.items() for case in cases]
CASES += [(name, *case) for name in ("linear_sgd", "mlp", "deep", "positional") for case in OF_TRAINED]


@pytest.mark.parametrize(("name", "options", "message"), CASES)
def test_a_wrong_parameter_is_refused_before_any_work(name, options, message):
    with pytest.raises(BadOption, match=message):
        READOUTS[name].read(options)


@pytest.mark.parametrize(("name", "key"), SPACES, ids=" ".join)
def test_every_declared_range_holds_values_that_its_readout_takes(name, key):
    space = known_space(READOUTS[name].options)[key]
    assert key not in (searched := search_space(READOUTS[name].options)) or searched[key] == space
    values = space.values if isinstance(space, Choice) else (space.low, space.high)
    for value in values:
        assert getattr(READOUTS[name].read({key: value}), key) == value
    if isinstance(space, Range):
        assert space.low < space.high and (space.low > 0 or not space.log)


@pytest.mark.parametrize("name", READOUTS)
def test_all_that_a_search_varies_is_taken_together(name):
    space = search_space(READOUTS[name].options)
    for end in ("low", "high"):
        READOUTS[name].read({key: getattr(span, end) if isinstance(span, Range) else span.values[0] for key, span in space.items()})


@pytest.mark.parametrize(
    ("name", "varied"),
    [
        *((name, {"learning_rate", "weight_decay"}) for name in ("linear_sgd", "mlp", "deep", "positional")),
        ("lstm", {"learning_rate", "n_layers", "units", "dropout"}),
        ("finetune", {"backbone_learning_rate", "n_blocks", "hidden"}),
    ],
)
def test_a_search_varies_what_matters(name, varied):
    assert varied <= set(search_space(READOUTS[name].options))
