"""Propose a ``dataset.toml`` for a folder as a laboratory keeps it: BIDS with derivatives, outputs of GLMsingle, arrays and images.

Nothing ambiguous is decided: where several files fit, all are listed, and a person chooses. What decides is that numbers agree (rows and
stimuli, columns and voxels of a mask) and what BIDS states in names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from encoding.datasets.own.candidates import (
    ResponseOption,
    StimulusOption,
    matching,
    pattern_of,
    response_options,
    stimulus_options,
    subjects_of,
)
from encoding.datasets.own.description import BLOCK
from encoding.datasets.own.proposal import Answers, Draft, Line, Proposal, relative
from encoding.datasets.own.proposal_columns import propose_columns
from encoding.datasets.own.proposal_rows import propose_rows
from encoding.datasets.own.sections import toml_key, toml_value
from encoding.datasets.own.survey import Survey, repetition_time, survey

NO_NAME = "S1"  # of the subject of a folder that names none
MAX_LISTED = 30
GLMSINGLE = "TYPED_FITHRF_GLMDENOISE_RR.hdf5"


def propose(folder: Path, chosen: Mapping[str, str] | None = None) -> Proposal:
    """Look over a folder and propose its ``dataset.toml``. Nothing is written.

    Parameters
    ----------
    chosen : answers to :attr:`Proposal.choices` by key.

    Raises
    ------
    BadData where there is no such folder. UnknownName for an answer that is none of a choice's options, or to something not open.
    """
    folder = folder.resolve()
    found, answers = survey(folder), Answers(chosen or {})
    made = Proposal(folder)
    made.lines.append(Line("", "title", folder.name, "the folder's name; menus show it."))
    parts = [part for subject in _subjects(found, made) if (part := _subject(found, subject, answers, made))]
    stimuli = [part[1] for part in parts]
    if len({str(each.table) for each in stimuli}) == 1 and all(stimuli):
        made.lines += [Line("stimuli", key, value, stimuli[0].why[key]) for key, value in stimuli[0].table.items()]
    else:
        for subject, each in parts:
            table = f"subjects.{toml_key(subject)}.stimuli"
            made.lines += [Line(table, key, value, each.why[key]) for key, value in each.table.items()]
    if {each.clips for each in stimuli} == {True}:
        made.lines.insert(1, Line("", "clips", True, "stimuli are clips."))
    made.lines.sort(key=lambda line: _order(line.table))
    _remarks(found, made)
    answers.check_all_asked()
    return made


def _subjects(found: Survey, made: Proposal) -> list[str]:
    """Subjects with something that could be responses; where there are none, the first with runs of BOLD, or the first of all."""
    every = subjects_of(found)
    kept = [subject for subject in every if _response_options(found, subject)[0]]
    kept = kept or [each.subject for each in found.series if each.subject][:1] or every[:1]
    if left_out := [subject for subject in every if subject not in kept]:
        made.notes.append(f"{len(left_out):,} more subjects have nothing that could be responses: {', '.join(left_out[:MAX_LISTED])}.")
    return kept


def _response_options(found: Survey, subject: str) -> tuple[list[ResponseOption], list[str]]:
    return response_options([each for each in found.arrays if each.subject == subject and each.entities.get("desc") != "brain"])


def _order(table: str) -> tuple[int, str]:
    """The top first, then the stimuli, then subjects, each before its own stimuli."""
    return (0, "") if not table else (1, "") if table == "stimuli" else (2, table)


def _subject(found: Survey, subject: str, answers: Answers, made: Proposal) -> tuple[str, StimulusOption] | None:
    """Add what is found of one subject; return its name and stimuli, None where these are open."""
    name = subject or NO_NAME
    own = [each for each in found.arrays if each.subject == subject]
    responses, remarks = _response_options(found, subject)
    stimuli, more = stimulus_options(found, subject)
    made.notes += [note for note in [*remarks, *more] if note not in made.notes]
    draft = Draft(made, answers, name)
    given = [answers.given(f"{name}.{key}") for key in ("responses", "stimuli")]
    pairs = [pair for pair in matching(responses, stimuli) if all(key in (None, each.name) for key, each in zip(given, pair, strict=True))]
    one = _decide("responses", responses, [one for one, _ in pairs], draft, _describe_responses)
    other = _decide("stimuli", stimuli, [other for _, other in pairs], draft, lambda each: " ".join(each.why.values()))
    if not responses:
        _no_responses(found, subject, draft)
    if not stimuli:
        what = f"stimuli of {name}: no images, clips or events that name some."
        line = '[stimuli]\nfolder = "/path/of/the/images"  # or, for fits on feature tables alone: names = "names.txt", a name a line'
        draft.lacks(what, line, is_needed=True)
    if one is None:
        return None
    draft.add("responses", _value(one), _why_responses(one, other, len([each for each in responses if not each.transposed])))
    if one.transposed:
        draft.add("transposed", True, f"{one.n_rows:,} stimuli are named, and this is the length of the second axis.")
    shared = [each for each in found.arrays if each.subject in ("", subject)]
    used = propose_columns(one, shared, draft)
    if other is not None:
        used |= propose_rows(one, other, shared, draft)
    files = {each.path for members in one.blocks.values() for each in members} | used
    left = [each for each in own if each.path not in files and not any(each.name in note for note in made.notes)]
    for each in left[:MAX_LISTED]:
        made.notes.append(f"{each.name} is not used: {each.what}, {'x'.join(map(str, each.shape))} of {each.dtype}.")
    if len(left) > MAX_LISTED:
        made.notes.append(f"{len(left) - MAX_LISTED:,} more arrays of {name} are not used.")
    return None if other is None else (name, other)


def _decide(key: str, options: Sequence[Any], fitting: Sequence[Any], draft: Draft, describe: Callable[[Any], str]) -> Any:
    """The option that was chosen, or the only one that fits; else None, and the choice is listed."""
    fitting = list({id(each): each for each in fitting}.values())
    fitting = fitting or [each for each in options if not getattr(each, "transposed", False)]
    if not options:
        return None
    named = {each.name: each for each in [*options, *fitting]}
    listed = fitting if len(fitting) > 1 else named.values()
    decided = fitting[0].name if len(fitting) == 1 else None
    return named.get(draft.choose(key, f"Which {key}?", {each.name: describe(each) for each in listed}, decided=decided))


def _describe_responses(option: ResponseOption) -> str:
    shape = "x".join(map(str, option.first.shape))
    n_files = sum(map(len, option.blocks.values()))
    return f"{n_files} file{'s' if n_files > 1 else ''}, {option.first.what} of {option.first.dtype}, {shape}; {option.n_rows:,} rows."


def _why_responses(one: ResponseOption, other: StimulusOption | None, n_options: int) -> str:
    agree = other is not None and one.n_rows == other.n_rows
    reason = "the only array that could be responses" if n_options == 1 else "as many rows as stimuli are named" if agree else "chosen"
    if other is not None and not agree:
        reason += f"; {other.n_rows:,} stimuli are named, which is not the same: see below what is missing"
    if one.first.rows_last:
        reason += "; the last axis is that of trials, in the order of GLMsingle's design"
    return f"{_describe_responses(one).rstrip('.')} ({reason})."


def _value(option: ResponseOption) -> Any:
    """Value of ``responses``: files, by block where there are several, in a list where rows are in several files."""
    files = {
        block: [Path(f"{each.path}:{block}") if each.columns else each.path for each in members] for block, members in option.blocks.items()
    }
    values = {block: each[0] if len(each) == 1 else each for block, each in files.items()}
    return values[BLOCK] if list(values) == [BLOCK] else values


def _no_responses(found: Survey, subject: str, draft: Draft) -> None:
    """Say what to do where there are no responses: runs of BOLD are time series, of which single-trial betas have to be estimated."""
    runs = [each for each in found.series if each.subject == subject]
    if runs:
        first = runs[0]
        what = (
            f"responses of {draft.name}: {len(runs)} runs of BOLD, such as {first.name} ({'x'.join(map(str, first.shape))}), are time "
            "series, of which a row is a volume and not a stimulus. Estimate betas of single trials from them (GLMsingle, or nilearn's "
            "FirstLevelModel with a regressor a trial), and name their file."
        )
        draft.lacks(what, f'responses = "{GLMSINGLE}"', is_needed=True)
        same = [each.path for each in runs if pattern_of(each.name) == pattern_of(first.name)]
        tr = repetition_time(first)
        seconds = f"{tr:g}" if tr else "2.0  # seconds from one volume to the next; the header does not say"
        line = f"[time]\ntr = {seconds}\n[subjects.{toml_key(draft.name)}]\nresponses = {toml_value(relative(same, found.folder))}"
        draft.lacks("Or, where films were seen, the runs are responses as they are: rows are samples.", line)
        return
    what = f"responses of {draft.name}: no matrix (n_rows, n_vertices), volumes (x, y, z, n_rows), CIFTI or GIFTI maps."
    draft.lacks(what, 'responses = "responses.npy"', is_needed=True)


def _remarks(found: Survey, made: Proposal) -> None:
    """Note what was passed over, cannot be read or is not here."""
    made.notes += [f"cannot be read: {why}" for _, why in found.refused[:MAX_LISTED]]
    if found.absent:
        made.notes.append(
            f"{len(found.absent):,} files are links to content that is not here, the first {found.absent[0]}: get it with "
            f"`datalad get {found.absent[0]}` or `git annex get`, and look again."
        )
    if found.n_passed:
        made.notes.append(f"{found.n_passed:,} files of anatomy and preprocessing are passed over.")
