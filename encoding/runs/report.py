"""A report of a fit, or of several compared: one HTML page that holds all it shows and asks no other file or host.

Everything that stands in it was computed before; nothing is fitted for a report. Whatever is text is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding import plots
from encoding.analysis.bootstrap import intervals_of
from encoding.analysis.comparison import Comparison, compare, letters, settings, what_differs
from encoding.analysis.learning_curve import curve_key
from encoding.datasets import DATASETS
from encoding.fits.result import EVERY_VERTEX, Result
from encoding.plots.brain.brain_map import BrainMap
from encoding.plots.brain.score_maps import difference_brain, score_brain, top_of_scale
from encoding.runs.report_html import escaped, folded, page, table_html
from encoding.runs.table import read_note
from encoding.storage.store import Store

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_RESULTS = 6
BRAIN_HEIGHT, SQUARE = 420, 580  # px
SIMULATED = "Simulated: no brain was measured"


def report(results: Sequence[Result], store: Store) -> str:
    """The page, some 7 MB: settings, provenance, charts, brains, tables, and how to have the same again.

    Parameters
    ----------
    results : one finished fit, or up to :data:`MOST_RESULTS` that are compared, the first with each of the others.
    store : where the notes on them are kept.

    Raises
    ------
    ValueError where there is no result, or too many.
    """
    if not 1 <= len(results) <= MOST_RESULTS:
        raise ValueError(f"A report is of 1 to {MOST_RESULTS} fits, not of {len(results)}.")
    names = letters(results)
    compared = {name: compare(results[0], other) for name, other in zip(names[1:], results[1:], strict=True)}
    charts = _charts(names, results, compared)
    brains = _brains(names, results, compared)
    parts = [
        _heading(results),
        _runs(names, results, store),
        *[_comparison(name, found) for name, found in compared.items()],
        "<h2>Charts</h2>" + "".join(_chart(number, *each) for number, each in enumerate(charts)),
        _brain_section(brains),
        "<h2>Scores of every region</h2>" + "".join(_scores(name, result) for name, result in zip(names, results, strict=True)),
        _again(names, results),
    ]
    figures = [json.loads(figure.to_json()) for _, _, figure in charts]
    maps = [brain.to_bytes(height=BRAIN_HEIGHT) for _, brain in brains]
    return page(_title(results), "\n".join(part for part in parts if part), figures, maps)


def _title(results: Sequence[Result]) -> str:
    spec = results[0].plan.spec
    what = f"{spec.backbone} {' + '.join(spec.layers)}" if len(results) == 1 else f"{len(results)} encoding models compared"
    return f"{what}, {spec.dataset} {spec.subject}"


def _heading(results: Sequence[Result]) -> str:
    simulated = [result.plan.subject.simulated for result in results]
    badge = f"<p class='simulated'>{SIMULATED}</p>" if all(simulated) else ""
    if any(simulated) and not all(simulated):
        badge = "<p class='simulated'>Some of these are simulated, where no brain was measured: see the settings.</p>"
    about = "How well models predict the responses of visual cortex to pictures that they never saw."
    return f"<h1>{escaped(_title(results))}</h1>{badge}<p>{about}</p>"


def _runs(names: Sequence[str], results: Sequence[Result], store: Store) -> str:
    """Settings side by side, and where each fit comes from."""
    import pandas as pd

    table = settings(results).rename(columns={"setting": ""})
    told = [_provenance(result, store) for result in results]
    rows = dict.fromkeys(row for each in told for row in each)
    made = pd.DataFrame({"": list(rows)} | {name: [each.get(row, "") for row in rows] for name, each in zip(names, told, strict=True)})
    return f"<h2>Settings</h2>{table_html(table)}<h2>Where it comes from</h2>{table_html(made)}"


def _provenance(result: Result, store: Store) -> dict[str, str]:
    made, note = result.provenance, read_note(result.key, store)
    before = made.get("made_from", {})
    seconds = before.get("fit_seconds")
    told = {"key": result.key, "made (UTC)": str(made.get("created", ""))[:19].replace("T", " ")}
    told |= {"simulated": "yes" if result.plan.subject.simulated else "no", "device": str(before.get("device", ""))}
    told |= {"fitted in": "" if seconds is None else f"{seconds:.1f} s", "program (commit)": str(made.get("commit", ""))}
    told["libraries"] = ", ".join(f"{name} {version}" for name, version in made.get("libraries", {}).items())
    if "imported" in before:
        sender = before["imported"].get("by") or "not said"
        told["imported"] = f"from {sender}, file {before['imported'].get('file', '')}, {before['imported'].get('when', '')[:10]}"
    return told | ({"tags": ", ".join(note.tags)} if note.tags else {}) | ({"note": note.text} if note.text else {})


def _comparison(name: str, found: Comparison) -> str:
    """What differs between the first fit and another, in settings and in scores."""
    differing = table_html(what_differs([found.first, found.second]).rename(columns={"setting": "", "B": name}))
    said = how_it_was_tested(found, name)
    columns = ["roi", "hemi", "n_vertices", "first", "second", "difference", "low", "high", "p", "q", "differs"]
    table = found.table[columns if found.tested else columns[:6]]
    table = table.rename(columns={"first": "A", "second": name, "difference": f"{name} − A", "low": "95 % from", "high": "to"})
    return f"<h2>A and {name}</h2>{differing}<p>{escaped(said)}</p>{folded(table_html(table), f'Every region, A and {name}')}"


def how_it_was_tested(found: Comparison, name: str = "B") -> str:
    """The method of a comparison in a few sentences, or why there is no test."""
    if found.unpaired is not None:
        return f"A and {name} cannot be paired, so differences have no interval and no p. {found.unpaired}"
    if found.without_intervals:
        which = " and ".join("A" if result is found.first else name for result in found.without_intervals)
        return f"The bootstrap intervals of {which} were not computed, so differences have no interval and no p yet."
    n, n_found = int(found.table["p"].notna().sum()), int(found.table["differs"].sum())
    return (
        f"Paired bootstrap over the {found.first.n_test:,} test images, the same 500 draws for both: difference in mean r, its 95 % "
        f"interval, two-sided p. {n_found} of {n} tests (ROI x hemisphere) are findings at a false discovery rate of {found.rate:.0%} "
        "(Benjamini-Hochberg). It speaks of other test images, not of other subjects."
    )


def roi_ends(result: Result) -> dict[tuple[str, str], tuple[float, float]]:
    """(ROI, hemisphere) to the ends of the 95 % interval of its mean r; empty where they were not computed."""
    found = intervals_of(result)
    if found is None:
        return {}
    rois = [str(roi) for roi in found["rois"]]
    ends = {hemi: (found[f"{hemi}_low"], found[f"{hemi}_high"]) for hemi in result.plan.hemis}
    return {(roi, hemi): (float(low[i]), float(high[i])) for hemi, (low, high) in ends.items() for i, roi in enumerate(rois)}


def roi_classes(result: Result) -> Mapping[str, Sequence[str]]:
    """ROI class to its ROIs, where the data set is known here; an imported fit's may not be."""
    dataset = result.plan.spec.dataset
    return DATASETS[dataset].roi_names() if dataset in DATASETS else {}


