"""A published site: whole, escaped, small, silent towards the network, and with the numbers of the fits."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from encoding import Store, fit, plots
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.comparison import compare
from encoding.analysis.learning_curve import learning_curve
from encoding.analysis.summaries import mean_prediction
from encoding.experiments import Experiment, run_experiment
from encoding.runs.exchange import export, import_
from encoding.runs.table import Note, open_run, write_note
from encoding.sites.heatmap_data import heatmap_rows
from encoding.sites.labels import labels_of
from encoding.sites.site import mean_r, publish, slug_of
from tests.conftest import TINY, register_tiny

COLOUR = replace(TINY, layers=("colour",))
EVIL = "</script><img src=http://evil/x>"


class Reader(HTMLParser):
    """The addresses that a page loads and those that it links to, its text, and its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads, self.links, self.text, self.elements, self.inline = [], [], [], [], ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self._inside = tag
        for name, value in attrs:
            if name in ("src", "srcset", "action", "data") or (name == "href" and tag == "link"):
                self.loads.append(value)
            elif name == "href":
                self.links.append(value)

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.inline += data
        else:
            self.text.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two fits with places, ceilings, intervals and a learning curve, and their site."""
    with pytest.MonkeyPatch.context() as patch:
        dataset, store = register_tiny(patch), Store(tmp_path_factory.mktemp("fits"))
        hemis = ("lh", "rh")
        dataset.change(vertices={hemi: np.arange(10) * 5 for hemi in hemis}, ceiling={hemi: np.full(10, 0.8, np.float32) for hemi in hemis})
        results = [fit(spec, store, device="cpu") for spec in (TINY, COLOUR)]
        for result in results:
            roi_intervals(result)
        learning_curve(TINY, store, device="cpu")
        write_note(results[0].key, store, Note("a private remark"))
        folder = publish(results, tmp_path_factory.mktemp("out") / "site", store, title="Two layers", baseline=results[0])
        pages = {path.name: Reader(path.read_text("utf-8")) for path in folder.glob("*.html")}
        yield SimpleNamespace(results=results, store=store, folder=folder, pages=pages)


def data_of(folder, name: str) -> dict:
    """What the script ``data/<name>.js`` hands over."""
    text = (folder / "data" / f"{name}.js").read_text("utf-8")
    return json.loads(re.fullmatch(rf'Encoding\.add\("{name}", (.*)\);\n', text, re.DOTALL)[1])


def test_a_page_for_each_fit_a_heatmap_a_comparison_and_an_index(made):
    first, second = map(slug_of, made.results)
    assert set(made.pages) == {
        "index.html", f"{first}.html", f"{second}.html", "heatmap-1.html", f"compare-{first}-{second}.html",
    }  # fmt: skip
    assert {path.name for path in (made.folder / "tables").iterdir()} == {f"{first}.csv", f"{second}.csv", "heatmap-1.csv"}


def test_every_address_leads_to_a_file_of_the_site_and_every_page_is_linked(made):
    linked = set()
    for page in made.pages.values():
        for address in [*page.loads, *page.links]:
            assert address == "data:," or (made.folder / address).is_file(), address
        linked |= set(page.links)
    assert set(made.pages) <= linked


def test_no_page_loads_from_a_host_or_holds_a_script_of_its_own(made):
    for name, page in made.pages.items():
        assert not any("//" in address for address in [*page.loads, *page.links])
        assert not {"img", "iframe", "object", "embed", "form"} & set(page.elements) and not page.inline.strip()
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', (made.folder / name).read_text())[1]
        assert "default-src 'none'" in policy and "http" not in policy and "script-src 'self' file:;" in policy


def test_simulated_data_are_labelled_on_every_page(made):
    assert all("Simulated: no brain was measured" in "".join(page.text) for page in made.pages.values())


def test_what_a_fit_adds_is_under_3_mb_and_the_rest_is_shared(made):
    for result in made.results:
        slug = slug_of(result)
        files = [f"{slug}.html", f"data/{slug}.js", f"tables/{slug}.csv"]
        assert sum((made.folder / name).stat().st_size for name in files) < 3e6
    assert {path.name for path in (made.folder / "assets").iterdir()} == {
        "plotly.js", "viewer.js", "meshes.js", "store.js", "site.js", "site.css",
    }  # fmt: skip


@pytest.mark.parametrize("number", [0, 1])
def test_the_numbers_of_a_page_are_those_of_the_fit(made, number):
    result = made.results[number]
    slug, table = slug_of(result), result.rois().set_index(["roi", "hemi"])
    data, text = data_of(made.folder, slug), "".join(made.pages[f"{slug}.html"].text)
    low = roi_intervals(result)["lh_low"][result.selected_rois.index("driven")]
    assert f"lh {table.loc[('driven', 'lh'), 'r_mean']:.3f} [{low:.3f}, " in text
    saved = pd.read_csv(made.folder / "tables" / f"{slug}.csv").set_index(["roi", "hemi"])
    assert saved.loc[("driven", "rh"), "r2_mean"] == pytest.approx(table.loc[("driven", "rh"), "r2_mean"])
    for score in result.score_names:
        bars = {tuple(where): y for trace in data["bars"][score]["data"] if trace["type"] == "bar" for where, y in bar_values(trace)}
        column = {"r": "r_mean", "r2": "r2_mean"}.get(score, score)
        assert bars["driven", "lh"] == pytest.approx(table.loc[("driven", "lh"), column])
    assert set(data["brains"]) == set(result.score_names)
    r = (result.measured("lh", [0, 1, 2, 3, 4]).mean(1) + result.measured("rh", [0, 1, 2, 3, 4]).mean(1)) / 2
    assert data["predictions"]["rois"]["driven"]["traces"][1]["y"] == pytest.approx(r, abs=1e-4)
    assert_figure_of(data["predictions"]["rois"]["driven"], result)
    assert data["predictions"]["names"][0] == result.plan.subject.stimuli.names[result.test_rows()[0]]


def assert_figure_of(own: dict, result) -> None:
    """The data of a region's predictions are those of the figure that the dashboard draws of it."""
    means = mean_prediction(result, {hemi: np.arange(5) for hemi in ("lh", "rh")})
    figure = plots.observed_predicted(means.measured, means.predicted, [""] * len(means.measured))
    assert [trace["name"] for trace in own["traces"]] == [trace.name for trace in figure.data]
    for trace, expected in zip(own["traces"], figure.data, strict=True):
        assert trace["x"] == pytest.approx(np.asarray(expected.x), abs=1e-4) and trace["y"] == pytest.approx(
            np.asarray(expected.y), abs=1e-4
        )
    assert own["range"] == pytest.approx(figure.layout.xaxis.range) and f"r = {means.r:.2f}" in own["title"]


