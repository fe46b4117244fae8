"""Report one fit, or a comparison of several, as a self-contained HTML page.

Only stored results are read; nothing is fitted for a report. The template escapes all text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding import plots
from encoding.analysis.bootstrap import ERROR_BAR, interval_text, intervals_of, score_intervals, why_no_interval
from encoding.analysis.comparison import Comparison, compare, letters, of_regions, settings, what_differs
from encoding.analysis.learning_curve import curve_key
from encoding.analysis.summaries import OVERALL, overall_scores, residual_density, side_by_side
from encoding.evaluation.resampling import TEST_NAME, approximate_note, p_text
from encoding.evaluation.scores import SCORES
from encoding.fits.result import Result
from encoding.fits.score_tables import EVERY_VERTEX, ScoreTables
from encoding.plots.brain.brain_map import BrainMap, mesh_bytes, viewer_module
from encoding.plots.brain.score_maps import difference_brain, score_brain, top_of_scale
from encoding.runs.labels import labelled_classes
from encoding.runs.table import Note, read_note
from encoding.runtime.html import render, script_source, table_html
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from markupsafe import Markup

MOST_RESULTS = 6
MOST_HISTORIES = 4  # models of a fit whose losses are drawn
MOST_ROWS = 500  # of a chart's numbers that are shown as a table
BRAIN_HEIGHT, SQUARE = 420, 580  # px
SIMULATED = "Simulated: no brain was measured"
SOME_SIMULATED = "Some of these are simulated, where no brain was measured: see the settings."


def report(results: Sequence[ScoreTables], store: Store) -> str:
    """Render the report, some 7 MB: settings, provenance, charts, brains, tables, and how to reproduce each fit.

    Parameters
    ----------
    results : one finished fit, or up to :data:`MOST_RESULTS` that are compared, the first with each of the others.
    store : where the notes on them are kept.

    Raises
    ------
    ValueError where there is no result, or too many.
    """
    from plotly.offline import get_plotlyjs

    if not 1 <= len(results) <= MOST_RESULTS:
        raise ValueError(f"A report is of 1 to {MOST_RESULTS} fits, not of {len(results)}.")
    names = letters(results) if len(results) > 1 else [plots.model_name(results[0].plan.spec)]
    compared = {name: compare(results[0], other) for name, other in zip(names[1:], results[1:], strict=True)}
    charts = charts_of(names, results, compared)
    tables = [plots.table_of(figure) for _, _, figure in charts]
    numbers = [table_html(table) if len(table) <= MOST_ROWS else "" for table in tables]
    specs, unit = [result.plan.spec for result in results], results[0].plan.subject.unit
    overall = side_by_side({name: overall_scores(result) for name, result in zip(names, results, strict=True)})
    page = render(
        "runs/templates/report.html",
        title=_title(results),
        simulated=simulated_text(results),
        stimuli="clips" if results[0].plan.of_clips else "images",
        settings=table_html(settings(results).rename(columns={"setting": "", "A": names[0]})),
        origins=_origins(names, results, store),
        comparisons=[comparison_summary(name, comparison) for name, comparison in compared.items()],
        charts=[{"title": title, "caption": caption, "numbers": rows} for (title, caption, _), rows in zip(charts, numbers, strict=True)],
        figures=[json.loads(figure.to_json()) for _, _, figure in charts],
        brains=[(title, brain.to_bytes(height=BRAIN_HEIGHT)) for title, brain in _brains(names, results, compared)],
        extremes=[(name, table) for name, result in zip(names, results, strict=True) if (table := extremes_table(result))],
        scores=[(name, table_html(score_table(result))) for name, result in zip(names, results, strict=True)],
        overall=table_html(overall if len(results) > 1 else overall.rename(columns=lambda column: column.removesuffix(f" {names[0]}"))),
        about_overall=unit.fill(OVERALL).replace("*", ""),
        errors=[(name, table) for name, result in zip(names, results, strict=True) if (table := training_errors_table(result))],
        every_vertex=EVERY_VERTEX,
        unit=unit,
        again=[(name, spec.to_command(full=True), spec.to_python(full=True)) for name, spec in zip(names, specs, strict=True)],
        plotly=script_source(get_plotlyjs()),
        viewer=script_source(viewer_module()),
        meshes=mesh_bytes(),
    )
    return str(page)


def _title(results: Sequence[ScoreTables]) -> str:
    spec = results[0].plan.spec
    what = spec.network_and_layers if len(results) == 1 else f"{len(results)} encoding models compared"
    return f"{what}, {spec.dataset} {spec.subject}"


def simulated_text(results: Sequence[ScoreTables]) -> str:
    """The notice that all or some of the responses are simulated; empty where none are."""
    simulated = [result.plan.subject.simulated for result in results]
    return SIMULATED if all(simulated) else SOME_SIMULATED if any(simulated) else ""


def _origins(names: Sequence[str], results: Sequence[ScoreTables], store: Store) -> Markup:
    """Where each fit comes from, side by side."""
    import pandas as pd

    provenances = [origin_facts(result, store) for result in results]
    rows = dict.fromkeys(row for each in provenances for row in each)
    columns = {name: [each.get(row, "") for row in rows] for name, each in zip(names, provenances, strict=True)}
    return table_html(pd.DataFrame({"": list(rows)} | columns))


def origin_facts(result: ScoreTables, store: Store | None) -> dict[str, str]:
    """Describe where a fit comes from; with the Store that holds the notes on it, its tags and note as well."""
    made, note = result.provenance, Note() if store is None else read_note(result.key, store)
    before = made.get("made_from", {})
    seconds = before.get("fit_seconds")
    facts = {"key": result.key, "made (UTC)": str(made.get("created", ""))[:19].replace("T", " ")}
    facts |= {"simulated": "yes" if result.plan.subject.simulated else "no", "device": str(before.get("device", ""))}
    facts |= {"fitted in": "" if seconds is None else f"{seconds:.1f} s", "program (commit)": str(made.get("commit", ""))}
    facts["libraries"] = ", ".join(f"{name} {version}" for name, version in made.get("libraries", {}).items())
    if "imported" in before:
        sender = before["imported"].get("by") or "not said"
        facts["imported"] = f"from {sender}, file {before['imported'].get('file', '')}, {before['imported'].get('when', '')[:10]}"
    return facts | ({"tags": ", ".join(note.tags)} if note.tags else {}) | ({"note": note.text} if note.text else {})


def comparison_summary(name: str, comparison: Comparison) -> dict[str, Any]:
    """What differs between the first fit and another, in settings and in scores."""
    differing = what_differs([comparison.first, comparison.second]).rename(columns={"setting": "", "B": name})
    columns = ["roi", "hemi", "n_vertices", "first", "second", "difference", "low", "high", "p", "q", "differs"]
    table = comparison.table[columns if comparison.tested else columns[:6]]
    table = table.assign(**{column: table[column].map(p_text) for column in ("p", "q") if column in table})
    table = table.rename(columns={"first": "A", "second": name, "difference": f"{name} − A", "low": "95 % from", "high": "to"})
    return {"name": name, "differing": table_html(differing), "method": how_it_was_tested(comparison, name), "table": table_html(table)}


def how_it_was_tested(comparison: Comparison, name: str = "B") -> str:
    """Describe the statistical test of a comparison in a few sentences, or the reason why there is none."""
    return _test_in_words(comparison, name) + _in_part(comparison)


def _in_part(comparison: Comparison) -> str:
    if not comparison.in_part:
        return ""
    many = comparison.first.plan.subject.unit.many
    rows = f"{len(comparison.in_part)} of {len(comparison.table)} rows"
    return f" In {rows} they are not of the same {many}: there both means are over the {many} that both have, and nothing is tested."


def _test_in_words(comparison: Comparison, name: str) -> str:
    if comparison.unpaired is not None:
        return f"A and {name} cannot be paired, so differences have no interval and no p. {comparison.unpaired}"
    what = f"{comparison.statistic} {SCORES[comparison.score].short}"
    if not comparison.has_draws:
        better = f" Below 0 {name} is better." if comparison.lower_is_better else ""
        no_interval = next(filter(None, map(why_no_interval, (comparison.first, comparison.second))), "")
        why = "of a median" if comparison.statistic != "mean" else "of it in intervals of earlier releases"
        return f"Difference in {what}.{better} It has no interval and no p: {no_interval or f'there are no bootstrap draws {why}'}."
    if comparison.without_intervals:
        which = " and ".join("A" if result is comparison.first else name for result in comparison.without_intervals)
        return f"The bootstrap intervals of {which} were not computed, so differences have no interval and no p yet."
    table = of_regions(comparison.table)
    n, n_found = int(table["p"].notna().sum()), int(table["differs"].sum())
    folds = f" (of each of {len(comparison.first.plan.folds)} folds, then their mean)" if len(comparison.first.plan.folds) > 1 else ""
    folds = " (one r over all folds' predictions)" if comparison.score == "pooled_r" else folds
    note = approximate_note(comparison.first.n_test_stimuli)
    return (
        f"Difference in {what}{folds}, its 95 % interval and p: {TEST_NAME} ({comparison.first.tested_units}, the same "
        f"{ERROR_BAR.n_draws} draws for both). {n_found} of {n} region tests (one of each "
        f"hemisphere) are findings at a false discovery rate of {100 * comparison.rate:.0f} % (Benjamini-Hochberg)."
        " It speaks of other test images, not of other subjects."
        f"{f' {note}' if note else ''}"
    )


def roi_ends(result: ScoreTables, score: str = "r") -> dict[tuple[str, str], tuple[float, float]]:
    """Return the 95 % interval of each ROI's mean score, (ROI, hemisphere) to (lower, upper); those that have one."""
    intervals = intervals_of(result)
    if intervals is None:
        return {}
    rois = [str(roi) for roi in intervals["rois"]]
    ends = {hemi: score_intervals(intervals, hemi, score) for hemi in result.plan.hemis}
    ends = {hemi: found for hemi, found in ends.items() if found is not None}
    pairs = {(roi, hemi): (float(low[i]), float(high[i])) for hemi, (low, high) in ends.items() for i, roi in enumerate(rois)}
    return {place: pair for place, pair in pairs.items() if np.isfinite(pair).all()}


