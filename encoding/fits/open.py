"""Open a finished fit by its key."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from encoding.datasets import Subject
from encoding.fits.composition import composition_of, is_composed
from encoding.fits.plan import Plan
from encoding.fits.plan import plan as make_plan
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.runtime.progress import Report, silent
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.keys import stage_of
from encoding.storage.store import Store
from encoding.storage.verification import Damage

PREDICTED_WITH = ("weights", "components")  # stages that a prediction reads


class FormerRelease(UserWarning):
    """A stored fit is shown under the name that an earlier release gave it."""


class FitChanged(ValueError):
    """A stored fit's spec no longer leads to it. The message says what changed."""


def open_fit(key: str, store: Store, report: Report = silent, *, subject: Subject | None = None) -> Result:
    """Open the finished fit that a key names, or the one that is composed of others (:mod:`encoding.fits.composition`).

    A key names a fit whatever regions are reported of it, so all of them are. Those that it was first asked for are kept where models
    depend on them (``target_groups`` ``roi``) and where there are unions among them. :func:`of_regions` reports others.

    Parameters
    ----------
    key : a fit's key, its digest alone, or an unambiguous prefix of either.
    subject : the fit's subject where it is open already.

    Raises
    ------
    UnknownName
        Where no fit, or more than one, matches.
    FitChanged
        Where the fit's spec leads to another key today: weights, data or the computation have changed. Where it is damaged.
    NoWeights, BadData, UnknownLayer
        From :func:`encoding.fits.plan.plan`, where something that the fit needs is gone.
    """
    key = find_key(key, store)
    made_from = stored_origin(key, store)
    if "spec" not in made_from:
        raise FitChanged(f"{store.path(key)} does not say what it was made from. Remove it, and fit again.")
    if is_composed(made_from):
        members: list[Result] = []
        for member in made_from["composition"]["members"]:
            if member not in store:
                raise FitChanged(
                    f"{key} is composed of fits that are no longer in the Store. Compose it again: {made_from['composition']['command']}"
                )
            members.append(open_fit(member, store, report, subject=members[0].plan.subject if members else subject))
        return composition_of(key, members, store)
    plan = make_plan(FitSpec.from_dict(dict(made_from["spec"])), store, report, subject=subject)
    if plan.key != key:
        whole = replace(plan, spec=replace(plan.spec, feature_budget=None), reduced_layers=())
        if whole.key == key:  # stored before layers were reduced, or under another default budget
            return Result(whole, store)
        today, plan = plan, replace(plan, reduced_layers=(), former=True)
        if plan.key != key:
            raise FitChanged(_what_changed(key, today, made_from))
        warnings.warn(
            f"{key} is of an earlier release, whose names of results did not cover ROI masks, places on the cortex and other subjects' "
            f"stimuli, or which computed it otherwise. To have it of today: {plan.spec.to_command()}",
            FormerRelease,
            stacklevel=2,
        )
        return Result(plan, store)
    has_unions = any("=" in roi for roi in plan.spec.rois)
    return (None if has_unions else _reporting(plan, (), store)) or Result(plan, store)


def stored_origin(key: str, store: Store) -> Mapping[str, Any]:
    """What a stored fit was made from, as its provenance says; empty where there is none. FitChanged where it is damaged."""
    try:
        return (store.provenance(key) or {}).get("made_from", {})
    except Damage as error:
        raise FitChanged(f"{key} is damaged ({error}). `python -m encoding cache verify` moves it aside; then fit it again.") from error


def of_regions(result: Result, rois: Sequence[str]) -> Result:
    """Report other regions of an open fit: names of ROIs, or unions of them such as ``V1=V1v+V1d``.

    Raises
    ------
    UnknownName where the subject lacks a region. ValueError where its models depend on the regions, so that it would be another fit, and
    for an imported or composed fit.
    """
    if type(result) is not Result:
        raise ValueError(f"{result.key} is imported or composed of others, and reports the regions that it came with.")
    found = _reporting(result.plan, tuple(rois), result.store)
    if found is None:
        raise ValueError(f"{result.key} has models of its own for each region, so that with other regions it is another fit.")
    return found


def _reporting(plan: Plan, rois: tuple[str, ...], store: Store) -> Result | None:
    """The fit with other regions; None where that is another fit."""
    if plan.spec.rois == rois:
        return Result(plan, store)
    other = make_plan(replace(plan.spec, rois=rois), store, subject=_without_unions(plan))
    return Result(other, store) if other.key == plan.key else None


def _without_unions(plan: Plan) -> Subject:
    """The subject with its own ROIs alone."""
    made = {roi.partition("=")[0].strip() for roi in plan.spec.rois if "=" in roi}
    own = {hemi: {roi: columns for roi, columns in named.items() if roi not in made} for hemi, named in plan.subject.rois.items()}
    return replace(plan.subject, rois=own) if made else plan.subject


def models_of_composed(store: Store, going: Collection[str]) -> dict[str, str]:
    """Keys among ``going`` of models and components with which composed fits that stay predict, with the key of that fit.

    Parameters
    ----------
    going : keys of results that are to be removed. A composed fit that cannot be opened now keeps nothing.
    """
    found: dict[str, str] = {}
    if not any(stage_of(key) in PREDICTED_WITH for key in going):
        return found
    for key in store.keys():  # noqa: SIM118 - a Store is no dict
        try:
            if stage_of(key) == "fit" and key not in going and is_composed((store.provenance(key) or {}).get("made_from", {})):
                needed = open_fit(key, store).plan.stage_keys
                found |= {each: key for each in needed if each in going and stage_of(each) in PREDICTED_WITH}
        except (LookupError, ValueError, OSError):  # its data, weights or members are gone, and it predicts nothing
            continue
    return found


def find_key(text: str, store: Store) -> str:
    """Complete a prefix of a fit's key, or of its digest; UnknownName unless exactly one stored fit matches."""
    known = [key for key in store.keys() if stage_of(key) == "fit"]  # noqa: SIM118 - a Store is no dict
    matches = [key for key in known if text and (key.startswith(text) or key.removeprefix("fit-").startswith(text))]
    if text in matches:
        return text
    if not known:
        raise UnknownName(f"No fit {text!r}: {store.root} holds none yet. `python -m encoding fit` makes one and shows its key.")
    if not matches:
        raise UnknownName(f"{unknown('fit', text, known, show=5)} `python -m encoding cache list` says what each is of.")
    if len(matches) > 1:
        raise UnknownName(f"{text!r} begins the keys of {len(matches)} fits: {', '.join(matches[:5])}. Give more of the one that is meant.")
    return matches[0]


def _what_changed(key: str, plan: Plan, made_from: Mapping[str, Any]) -> str:
    spec = plan.spec
    if made_from.get("backbone") != plan.backbone_fingerprint:
        what = f"the weights of {spec.backbone} ({spec.weights}) are not those that it was fitted with"
    else:
        what = f"the responses or the stimuli of {spec.dataset} {spec.subject} have changed since, or how this program computes a fit has"
    return f"{key} cannot be used: {what}. Fit it again: {spec.to_command()}"