def bar_values(trace: dict):
    values = trace["x" if trace.get("orientation") == "h" else "y"]
    if isinstance(values, dict):
        values = np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"]))
    return zip(trace["customdata"], values, strict=True)


def test_a_heatmap_has_the_means_over_both_hemispheres(made):
    rows = pd.read_csv(made.folder / "tables" / "heatmap-1.csv").set_index(["label", "roi"])
    for result, label in zip(made.results, labels_of([result.plan.spec for result in made.results]), strict=True):
        both = np.concatenate([result.score(hemi)[:5] for hemi in ("lh", "rh")])
        assert rows.loc[(label, "driven"), "r"] == pytest.approx(both.mean())
        assert rows.loc[(label, "driven"), "low"] < both.mean() < rows.loc[(label, "driven"), "high"]
    data = data_of(made.folder, "heatmap-1")
    assert data["slugs"] == [slug_of(result) for result in made.results] and {"r", "r2", "normalised_r2"} <= set(data["heatmaps"])
    without = heatmap_rows([import_fit(made.results[0])], ["sent"]).set_index("roi")
    assert without.loc["driven", "r2"] == pytest.approx(rows.loc[("tinynet pixels", "driven"), "r2"])


def import_fit(result):
    """The fit as another person opens it: without its intervals."""
    from encoding.runs.exchange import packed

    elsewhere = Store(result.store.root.parent / "elsewhere")
    path = elsewhere.root.parent / "sent.zip"
    path.write_bytes(packed(result))
    return import_(path, elsewhere)


