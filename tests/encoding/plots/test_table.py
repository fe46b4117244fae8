import ast
import json
import pickle

import numpy as np
import plotly.graph_objects as go
from pandas.testing import assert_frame_equal

from encoding import plots
from tests import PROJECT


def test_a_table_holds_the_points_that_are_drawn_and_not_what_is_only_looked_at():
    fig = plots.learning_curve([40, 80], train=[0.9, 0.8], test=[0.1, 0.2], label="Mean r")
    table = plots.table_of(fig)
    assert list(table.columns) == ["series", "Training images (x)", "Mean r (y)"]
    assert table.loc[table["series"] == "Test images", "Mean r (y)"].tolist() == [0.1, 0.2] and len(table) == 4


def test_a_heatmap_gives_a_row_a_cell():
    table = plots.table_of(go.Figure(go.Heatmap(x=["V1", "V2"], y=["early", "late"], z=[[1, 2], [3, 4]])))
    assert table["value"].tolist() == [1, 2, 3, 4] and table["x"].tolist() == ["V1", "V2", "V1", "V2"]
    assert table["y"].tolist() == ["early", "early", "late", "late"]


def test_a_figure_that_was_kept_gives_the_same_numbers():
    heat = go.Heatmap(x=["V1", "V2"], y=np.arange(2), z=np.array([[1.0, 2.0], [3.0, np.nan]]))
    for trace in (heat, go.Bar(x=np.arange(3), y=np.array([0.5, 0.25, -1.0], np.float32))):
        made = go.Figure(trace)
        for kept in (pickle.loads(pickle.dumps(made)), go.Figure(json.loads(made.to_json()))):
            assert_frame_equal(plots.table_of(kept), plots.table_of(made), check_dtype=False)


def test_an_empty_figure_has_an_empty_table():
    assert plots.table_of(go.Figure()).empty


def test_a_figure_with_a_source_says_where_it_comes_from_and_has_room_for_it():
    fig = plots.learning_curve([40, 80], train=[0.9, 0.8], test=[0.1, 0.2], label="Mean r")
    height, bottom = fig.layout.height, fig.layout.margin.b
    plots.add_source(fig, "Simulated · demo subj01")
    assert fig.layout.annotations[-1].text == "Simulated · demo subj01" and fig.layout.annotations[-1].yshift == -fig.layout.margin.b
    assert fig.layout.height - height == fig.layout.margin.b - bottom > 0
    assert np.isfinite(fig.layout.height)


def test_a_long_line_below_a_figure_is_broken_so_that_its_first_word_is_seen():
    source = "Simulated · demo subj01 · gabor energy · PCA 100 · ridge · 100 test images · fit-0123456789abcdef0123 · 2026-01-31"
    fig, short = (plots.learning_curve([40, 80], train=[0.9, 0.8], test=[0.1, 0.2], label="Mean r") for _ in range(2))
    plots.add_source(fig, source), plots.add_source(short, "Simulated")
    lines = fig.layout.annotations[-1].text.split("<br>")
    assert " · ".join(lines) == source and len(lines) > 1 and all(len(line) <= 60 for line in lines)
    assert fig.layout.height - short.layout.height == fig.layout.margin.b - short.layout.margin.b > 0


def test_every_chart_of_every_page_has_a_text_for_those_who_cannot_see_it_a_way_to_read_it_and_a_source():
    found, lacking = 0, []
    for path in sorted((PROJECT / "pages").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("chart", "lesson_chart"):
                if any(each.arg is None for each in call.keywords):  # passes on what it was given
                    continue
                found += 1
                missing = {"alt", "how", "source"} - {each.arg for each in call.keywords}
                lacking += [f"{path.name}:{call.lineno} {sorted(missing)}"] if missing else []
    assert found > 40 and not lacking


def test_every_picture_and_table_of_every_page_has_a_text_for_those_who_cannot_see_it():
    lacking = []
    for path in sorted((PROJECT / "pages").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            shows = isinstance(call, ast.Call) and getattr(call.func, "attr", "") in ("image", "dataframe", "plotly_chart")
            if shows and "alt" not in {each.arg for each in call.keywords}:
                lacking.append(f"{path.name}:{call.lineno}")
    assert not lacking
