"""Options of the command line that define a fit, and the spec that they make."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from encoding.backbones import BACKBONES
from encoding.backbones._input import INPUTS, INTERPOLATIONS
from encoding.backbones._joined import join
from encoding.backbones._pooling import OVER_FRAMES, pools_help
from encoding.cli.command import BadArguments, add_device, whole_number
from encoding.datasets import DATASETS
from encoding.features.components import COMPONENT_SCALINGS, LAYER_SCALINGS, REDUCTIONS
from encoding.features.delays import delays_text
from encoding.features.half import FEATURE_DTYPES
from encoding.fits.feature_budget import BUDGET_VARIABLE, read_budget
from encoding.fits.spec import FitSpec
from encoding.readouts import read_value

AS_GIVEN = (
    "dataset",
    "subject",
    "weights",
    "pool",
    "frames",
    "over_frames",
    "layer_scaling",
    "component_scaling",
    "reduction",
    "degree",
    "readout",
    "average_repeats",
    "hemi",
    "target_groups",
    "feature_budget",
    "feature_dtype",
)
"""Fields of :class:`FitSpec` whose option has their name and takes their value."""


def renamed(former: str, today: str, *, extend: bool = False) -> type[argparse.Action]:
    """Argparse action of a deprecated flag: accepts it under its former name and warns."""

    class Renamed(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None):
            if option_string == former and getattr(namespace, self.dest) == self.default:  # once, however often it stands there
                print(f"{former} is now called {today}; the former name works in this release only.", file=sys.stderr)
            before = list(getattr(namespace, self.dest) or []) if extend else None
            setattr(namespace, self.dest, [*before, *values] if extend else values)

    return Renamed


def add_spec_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that define a fit, and ``--device``; defaults are those of :class:`FitSpec`."""
    _add_targets(parser.add_argument_group("what is predicted"), FitSpec())
    _add_features(parser.add_argument_group("from what"), FitSpec())
    how = parser.add_argument_group("how")
    _add_components(how, FitSpec())
    _add_method(how, FitSpec())
    add_device(how)


def _add_targets(what: Any, spec: FitSpec) -> None:
    what.add_argument("--dataset", default=spec.dataset, help="a name from `list datasets` (default: %(default)s)")
    what.add_argument("--subject", default=spec.subject, help="one of its subjects (default: %(default)s)")
    what.add_argument(
        "--roi",
        nargs="+",
        action="extend",
        default=[],
        metavar="ROI",
        help="ROIs to report, from `rois`, or unions such as V1=V1v+V1d (default: all)",
    )
    what.add_argument("--hemi", default=spec.hemi, metavar="BLOCK", help="lh, rh or another block, or both for all (default: %(default)s)")
    what.add_argument(
        "--target-groups",
        "--focus",
        action=renamed("--focus", "--target-groups"),
        metavar="GROUPS",
        default=spec.target_groups,
        help="which vertices share a model, where they can: hemisphere, both, roi, roi:both or vertex:HEMI:COLUMN (default: %(default)s)",
    )
    what.add_argument(
        "--extra-subjects",
        "--company",
        nargs="+",
        action=renamed("--company", "--extra-subjects", extend=True),
        default=[],
        metavar="SUBJECT",
        help="additional subjects for multi-subject training of a network's shared layers",
    )


def _add_features(model: Any, spec: FitSpec) -> None:
    model.add_argument(
        "--backbone",
        action="append",
        metavar="NAME",
        help=f"a name from `list backbones`; give it again, with its layers, for more networks in one fit (default: {spec.backbone})",
    )
    model.add_argument(
        "--layer",
        action=LayerOfBackbone,
        metavar="LAYER",
        help=f"a name from `layers`, of the --backbone before it; give it again for more (default for gabor: {spec.layers[0]})",
    )
    model.add_argument("--weights", default=spec.weights, help="pretrained, random:SEED or a weights file (default: %(default)s)")
    model.add_argument(
        "--input",
        default=spec.input,
        metavar="INPUT",
        help=f"how images enter the network: {', '.join(INPUTS)}, or with size and interpolation, as resize:224:bicubic "
        "(default: the preprocessing of its weights)",
    )
    model.add_argument("--size", type=whole_number, metavar="PIXELS", help="pixels a side of the input (default: the weights' own)")
    model.add_argument("--interpolation", choices=INTERPOLATIONS, help="of --input (default: the weights' own)")
    model.add_argument("--pool", default=spec.pool, help=f"pooling over a layer's places ({pools_help()}) (default: %(default)s)")
    model.add_argument("--frames", type=whole_number, default=spec.frames, help="frames taken of each clip (default: %(default)s)")
    model.add_argument("--over-frames", choices=OVER_FRAMES, default=spec.over_frames, help="what is kept of them (default: %(default)s)")