def _charts(names: Sequence[str], results: Sequence[Result], compared: Mapping[str, Comparison]) -> list[tuple[str, str, go.Figure]]:
    """Title, caption and figure of each chart."""
    first = results[0]
    classes, source = roi_classes(first), plots.caption(first.provenance, first.plan.spec, n_test=first.n_test)
    if len(results) == 1:
        return _single_charts(first, classes, source)
    tables = {name: result.rois() for name, result in zip(names, results, strict=True)}
    ends = {name: roi_ends(result) for name, result in zip(names, results, strict=True)}
    marked = _marked(compared["B"]) if len(results) == 2 else ()
    stars = " ★: the two differ." if len(marked) else ""
    said = f"Mean r over the vertices of every region, whiskers: 95 % of bootstrap draws of test images.{stars}"
    charts = [("Scores", said, plots.paired_bars(tables, intervals=ends, marked=marked, classes=classes))]
    for name, found in compared.items():
        pair = ("A", name)
        if len(found.table):
            figure = plots.roi_differences(found.table, names=pair, classes=classes)
            charts.append((f"{name} less A", how_it_was_tested(found, name), figure))
        if found.same_vertices:
            scores = [{hemi: result.score(hemi) for hemi in result.plan.hemis} for result in (found.first, found.second)]
            figure = plots.vertex_scatter(*scores, names=pair).update_layout(width=SQUARE)
            charts.append((f"Every vertex, A and {name}", f"Above the diagonal: better predicted by {name}.", figure))
    return charts


