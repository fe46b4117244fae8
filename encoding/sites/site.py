"""Write finished fits as static web pages that open from a folder or any web host: no server, no Python, no request to another host.

A site shares plotly, the brain viewer and the meshes of fsaverage5 between its pages (``assets/``). What a page draws is a script of its
own (``data/``) since browsers let a page that was opened from a folder load scripts and no other files. Stimuli and responses of single
vertices are not published; means of responses over regions are.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding import plots
from encoding.analysis.comparison import compare, verdict
from encoding.analysis.summaries import OVERALL, best_roi, overall_scores
from encoding.fits.score_tables import BOTH, EVERY_VERTEX, ScoreTables
from encoding.plots.brain.brain_map import mesh_bytes, viewer_module
from encoding.plots.brain.score_maps import difference_brain
from encoding.runs.labels import dataset_label, part_label, split_label, subject_label
from encoding.runs.report import (
    SIMULATED,
    charts_of,
    comparison_summary,
    extremes_table,
    origin_facts,
    roi_ends,
    score_table,
    simulated_text,
    training_errors_table,
)
from encoding.runtime.csv import to_csv
from encoding.runtime.html import render, table_html
from encoding.runtime.progress import Report, silent
from encoding.sites.fit_data import drawn, fit_data
from encoding.sites.heatmap_data import heatmap_data, heatmap_rows
from encoding.sites.labels import labels_of
from encoding.storage.atomic import atomic_folder
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from encoding.fits.spec import FitSpec

ASSETS = Path(__file__).parent / "assets"
DIGITS = 12  # of a key in the name of its page
MOST_ROWS = 100  # of a heatmap


@dataclass(frozen=True, kw_only=True)
class Supplement:
    """What a site says of an experiment beside its fits.

    Attributes
    ----------
    title : of the experiment.
    toml : its settings.
    table : its long table (:func:`encoding.experiments.table.long_table`), which is offered as a file.
    """

    title: str
    toml: str
    table: pd.DataFrame


@dataclass
class _Writer:
    """Write the files of one site into a folder."""

    folder: Path
    title: str
    pages: list[str] = field(default_factory=list)

    def page(self, path: str, template: str, **values: Any) -> None:
        page = render(f"sites/templates/{template}", site=self.title, **values)
        self.write(path, str(page))
        self.pages.append(path)

    def data(self, name: str, value: dict[str, Any]) -> None:
        self.write(f"data/{name}.js", f'Encoding.add("{name}", {json.dumps(value, separators=(",", ":"), default=list)});\n')

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


def publish(
    results: Sequence[ScoreTables],
    out: str | Path,
    store: Store,
    *,
    title: str = "Encoding models",
    baseline: ScoreTables | None = None,
    supplement: Supplement | None = None,
    notes: bool = False,
    report: Report = silent,
) -> Path:
    """Write a site: an index, a page for each fit, heatmaps of the fits of one subject, and comparisons with a baseline.

    Parameters
    ----------
    results : finished fits, computed here, composed or imported; each gets a page of up to 3 MB.
    out : the folder to write, whole or not at all.
    store : where results that are computed from the fits, and notes on them, are kept; only read.
    title : of the site.
    baseline : one of the fits, with which every other fit of the same subject is compared on a page of its own.
    supplement : of the experiment that the fits belong to.
    notes : whether users' notes and tags on the fits are published.
    report : progress callback.

    Returns
    -------
    The folder.

    Raises
    ------
    ValueError where there is no fit; FileExistsError where the folder exists.
    """
    if not results:
        raise ValueError("A site is of one finished fit or more.")
    results = list({result.key: result for result in results}.values())
    labels = labels_of([result.plan.spec for result in results], [result.key for result in results])
    groups = [group for group in _alike([result for result in results if result.plan.has_test]) if len(group) > 1]
    others = [] if baseline is None else comparable(baseline, results)
    n_steps = len(results) + len(groups) + len(others)
    with atomic_folder(Path(out).expanduser()) as folder:
        site, rows, heatmaps, comparisons = _Writer(folder, title), [], [], []
        _write_assets(site)
        for number, (result, label) in enumerate(zip(results, labels, strict=True)):
            report(number / n_steps, f"page of {label}")
            rows.append(_write_fit(site, result, label, store if notes else None))
        by_key = {row["key"]: row for row in rows}
        for number, group in enumerate(groups, 1):
            report((len(results) + number - 1) / n_steps, "heatmap")
            of_group = [by_key[result.key]["label"] for result in group]
            heatmaps.append(_write_heatmap(site, f"heatmap-{number}", group, of_group, one_of_several=len(groups) > 1))
        for number, other in enumerate(others):
            report((n_steps - len(others) + number) / n_steps, "comparison")
            comparisons.append(_write_comparison(site, baseline, other, [by_key[each.key]["label"] for each in (baseline, other)]))
        if supplement is not None:
            site.write("tables/experiment.csv", to_csv(supplement.table))
        lists = {"all_simulated": all(row["simulated"] for row in rows), "fits": rows, "heatmaps": heatmaps, "comparisons": comparisons}
        site.page("index.html", "index.html", title=title, simulated=simulated_text(results), supplement=supplement, **lists)
        report(1.0, "done")
    return Path(out).expanduser()


def _alike(results: Sequence[ScoreTables]) -> list[list[ScoreTables]]:
    """Fits whose scores can stand in one heatmap: of the same responses and hemispheres of a subject, tested on the same stimuli."""
    names = ("dataset", "subject", "split", "average_repeats")

    def of(result: ScoreTables) -> list[object]:
        plan = result.plan
        return [*(getattr(plan.spec, name) for name in names), plan.hemis, [plan.subject.fingerprints[hemi] for hemi in plan.hemis]]

    return [list(group) for _, group in itertools.groupby(sorted(results, key=of), key=of)]


def comparable(baseline: ScoreTables, results: Sequence[ScoreTables]) -> list[ScoreTables]:
    """The other fits of the baseline's subject that share a hemisphere with it; none where the baseline has no test scores."""

    def paired(other: ScoreTables) -> bool:
        a, b = baseline.plan, other.plan
        same = (a.spec.dataset, a.spec.subject) == (b.spec.dataset, b.spec.subject)
        return same and bool(set(a.hemis) & set(b.hemis)) and a.has_test and b.has_test

    return [result for result in results if result.key != baseline.key and paired(result)]