def _add_components(how: Any, spec: FitSpec) -> None:
    how.add_argument(
        "--layer-scaling",
        choices=LAYER_SCALINGS,
        default=spec.layer_scaling,
        help="equal: several layers enter their PCA with the same total variance; none: as they are; "
        "zscore: each feature is standardised on the training rows (default: %(default)s)",
    )
    how.add_argument(
        "--component-scaling",
        choices=COMPONENT_SCALINGS,
        default=spec.component_scaling,
        help="zscore: each component is divided by its deviation over the training rows (default: %(default)s)",
    )
    how.add_argument(
        "--reduction",
        choices=REDUCTIONS,
        default=spec.reduction,
        help="how features become components: pca; sparse_random, scikit-learn's sparse random projection, fitted to nothing; "
        "none: the features as they are (default: %(default)s)",
    )
    how.add_argument(
        "--components",
        type=whole_number,
        default=spec.n_components,
        metavar="N",
        help="number of components, 0 for all of PCA's (default: %(default)s)",
    )
    how.add_argument(
        "--degree",
        type=int,
        choices=(1, 2),
        default=spec.degree,
        help="2: squares and products of the components enter the readout, too (default: %(default)s)",
    )
    how.add_argument(
        "--delays",
        type=whole_number,
        nargs="+",
        action="append",
        default=[],
        metavar="N",
        help="for samples of runs (TRs): components of so many samples before, side by side, such as 1 2 3 4; given several times, each "
        "fold takes the set of the highest cross-validated r",
    )
    how.add_argument(
        "--feature-budget",
        type=feature_budget,
        default=os.environ.get(BUDGET_VARIABLE) or str(FitSpec.feature_budget),  # read by `type` where the option is not given
        metavar="GB",
        help="a layer whose features take more is never stored but reduced in the pass; none for no limit (default: %(default)s)",
    )
    how.add_argument(
        "--feature-dtype",
        choices=FEATURE_DTYPES,
        default=spec.feature_dtype,
        help="how features are stored; float16 takes half the room and keeps the components' variance to 1e-4 (default: %(default)s)",
    )


def _add_method(how: Any, spec: FitSpec) -> None:
    how.add_argument("--readout", default=spec.readout, help="a name from `list readouts` (default: %(default)s)")
    how.add_argument("--set", type=option, action="append", default=[], metavar="NAME=VALUE", help="a parameter of the readout")
    how.add_argument(
        "--split",
        help="holdout:FRACTION:SEED, kfold:FOLDS:SEED, first:N, which trains on the first N different stimuli (or groups of rows), runs, "
        "which leaves out one run at a time, blocks:N:GAP, stretches of each run with a gap in samples, named:NAME or named:NAME:TESTSET, "
        "which come with own data, or all, which trains on every stimulus and has no test score (default: the data set's own, "
        "holdout:0.9:5 for images)",
    )
    how.add_argument("--average-repeats", action="store_true", help="average the test rows of each stimulus before they are scored")


class LayerOfBackbone(argparse.Action):
    """Note a layer with the number of ``--backbone`` options before it."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        layers = [*(getattr(namespace, self.dest) or []), (len(getattr(namespace, "backbone", None) or []), values)]
        setattr(namespace, self.dest, layers)


def option(text: str) -> tuple[str, Any]:
    """Parse ``name=value``, the value as JSON or Python literal (``.5``, ``None``, ``1,10``), else as text.

    ``alpha=10`` -> ``("alpha", 10)``.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"write NAME=VALUE, such as alpha=10, not {text!r}")
    return name, read_value(value)


