import numpy as np
import plotly.graph_objects as go

from encoding import plots


def test_a_table_holds_the_points_that_are_drawn_and_not_what_is_only_looked_at():
    fig = plots.learning_curve([40, 80], train=[0.9, 0.8], test=[0.1, 0.2], label="Mean r")
    table = plots.table_of(fig)
    assert list(table.columns) == ["series", "Training images (x)", "Mean r (y)"]
    assert table.loc[table["series"] == "Test images", "Mean r (y)"].tolist() == [0.1, 0.2] and len(table) == 4


def test_a_heatmap_gives_a_row_a_cell():
    table = plots.table_of(go.Figure(go.Heatmap(x=["V1", "V2"], y=["early", "late"], z=[[1, 2], [3, 4]])))
    assert table["value"].tolist() == [1, 2, 3, 4] and table["x"].tolist() == ["V1", "V2", "V1", "V2"]
    assert table["y"].tolist() == ["early", "early", "late", "late"]


def test_an_empty_figure_has_an_empty_table():
    assert plots.table_of(go.Figure()).empty


def test_a_signed_figure_says_where_it_comes_from_and_has_room_for_it():
    fig = plots.learning_curve([40, 80], train=[0.9, 0.8], test=[0.1, 0.2], label="Mean r")
    height, bottom = fig.layout.height, fig.layout.margin.b
    plots.signed(fig, "Simulated · demo subj01")
    assert fig.layout.annotations[-1].text == "Simulated · demo subj01" and fig.layout.annotations[-1].yshift == -fig.layout.margin.b
    assert fig.layout.height - height == fig.layout.margin.b - bottom > 0
    assert np.isfinite(fig.layout.height)


def test_where_a_figure_comes_from_is_never_wider_than_a_narrow_chart():
    fig = plots.learning_curve([40, 80], train=[0.9, 0.8], test=[0.1, 0.2], label="Mean r")
    height, source = fig.layout.height, " · ".join(["Simulated", *["algonauts2023 subj01"] * 8])
    plots.signed(fig, source)
    lines = fig.layout.annotations[-1].text.split("<br>")
    assert " · ".join(lines) == source and max(map(len, lines)) <= 70
    assert fig.layout.height - height > 16 * 1.5  # room for all of them
