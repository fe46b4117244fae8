import numpy as np

from encoding import plots


def test_shares_of_an_roi_stand_on_one_another_and_add_up_to_its_r2():
    shares = {"early": np.array([0.3, 0.0, np.nan]), "late": np.array([0.1, 0.2, np.nan]), "last": np.array([-0.05, 0.1, np.nan])}
    fig = plots.layer_shares(["V1v", "FFA-1", "empty"], shares, selected="FFA-1")
    assert fig.layout.barmode == "relative" and [bar.name for bar in fig.data] == ["early", "late", "last"]
    np.testing.assert_allclose(sum(np.asarray(bar.x) for bar in fig.data)[:2], [0.35, 0.3])
    assert len({bar.marker.color for bar in fig.data}) == 3
    assert fig.layout.yaxis.dtick == 1  # no name is left out
    assert fig.data[0].marker.opacity[1] == 1 and fig.data[0].marker.opacity[0] < 1


def test_one_layer_is_drawn_as_well():
    fig = plots.layer_shares(["V1v"], {"energy": np.array([0.4])})
    assert len(fig.data) == 1 and list(fig.data[0].y) == ["V1v"]