def charts_of(names: Sequence[str], results: Sequence[ScoreTables], compared: Mapping[str, Comparison]) -> list[tuple[str, str, go.Figure]]:
    """Title, caption and figure of each chart."""
    first, unit = results[0], results[0].plan.subject.unit
    classes, source = labelled_classes(first.plan.subject), plots.caption(first.provenance, first.plan.spec, tested=first.counted("test"))
    if len(results) == 1:
        return fit_charts(first, classes, source)
    tables = {name: result.rois() for name, result in zip(names, results, strict=True)}
    ends = {name: roi_ends(result) for name, result in zip(names, results, strict=True)}
    marked = [(row.roi, row.hemi) for row in compared["B"].table.itertuples() if row.differs] if len(results) == 2 else ()
    stars = " ★: the two differ." if len(marked) else ""
    caption = f"Mean r over the {unit.many} of every region, whiskers: 95 % intervals over test stimuli.{stars}"
    charts = [("Scores", caption, plots.paired_bars(tables, intervals=ends, marked=marked, classes=classes, unit=unit))]
    for name, found in compared.items():
        pair = ("A", name)
        if len(found.table):
            figure = plots.roi_differences(found.table, names=pair, unit=unit)
            charts.append((f"{name} minus A", how_it_was_tested(found, name), figure))
        if found.same_vertices:
            scores = [{hemi: result.score(hemi) for hemi in result.plan.hemis} for result in (found.first, found.second)]
            figure = plots.vertex_scatter(*scores, names=pair, unit=unit).update_layout(width=SQUARE)
            charts.append((f"Every {unit}, A and {name}", f"Above the diagonal: better predicted by {name}.", figure))
    return charts