def feature_budget(text: str) -> float | None:
    """Parse ``--feature-budget``: a number of GB, or ``none`` for no limit."""
    try:
        return read_budget(text)
    except ValueError as error:
        variable = f"the environment variable {BUDGET_VARIABLE} cannot be used: " if text == os.environ.get(BUDGET_VARIABLE) else ""
        raise argparse.ArgumentTypeError(f"{variable}{error}") from error


def spec_from(arguments: argparse.Namespace) -> FitSpec:
    """Build the spec from parsed arguments; the inverse of :meth:`FitSpec.to_command`.

    Raises
    ------
    BadArguments
        If a parameter is set twice, a backbone other than the default has no layer, or :class:`FitSpec` refuses a value.
    UnknownName
        For an unknown backbone without layer.
    """
    twice = [name for name, times in Counter(name for name, _ in arguments.set).items() if times > 1]
    if twice:
        raise BadArguments(f"--set {twice[0]} is given twice.")
    if arguments.reduction == "none" and arguments.components not in (0, FitSpec.n_components):
        raise BadArguments(f"--reduction none keeps every feature as it is. Leave --components {arguments.components} out.")
    backbone, layers = _networks(arguments)
    return FitSpec(
        **{name: getattr(arguments, name) for name in AS_GIVEN},
        backbone=backbone,
        layers=layers,
        input=_input(arguments),
        n_components=arguments.components,
        delays=delays_text(map(tuple, arguments.delays)),
        options=dict(arguments.set),
        split=arguments.split or DATASETS[arguments.dataset].split,
        rois=tuple(dict.fromkeys(arguments.roi)),
        extra_subjects=tuple(dict.fromkeys(arguments.extra_subjects)),
    )


def check_effect(specs: Sequence[FitSpec]) -> None:
    """Raise BadArguments for an option that would change none of the fits, such as ``--frames`` of images."""
    default = FitSpec()
    for name, why in specs[0].without_effect.items():
        if all(name in spec.without_effect and getattr(spec, name) != getattr(default, name) for spec in specs):
            option = {"n_components": "components"}.get(name, name.replace("_", "-"))
            raise BadArguments(f"{why} Leave --{option} {getattr(specs[0], name)} out.")


def _input(arguments: argparse.Namespace) -> str:
    """``--input`` with ``--size`` and ``--interpolation``; a size alone resizes as the network's own preprocessing does, and crops."""
    more = [arguments.size, arguments.interpolation]
    if more == [None, None]:
        return arguments.input
    if ":" in arguments.input:
        raise BadArguments(f"--input {arguments.input} holds its size; leave out --size and --interpolation.")
    return ":".join([arguments.input or INPUTS[0], *("" if value is None else str(value) for value in more)]).rstrip(":")


def _networks(arguments: argparse.Namespace) -> tuple[str, tuple[str, ...]]:
    """Backbone and layers: each layer is of the ``--backbone`` before it; where there is one network, the order does not matter."""
    names, given = arguments.backbone or [FitSpec().backbone], arguments.layer or []
    if len(names) == 1:
        return names[0], tuple(layer for _, layer in given) or _default_layers(names[0])
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise BadArguments(f"--backbone {twice} is given twice. Give its layers one after another.")
    if alone := next((layer for number, layer in given if number == 0), ""):
        raise BadArguments(f"--layer {alone} stands before every --backbone. Of several networks, write each --layer after its --backbone.")
    layers = {name: [layer for place, layer in given if place == number] for number, name in enumerate(names, 1)}
    return join({name: own or _default_layers(name) for name, own in layers.items()})


def _default_layers(backbone: str) -> tuple[str, ...]:
    if backbone == FitSpec().backbone:
        return FitSpec().layers
    known = BACKBONES[backbone].layers(backbone)
    hint = f"Layers: {', '.join(known)}." if known else f"`python -m encoding layers {backbone}` names them."
    raise BadArguments(f"{backbone} needs --layer. {hint}")