def _write_assets(site: _Writer) -> None:
    """Scripts and styles that the pages share, as classic scripts: modules do not load from a folder."""
    from plotly.offline import get_plotlyjs

    site.write("assets/plotly.js", get_plotlyjs())
    body, _, _ = viewer_module().rpartition("export {")
    site.write("assets/viewer.js", f"const BrainViewer = (() => {{\n{body}\nreturn {{ createBrainView, unpack, spread }};\n}})();\n")
    site.write("assets/meshes.js", f'const BRAIN_MESHES = "{base64.b64encode(mesh_bytes()).decode()}";\n')
    for path in sorted(ASSETS.iterdir()):
        site.write(f"assets/{path.name}", path.read_text("utf-8"))


def slug_of(result: ScoreTables) -> str:
    """Name of a fit's page, without its ending.

    A key of 20 digits is shortened to 12, which no two of a site's fits share but by an accident of one in 10^14.
    """
    stage, _, digits = result.key.rpartition("-")
    return f"{stage}-{digits[:DIGITS]}"


def _write_fit(site: _Writer, result: ScoreTables, label: str, store: Store | None) -> dict[str, Any]:
    """The page of one fit; returns its row of the index."""
    slug, spec, table = slug_of(result), result.plan.spec, score_table(result)
    data = fit_data(result)
    site.data(slug, data)
    site.write(f"tables/{slug}.csv", to_csv(table))
    headline = _best_text(result)
    site.page(
        f"{slug}.html",
        "fit.html",
        title=label,
        subtitle=f"{_whose(spec)} · {result.counted('training')} and {result.counted('test')}",
        simulated=SIMULATED if result.plan.subject.simulated else "",
        slug=slug,
        headline=headline,
        data=data,
        has_test=result.plan.has_test,
        every_vertex=EVERY_VERTEX,
        overall=table_html(overall_scores(result)),
        about_overall=result.plan.subject.unit.fill(OVERALL).replace("*", ""),
        table=table_html(table),
        extremes=extremes_table(result),
        errors=training_errors_table(result),
        settings=table_html(_pairs({name: _setting(value) for name, value in spec.to_dict().items()})),
        origin=table_html(_pairs(origin_facts(result, store))),
        command=spec.to_command(full=True),
        python=spec.to_python(full=True),
    )
    row = {"key": result.key, "slug": slug, "label": label, "subject": _whose(spec), "readout": spec.readout}
    mean = mean_r(result) if np.isfinite(mean_r(result)) else np.nan
    return row | {"mean_r": mean, "best": headline, "simulated": result.plan.subject.simulated}