def fit_charts(result: ScoreTables, classes: Mapping[str, Sequence[str]], source: str) -> list[tuple[str, str, go.Figure]]:
    """Title, caption and figure of each chart of one fit: bars, spread over vertices, and what else is stored of it."""
    table, bounds, hemis, unit = result.rois(), intervals_of(result), result.plan.hemis, result.plan.subject.unit
    intervals = None if bounds is None else {hemi: (bounds[f"{hemi}_low"], bounds[f"{hemi}_high"]) for hemi in hemis}
    whiskers = f" {interval_text(result, available=intervals is not None)}"
    bars = plots.roi_bars(table, intervals=intervals, classes=classes, unit=unit)
    charts = [("Scores", f"Mean r over the {unit.many} of every region.{whiskers}", bars)]
    ceiling = None if result.ceiling(hemis[0]) is None else {hemi: np.sqrt(result.ceiling(hemi)) for hemi in hemis}
    spread = plots.score_histogram({hemi: result.score(hemi) for hemi in hemis}, ceiling=ceiling, unit=unit)
    charts.append((f"Every {unit}", f"A mean hides a lot: r of every {unit}. {source}", spread))
    if isinstance(result, Result) and result.is_complete():
        columns = {hemi: np.flatnonzero(np.isfinite(result.score(hemi))) for hemi in hemis}
        if any(map(len, columns.values())):
            density = residual_density(result, columns)
            word = result.row_word("test")
            what = f"{density.n_pairs:,} pairs of a test {word.removesuffix('s')} and a {unit}"
            text = f"{what}: mean residual {density.mean:+z.3f}, standard deviation {density.sd:.3f}."
            charts.append(("Residuals", text, plots.residual_density(density, what=what.split(" ", 1)[1])))
        charts += _epoch_charts(result)
    curve = result.derived(curve_key(result.key, result.plan))
    if curve is not None:
        lines = {
            line: np.nanmean(np.concatenate([curve[f"{hemi}_{line}"] for hemi in hemis], axis=1), axis=1) for line in ("train", "test")
        }
        figure = plots.learning_curve(
            curve["sizes"], train=lines["train"], test=lines["test"], label=f"Mean r over every {unit}", counted=result.row_word("training")
        )
        charts.append(("Learning curve", "Would more training images help? Where the test line still climbs, yes.", figure))
    return charts