def _single_charts(result: Result, classes: Mapping[str, Sequence[str]], source: str) -> list[tuple[str, str, go.Figure]]:
    table, found, hemis = result.rois(), intervals_of(result), result.plan.hemis
    intervals = None if found is None else {hemi: (found[f"{hemi}_low"], found[f"{hemi}_high"]) for hemi in hemis}
    whiskers = "" if intervals is None else f" Whiskers: 95 % of 500 bootstrap draws of the {result.n_test:,} test images."
    charts = [
        ("Scores", f"Mean r over the vertices of every region.{whiskers}", plots.roi_bars(table, intervals=intervals, classes=classes))
    ]
    ceiling = None if result.ceiling(hemis[0]) is None else {hemi: np.sqrt(result.ceiling(hemi)) for hemi in hemis}
    spread = plots.score_histogram({hemi: result.score(hemi) for hemi in hemis}, ceiling=ceiling)
    charts.append(("Every vertex", f"A mean hides a lot: r of every vertex. {source}", spread))
    curve = result.derived(curve_key(result.key))
    if curve is not None:
        lines = {
            line: np.nanmean(np.concatenate([curve[f"{hemi}_{line}"] for hemi in hemis], axis=1), axis=1) for line in ("train", "test")
        }
        figure = plots.learning_curve(curve["sizes"], train=lines["train"], test=lines["test"], label="Mean r over every vertex")
        charts.append(("Learning curve", "Would more training images help? Where the test line still climbs, yes.", figure))
    return charts


def _marked(found: Comparison) -> list[tuple[str, str]]:
    """The (ROI, hemisphere) in which two fits differ."""
    return [(row.roi, row.hemi) for row in found.table.itertuples() if row.differs]


def _brains(names: Sequence[str], results: Sequence[Result], compared: Mapping[str, Comparison]) -> list[tuple[str, BrainMap]]:
    """Title and map of each brain: every fit's r, and differences from the first."""
    made, highest = [], top_of_scale(results)
    for name, result in zip(names, results, strict=True):
        brain = score_brain(result, highest=highest)
        if brain is not None:
            made.append((f"{name}: r" if len(results) > 1 else "r of every vertex", brain))
    for name, found in compared.items():
        brain = difference_brain(found, name) if found.same_vertices else None
        if brain is not None:
            made.append((f"{name} − A", brain))
    return made


def _chart(number: int, title: str, said: str, figure: go.Figure) -> str:
    numbers = plots.table_of(figure)
    told = folded(table_html(numbers), "Its numbers") if len(numbers) <= 500 else ""
    return f"<figure><figcaption><b>{escaped(title)}.</b> {escaped(said)}</figcaption><div id='chart{number}'></div>{told}</figure>"


def _brain_section(brains: Sequence[tuple[str, BrainMap]]) -> str:
    if not brains:
        return "<h2>Brain</h2><p>It is not known where these vertices lie, so there is no brain map.</p>"
    places = [f"<h3>{escaped(title)}</h3><div id='brain{number}'></div>" for number, (title, _) in enumerate(brains)]
    return "<h2>Brain</h2><p>Drag to turn, scroll to zoom. Grey: nothing was recorded.</p>" + "".join(places)


def _scores(name: str, result: Result) -> str:
    table = result.rois()
    table = table[table["n_vertices"] > 0]
    wanted = ["roi", "hemi", "n_vertices", "r_mean", "r_median", "r2_mean", "ceiling_r", "normalised_r2", "normalised_r", "algonauts2023"]
    return folded(table_html(table[[column for column in wanted if column in table]]), f"{name}: {EVERY_VERTEX} vertices and every region")


def _again(names: Sequence[str], results: Sequence[Result]) -> str:
    """How to have each fit again."""
    parts = []
    for name, result in zip(names, results, strict=True):
        spec = result.plan.spec
        parts.append(f"<h3>{name}</h3>" if len(results) > 1 else "")
        parts.append(f"<p>From a shell</p><pre>{escaped(spec.to_command())}</pre><p>In Python</p><pre>{escaped(spec.to_python())}</pre>")
    return "<h2>The same again</h2>" + "".join(parts)