def _whose(spec: FitSpec) -> str:
    return f"{dataset_label(spec.dataset)}, {subject_label(spec.subject)}"


def _best_text(result: ScoreTables) -> str:
    """The region of the highest mean r, with interval and ceiling of each hemisphere."""
    table = result.rois()
    roi = best_roi(table)
    rows = table[(table["roi"] == roi) & table["r_mean"].notna()]
    if not len(rows):
        return ""
    ends, parts = roi_ends(result), []
    for row in rows.to_dict("records"):
        low, high = ends.get((roi, row["hemi"]), (np.nan, np.nan))
        interval = f" [{low:z.3f}, {high:z.3f}]" if np.isfinite(low) else ""
        ceiling = f" of {row['ceiling_r']:.3f} possible" if np.isfinite(row.get("ceiling_r", np.nan)) else ""
        parts.append(f"{row['hemi']} {row['r_mean']:z.3f}{interval}{ceiling}")
    name = f"every {result.plan.subject.unit.one}" if roi == EVERY_VERTEX else roi
    return f"{name}: mean r {', '.join(parts)}"


def _setting(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _pairs(values: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"": list(values), " ": [str(value) for value in values.values()]})


def _write_heatmap(site: _Writer, name: str, group: list[ScoreTables], labels: list[str], *, one_of_several: bool) -> dict[str, str]:
    """The heatmap page of several fits of a subject with one split; returns its title and page.

    Parameters
    ----------
    one_of_several : whether the site has other heatmaps, from which the title then tells this one by its split and hemispheres.
    """
    left_out = max(0, len(group) - MOST_ROWS)
    if left_out:
        order = sorted(range(len(group)), key=lambda place: -mean_r(group[place]))[:MOST_ROWS]
        group, labels = ([values[place] for place in sorted(order)] for values in (group, labels))
    spec, slugs = group[0].plan.spec, [slug_of(result) for result in group]
    title, hemis = f"{len(group)} fits of {_whose(spec)}", group[0].plan.hemis
    if one_of_several:
        title += f", {split_label(spec.split)}, {part_label(hemis[0] if len(hemis) == 1 else BOTH, hemis)}"
    data = heatmap_data(group, labels) | {"slugs": slugs}
    site.data(name, data)
    site.write(f"tables/{name}.csv", to_csv(heatmap_rows(group, labels)))
    site.page(
        f"{name}.html",
        "heatmap.html",
        title=title,
        simulated=simulated_text(group),
        name=name,
        data=data,
        left_out=left_out,
        fits=list(zip(slugs, labels, strict=True)),
    )
    return {"title": title, "page": f"{name}.html", "headline": data["headline"]}


def mean_r(result: ScoreTables) -> float:
    """Mean r over every vertex of all hemispheres; minus infinity where no vertex has one."""
    values = np.concatenate([result.score(hemi) for hemi in result.plan.hemis])
    return float(np.nanmean(values)) if np.isfinite(values).any() else -np.inf


def _write_comparison(site: _Writer, first: ScoreTables, second: ScoreTables, labels: list[str]) -> dict[str, str]:
    """The page that compares two fits, A and B; returns its title and page."""
    name = f"compare-{slug_of(first)}-{slug_of(second)}"
    found = compare(first, second)
    source = f"A: {labels[0]} · B: {labels[1]}"
    source = f"Simulated · {source}" if first.plan.subject.simulated else source
    charts = [
        {"title": title, "caption": caption, "figure": drawn(plots.add_source(figure, source))}
        for title, caption, figure in charts_of(["A", "B"], [first, second], {"B": found})
    ]
    brain = difference_brain(found) if found.same_vertices else None
    brains = {} if brain is None else {"difference": base64.b64encode(brain.to_bytes(height=420)).decode()}
    site.data(name, {"charts": charts, "brains": brains})
    summary = comparison_summary("B", found)
    page = {"title": f"{labels[0]} against {labels[1]}", "page": f"{name}.html", "headline": verdict(found)}
    site.page(
        page["page"],
        "comparison.html",
        title=page["title"],
        simulated=simulated_text([first, second]),
        name=name,
        pair=[(letter, slug_of(result), label) for letter, result, label in zip("AB", (first, second), labels, strict=True)],
        verdict=page["headline"],
        summary=summary,
        charts=charts,
        has_brain=bool(brains),
    )
    return page