def _epoch_charts(result: Result) -> list[tuple[str, str, go.Figure]]:
    """Loss after each epoch of the first fold's models, of a readout trained in epochs."""
    charts, parts = [], {part.name: part for part in result.plan.target_groups}
    for name, history in list(result.history().items())[:MOST_HISTORIES]:
        kept = result.kept_epochs(parts[name])
        figure = plots.epoch_losses(
            np.asarray(history["train_loss"]), np.asarray(history["validation_loss"]), stopped=kept if len(kept) else None
        )
        charts.append((f"Loss after each epoch, {name}", "Of the first fold. The mark is the epoch whose weights are kept.", figure))
    return charts


def _brains(names: Sequence[str], results: Sequence[ScoreTables], compared: Mapping[str, Comparison]) -> list[tuple[str, BrainMap]]:
    """Title and map of each brain: every fit's r, and differences from the first."""
    made, highest = [], top_of_scale(results)
    for name, result in zip(names, results, strict=True):
        brain = score_brain(result, highest=highest)
        if brain is not None:
            made.append((f"{name}: r" if len(results) > 1 else f"r of every {result.plan.subject.unit}", brain))
    for name, comparison in compared.items():
        brain = difference_brain(comparison, name) if comparison.same_vertices else None
        if brain is not None:
            made.append((f"{name} minus A", brain))
    return made


def score_table(result: ScoreTables) -> pd.DataFrame:
    """Tabulate every score of every ROI that has vertices: means with their intervals where these are stored, medians and best."""
    table = result.rois()
    table = table[table["n_vertices"] > 0]
    columns = ["roi", "hemi", "n_vertices", "ceiling_r"]
    for key in result.score_names:
        score, ends = SCORES[key], roi_ends(result, key)
        if ends:
            known = [ends.get(pair, (np.nan, np.nan)) for pair in zip(table["roi"], table["hemi"], strict=True)]
            table = table.assign(**{f"{key}_{end}": [each[place] for each in known] for place, end in enumerate(("low", "high"))})
        columns += [score.mean_column, f"{key}_low", f"{key}_high", *map(score.column, score.statistics[1:])]
    return table[[column for column in columns if column in table]]


def extremes_table(result: ScoreTables) -> Markup | str:
    """The best and the worst vertices by r; empty where none has an r."""
    table = result.best_and_worst()
    columns = [name for name in ("hemi", "column", "fsaverage", "rois", "r", "ceiling") if name in table]
    return table_html(table[columns]) if len(table) else ""


def training_errors_table(result: ScoreTables) -> Markup | str:
    """Errors at the epoch that was kept, of a readout trained in epochs; empty for others."""
    table = result.training_errors()
    return table_html(table[table["n_vertices"] > 0]) if len(table) else ""
