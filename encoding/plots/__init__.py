"""Plotly figures of a fit, from arrays and tables; nothing is displayed, stored or computed here.

>>> from encoding import plots
>>> plots.learning_curve([40, 80], train=[0.9, 0.8], test=[0.1, 0.2], label="Mean r in V1v").layout.xaxis.title.text
'Training images'
"""

from encoding.plots.bars import roi_bars
from encoding.plots.compare import FIT_COLOURS, paired_bars, roi_differences, vertex_scatter
from encoding.plots.curves import epoch_losses, learning_curve
from encoding.plots.data import label_bars, region_profile, response_histogram, response_spread, response_strip, size_bars
from encoding.plots.grid import parallel_settings, score_grid
from encoding.plots.heatmap import layer_heatmap, layer_wins
from encoding.plots.histogram import fits_histogram, score_histogram
from encoding.plots.layers import layer_profile, layer_territory
from encoding.plots.look import (
    CEILING,
    LEFT,
    RIGHT,
    TEST,
    TRAIN,
    add_source,
    caption,
    hemi_colour,
    hemi_name,
    model_name,
    network_name,
    printable,
    theme,
)
from encoding.plots.observed import observed_predicted
from encoding.plots.predict import occlusion_map, response_profile
from encoding.plots.region import fit_scores
from encoding.plots.residuals import residual_density, residual_fitted
from encoding.plots.search import search_history, search_importances
from encoding.plots.selection import selection_scores
from encoding.plots.shares import layer_shares
from encoding.plots.slices import volume_slices
from encoding.plots.statistics import group_bars, similarity_bars, spectrum_lines
from encoding.plots.table import table_of

__all__ = [
    "CEILING",
    "FIT_COLOURS",
    "LEFT",
    "RIGHT",
    "TEST",
    "TRAIN",
    "add_source",
    "caption",
    "epoch_losses",
    "fit_scores",
    "fits_histogram",
    "group_bars",
    "hemi_colour",
    "hemi_name",
    "label_bars",
    "layer_heatmap",
    "layer_profile",
    "layer_shares",
    "layer_territory",
    "layer_wins",
    "learning_curve",
    "model_name",
    "network_name",
    "observed_predicted",
    "occlusion_map",
    "paired_bars",
    "parallel_settings",
    "printable",
    "region_profile",
    "residual_density",
    "residual_fitted",
    "response_histogram",
    "response_profile",
    "response_spread",
    "response_strip",
    "roi_bars",
    "roi_differences",
    "score_grid",
    "score_histogram",
    "search_history",
    "search_importances",
    "selection_scores",
    "similarity_bars",
    "size_bars",
    "spectrum_lines",
    "table_of",
    "theme",
    "vertex_scatter",
    "volume_slices",
]