def test_a_comparison_says_which_is_better_and_where(made):
    first, second = made.results
    page = made.pages[f"compare-{slug_of(first)}-{slug_of(second)}.html"]
    table = compare(first, second).table.query("roi != 'all' and difference == difference")
    found = table[table["differs"]]
    wins = {"A": int((found["difference"] < 0).sum()), "B": int((found["difference"] > 0).sum())}
    winner, loser = sorted(wins, key=wins.get, reverse=True)
    text = "".join(page.text)
    n = int(table["p"].notna().sum())
    if wins[winner]:
        assert f"{winner} predicts better in {wins[winner]} of {n} region tests, {loser} in {wins[loser]}; most in " in text
    else:
        assert f"A and B differ in none of {n} region tests." in text
    assert "paired bootstrap over test stimuli" in text


def test_notes_stay_at_home_unless_they_are_asked_for(made, tmp_path):
    assert not any("a private remark" in "".join(page.text) for page in made.pages.values())
    folder = publish(made.results[:1], tmp_path / "site", made.store, notes=True)
    assert "a private remark" in (folder / f"{slug_of(made.results[0])}.html").read_text()


def test_an_imported_fit_without_data_is_published_and_says_what_it_lacks(made, tmp_path):
    path = export(made.results[0], tmp_path / "sent.zip", by="Ada")
    elsewhere = Store(tmp_path / "elsewhere")
    sent = import_(path, elsewhere)
    folder = publish([sent], tmp_path / "site", elsewhere)
    page = (folder / f"{slug_of(sent)}.html").read_text()
    assert "Not published: the models of this fit" in page and "from Ada" in page and not (folder / "heatmap-1.html").exists()


def test_a_fit_on_every_stimulus_has_no_mean_no_heatmap_and_no_comparison(tiny, cache, shell, tmp_path):
    tested, whole, other = (fit(spec, cache, device="cpu") for spec in (TINY, replace(TINY, split="all"), replace(COLOUR, split="all")))
    folder = publish([tested, whole, other], tmp_path / "site", cache, baseline=tested)
    index, page = ((folder / name).read_text() for name in ("index.html", f"{slug_of(whole)}.html"))
    assert not list(folder.glob("heatmap-*")) and not list(folder.glob("compare-*"))
    assert f"<td>{mean_r(tested):.3f}</td>" in index and "inf" not in index
    assert "every stimulus was used for training, so none is left" in page and "Not published" not in page
    code, _, err = shell("publish", whole.key, tested.key, "--compare", tested.key, "--out", tmp_path / "refused")
    assert code == 2 and "--compare" in err and not (tmp_path / "refused").exists()


def test_what_people_wrote_is_text_and_no_html(tiny, store, tmp_path):
    tiny.change(rois={hemi: {EVIL: np.arange(5), "noise": np.arange(5, 10)} for hemi in ("lh", "rh")})
    results = [fit(spec, store, device="cpu") for spec in (TINY, COLOUR)]
    write_note(results[0].key, store, Note(EVIL))
    folder = publish(results, tmp_path / "site", store, title=EVIL, notes=True, baseline=results[0])
    for path in folder.glob("*.html"):
        page = Reader(path.read_text())
        assert "img" not in page.elements and EVIL in "".join(page.text), path


def test_without_places_there_is_no_brain_and_the_page_says_so(tiny, store, tmp_path):
    result = fit(TINY, store, device="cpu")
    folder = publish([result], tmp_path / "site", store)
    assert "It is not known where on the cortex" in (folder / f"{slug_of(result)}.html").read_text()
    assert data_of(folder, slug_of(result))["brains"] == {}


