"""Heatmaps and parallel coordinates of experiments: every number stands where its settings say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from encoding import plots

VALUES = pd.DataFrame(
    {
        "layers": ["one", "one", "two", "two", "one"],
        "roi": ["V1", "V2", "V1", "V2", "V1"],
        "backbone": ["a", "a", "a", "a", "b"],
        "score": [0.1, 0.2, 0.3, 0.4, 0.5],
        "n": [1, 1, 2, 1, 1],
    }
)


def test_cells_stand_at_their_settings_and_absent_ones_are_empty():
    figure = plots.score_grid(VALUES[:3], rows="layers", columns="roi", value="score", quantity="mean r")
    heatmap, targets = figure.data
    assert list(heatmap.x) == ["V1", "V2"] and list(heatmap.y) == ["one", "two"]
    np.testing.assert_array_equal(heatmap.z, [[0.1, 0.2], [0.3, np.nan]])
    assert [list(each) for each in targets.customdata] == [["one", "V1"], ["one", "V2"], ["two", "V1"]], "a click says which cell"
    assert [text.rpartition(", ")[2] for text in targets.hovertext] == ["1 fit", "1 fit", "2 fits"]
    pd.testing.assert_frame_equal(plots.table_of(figure), VALUES[:3])
    texts = [[text.partition(">")[2].removesuffix("</span>") for text in row] for row in heatmap.text]
    assert texts == [["0.100", "0.200"], ["0.300", ""]]
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0.1, 0.3), "the ends that the texts' colours suppose"


def test_panels_share_axes_and_colours():
    figure = plots.score_grid(VALUES, rows="layers", columns="roi", value="score", quantity="mean r", facet="backbone")
    first, _, second, targets = figure.data
    assert (first.name, second.name) == ("a", "b") and first.coloraxis == second.coloraxis == "coloraxis"
    assert [list(each) for each in targets.customdata] == [["one", "V1", "b"]]
    np.testing.assert_array_equal(second.z, [[0.5, np.nan], [np.nan, np.nan]])
    assert [note.text for note in figure.layout.annotations] == ["a", "b"]


def test_a_line_passes_through_the_settings_of_its_fit():
    figure = plots.parallel_settings(VALUES, settings=["backbone", "layers"], value="score", quantity="mean r")
    network, layer, score = figure.data[0].dimensions
    assert [network.ticktext[place] for place in network["values"]] == VALUES["backbone"].tolist()
    assert [layer.ticktext[place] for place in layer["values"]] == VALUES["layers"].tolist()
    assert list(score["values"]) == VALUES["score"].tolist() and score.label == "mean r"


def test_on_a_phone_many_columns_go_down_and_a_click_says_the_same_cell():
    many = pd.concat([VALUES.assign(roi=[f"{roi}{number}" for roi in VALUES["roi"]]) for number in range(4)], ignore_index=True)
    wide, narrow = (
        plots.score_grid(many, rows="layers", columns="roi", value="score", quantity="r", facet="backbone", narrow=is_narrow)
        for is_narrow in (False, True)
    )
    assert len(wide.data) == len(narrow.data) == 4
    for one, other in zip(wide.data[::2], narrow.data[::2], strict=True):
        assert list(one.x) == list(other.y) and list(one.y) == list(other.x)
        np.testing.assert_array_equal(np.array(one.z).T, other.z)
    for one, other in zip(wide.data[1::2], narrow.data[1::2], strict=True):
        assert list(one.x) == list(other.y) and list(one.y) == list(other.x)
        np.testing.assert_array_equal(one.customdata, other.customdata)
    assert narrow.layout.yaxis.autorange == "reversed", "the first region on top"
    few = plots.score_grid(VALUES, rows="layers", columns="roi", value="score", quantity="r", narrow=True)
    assert list(few.data[0].x) == ["V1", "V2"], "a few have room"


def test_lines_are_seen_on_white_and_on_black():
    def luminance(colour: str) -> float:
        parts = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
        return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    line = plots.parallel_settings(VALUES, settings=["backbone"], value="score", quantity="r").data[0].line
    for _, colour in line.colorscale:
        assert 1.05 / (luminance(colour) + 0.05) > 3 and (luminance(colour) + 0.05) / (luminance("#181714") + 0.05) > 3


def test_of_errors_the_lowest_have_the_colour_of_the_best_and_are_on_top():
    grid = plots.score_grid(VALUES, rows="layers", columns="roi", value="score", quantity="RMSE", facet="backbone", lower_is_better=True)
    assert grid.layout.coloraxis.colorscale[0][1] == "#fde725" and "lower is better" in grid.layout.coloraxis.colorbar.title.text
    lines = plots.parallel_settings(VALUES, settings=["backbone"], value="score", quantity="RMSE", lower_is_better=True).data[0]
    better = plots.parallel_settings(VALUES, settings=["backbone"], value="score", quantity="r").data[0]
    assert lines.line.colorscale[0][1] == better.line.colorscale[-1][1] and lines.dimensions[-1].range == (0.5, 0.1)
    assert better.dimensions[-1].range is None