def test_the_page_of_a_fit_of_one_vertex_is_of_that_vertex(tiny, store, tmp_path):
    """Its bars said that their one score was of every vertex, beside ceilings of all, and the vertex was too small to be found."""
    hemis = ("lh", "rh")
    tiny.change(vertices={hemi: np.arange(10) * 5 for hemi in hemis}, ceiling={hemi: np.linspace(0.2, 0.9, 10) for hemi in hemis})
    result = fit(replace(TINY, target_groups="vertex:lh:3"), store, device="cpu")
    data = data_of(publish([result], tmp_path / "site", store), slug_of(result))
    assert data["only"] == {"hemi": "lh", "vertex": 15}
    assert data["rois"] == ["all", *(roi for roi, columns in result.plan.subject.rois["lh"].items() if 3 in columns)]
    table = result.rois().set_index("roi")
    assert table["n_vertices"].max() == 1
    assert table.loc["all", "ceiling_r"] == pytest.approx(np.sqrt(result.ceiling("lh")[3]))
    whole = fit(TINY, store, device="cpu")
    assert data_of(publish([whole], tmp_path / "whole", store), slug_of(whole))["only"] is None


def test_nothing_is_overwritten_and_no_fit_is_no_site(made, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError):
        publish(made.results, tmp_path / "there", made.store)
    with pytest.raises(ValueError, match="one finished fit or more"):
        publish([], tmp_path / "new", made.store)


def test_labels_name_every_setting_that_differs_and_no_other():
    specs = [TINY, replace(TINY, readout="ridge", options={"alpha": 3}), replace(TINY, rois=("driven",)), replace(TINY, split="kfold:4:0")]
    labels = labels_of(specs)
    assert len(set(labels)) == len(specs)
    assert "ridge alpha=3" in labels[1] and "rois=driven" in labels[2] and "split=kfold:4:0" in labels[3]
    assert "subj01" not in labels[0] and "pool" not in labels[0]


def test_labels_say_the_targets_of_those_fits_alone_that_predict_fewer():
    """Heatmaps cut the start of a long label: beside a fit of one vertex all columns were ``…both · target_groups=hemisphere``."""
    specs = [TINY, replace(TINY, layers=("colour",)), replace(TINY, hemi="lh"), replace(TINY, target_groups="vertex:lh:3")]
    labels = labels_of(specs)
    assert labels[:2] == ["tinynet pixels", "tinynet colour"]
    assert labels[2:] == ["tinynet pixels · hemi=lh", "tinynet pixels · target_groups=vertex:lh:3"]


def test_labels_call_a_projection_what_it_is():
    projections = [replace(TINY, reduction="sparse_random", n_components=n) for n in (20, 40)]
    assert labels_of(projections) == ["tinynet pixels · sparse random projection 20", "tinynet pixels · sparse random projection 40"]


@pytest.fixture
def cache(store, monkeypatch):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(store.root))
    return store


def test_an_experiment_from_a_shell_by_its_file_or_its_key(tiny, cache, shell, tmp_path):
    experiment = Experiment(base=TINY, vary={"layers": [["pixels"], ["colour"]]}, title="Both layers")
    file = tmp_path / "grid.toml"
    file.write_text(experiment.to_toml())
    code, _, err = shell("publish", file, "--out", tmp_path / "early")
    assert code == 2 and "No fit of this experiment is finished" in err
    run_experiment(experiment, cache)
    code, out, _ = shell("publish", file, "--out", tmp_path / "site", "--json")
    assert code == 0 and len(json.loads(out)["fits"]) == 2 and json.loads(out)["left_out"] == {}
    index = "".join(Reader((tmp_path / "site" / "index.html").read_text()).text)
    assert "Both layers" in index and "layers" in index
    table = pd.read_csv(StringIO((tmp_path / "site" / "tables" / "experiment.csv").read_text()))
    assert set(table["key"]) == set(json.loads(out)["fits"])


def test_fits_from_a_shell_named_or_the_best(tiny, cache, shell, tmp_path):
    worse, better = fit(COLOUR, cache, device="cpu"), fit(TINY, cache, device="cpu")
    code, out, _ = shell("publish", "--out", tmp_path / "best", "--most", "1", "--json")
    assert code == 0 and json.loads(out)["fits"] == [better.key] and json.loads(out)["left_out"] == {worse.key: "--most"}
    code, out, _ = shell("publish", worse.key[:12], "--compare", better.key, "--out", tmp_path / "two")
    assert code == 0 and "2 fits are in" in out and (tmp_path / "two" / f"compare-{slug_of(better)}-{slug_of(worse)}.html").exists()
    code, _, err = shell("publish", "fit-none", "--out", tmp_path / "three")
    assert code == 2 and "fit-none" in err and not (tmp_path / "three").exists()
    code, _, err = shell("publish", worse.key, "--out", tmp_path / "two")
    assert code == 1 and "exists already" in err


def test_networks_of_one_name_are_labelled_with_their_source():
    names = ("torchvision/resnet50", "resnet50", "timm/resnet50", "open_clip/RN50/openai")
    specs = [replace(TINY, backbone=name, layers=("fc",)) for name in names]
    others = ["resnet50 (timm) fc", "RN50/openai (open_clip) fc"]
    assert labels_of(specs[1:]) == ["resnet50 fc", *others]
    assert labels_of(specs) == ["torchvision/resnet50 fc", "resnet50 fc", *others]


def test_fits_that_no_setting_tells_apart_are_labelled_with_their_keys(tiny, store, tmp_path):
    """The same fit before and after the data were changed. Their scores are of different responses: no heatmap has both."""
    before = fit(TINY, store, device="cpu")
    tiny.change(fingerprints={"lh": "changed-lh", "rh": "changed-rh"})
    after = fit(TINY, store, device="cpu")
    folder = publish([before, after, fit(COLOUR, store, device="cpu")], tmp_path / "site", store)
    labels = [f"tinynet pixels · {after.key}", "tinynet colour"]
    assert data_of(folder, "heatmap-1")["rows"] == labels and not (folder / "heatmap-2.html").exists()
    assert set(pd.read_csv(folder / "tables" / "heatmap-1.csv")["label"]) == set(labels)
    assert f"tinynet pixels · {before.key}" in "".join(Reader((folder / "index.html").read_text()).text)


def test_fits_that_validate_others_stand_in_no_site_and_each_split_has_a_heatmap_of_its_own(tiny, cache, shell, tmp_path):
    splits = ["holdout:0.8:0", "kfold:4:0"]
    experiment = Experiment(
        base=TINY, vary={"layers": [["pixels"], ["colour"]], "split": [*splits, *(f"{each}/holdout:0.8:0" for each in splits)]}
    )
    run_experiment(experiment, cache)
    (tmp_path / "grid.toml").write_text(experiment.to_toml())
    for what, out in (([tmp_path / "grid.toml"], "grid"), ([], "best")):
        code, text, _ = shell("publish", *what, "--out", tmp_path / out, "--json")
        keys = json.loads(text)["fits"]
        assert code == 0 and len(keys) == 4 and {open_run(key, cache).plan.spec.split for key in keys} == set(splits)
        pages = {path.name: "".join(Reader(path.read_text()).text) for path in (tmp_path / out).glob("heatmap-*.html")}
        assert (
            len(pages) == 2
            and sum("80 % train" in text for text in pages.values()) == sum("4-fold" in text for text in pages.values()) == 1
        )


def test_fits_of_one_hemisphere_and_of_both_have_heatmaps_of_their_own(tiny, store, tmp_path):
    """Means over one hemisphere and over both are of other vertices: no star says which is best."""
    specs = [replace(each, hemi=hemi) for hemi in ("both", "lh") for each in (TINY, COLOUR)]
    folder = publish([fit(spec, store, device="cpu") for spec in specs], tmp_path / "site", store)
    counted = {}
    for path in sorted((folder / "tables").glob("heatmap-*.csv")):
        table = pd.read_csv(path).query("roi == 'driven'")
        assert len(table) == 2
        counted[data_of(folder, path.stem)["where"]] = set(table["n_vertices"])
        titles = "".join(Reader((folder / f"{path.stem}.html").read_text()).text)
        assert data_of(folder, path.stem)["where"].removeprefix("vertices of ") in titles.partition("Means over")[0]
    assert counted == {"vertices of both hemispheres": {10}, "vertices of the left hemisphere": {5}}


def test_a_region_that_not_every_fit_predicts_has_no_best_fit(tiny, cache, tmp_path):
    whole, part = (fit(spec, cache, device="cpu") for spec in (TINY, replace(COLOUR, rois=("driven",))))
    data = data_of(publish([whole, part], tmp_path / "site", cache), "heatmap-1")
    assert data["headline"] == "By mean r, tinynet pixels is best in 1 of 1 region that all predict."
