"""What was measured, against sums done another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from encoding.analysis.tuning import (
    Tuning,
    chosen_rows,
    kinds,
    label_means,
    measure_correlations,
    measures,
    overview,
    region_numbers,
    repeat_counts,
    repeats,
    response_map,
    roi_profile,
    roi_sizes,
    roi_tuning,
    rois_at,
    selectivity,
    tuning,
)
from tests.encoding.analysis.squares import GROUPS, N


def test_a_response_map_is_the_mean_over_repeats(subject):
    assert repeats(subject, 3).tolist() == [3, 53] and repeats(subject, 20).tolist() == [20]
    np.testing.assert_allclose(response_map(subject, 53)["rh"], (subject.responses["rh"][3] + subject.responses["rh"][53]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(response_map(subject, 20)["lh"], subject.responses["lh"][20])
    assert repeat_counts(subject) == {1: 40, 2: 10}


def test_rows_of_a_run_or_another_group_are_no_repeats_of_a_stimulus(subject):
    grouped = replace(subject, groups=np.arange(N) // 20, stimulus_ids=GROUPS)
    assert repeats(grouped, 3).tolist() == [3, 53] and repeat_counts(grouped) == {1: 40, 2: 10}
    np.testing.assert_array_equal(response_map(grouped, 53)["rh"], response_map(subject, 53)["rh"])
    np.testing.assert_array_equal(tuning(grouped, "lh", 4).means, tuning(subject, "lh", 4).means)
    with pytest.raises(ValueError, match="has the stimuli 1 to 60, so no 61"):
        response_map(subject, 60)


def test_tuning_counts_every_stimulus_once(subject):
    found = tuning(subject, "lh", 1)
    column = subject.responses["lh"][:, 1]
    by_hand = {group: np.mean([column[row] for row in range(N) if GROUPS[row] == group]) for group in range(50)}
    np.testing.assert_array_equal(found.values, column)
    np.testing.assert_allclose(found.means, [by_hand[GROUPS[row]] for row in found.rows], rtol=1e-5)
    best = sorted(by_hand, key=by_hand.get)
    assert found.highest(3)[0].tolist() == best[::-1][:3] and found.lowest(3)[0].tolist() == best[:3]
    assert found.lowest(3)[1][0] == found.means.min() and found.highest(99)[0].shape == (50,)


def test_tuning_follows_the_order_of_rows_whatever_the_groups_are_called(subject):
    other = replace(subject, groups=100 - GROUPS)
    assert tuning(other, "lh", 1).rows.tolist() == tuning(subject, "lh", 1).rows.tolist() == list(range(50))
    np.testing.assert_array_equal(tuning(other, "lh", 1).means, tuning(subject, "lh", 1).means)


def test_an_overview_of_all_stimuli_has_their_mean_and_spread(subject):
    found = overview(subject)
    for hemi, values in subject.responses.items():
        np.testing.assert_allclose(found.mean[hemi], values.mean(0), rtol=1e-4)
        np.testing.assert_allclose(found.sd[hemi], values.std(0), rtol=1e-4, atol=1e-7)
        assert 0.98 * values.size <= found.counts[hemi].sum() <= values.size
    assert found.n_rows == N and found.ends[0] == -found.ends[1] < 0


def test_an_overview_reads_no_more_rows_than_it_may(subject):
    read = []

    class Counted(np.ndarray):
        def __getitem__(self, rows):
            read.append(len(rows))
            return np.asarray(super().__getitem__(rows))

    counted = {hemi: values.view(Counted) for hemi, values in subject.responses.items()}
    found = overview(replace(subject, responses=counted), most=8)
    assert (found.n_rows, read) == (8, [8, 8])


def test_responses_of_one_sign_have_no_zero_in_the_middle_of_their_range(subject):
    low, high = overview(replace(subject, responses={hemi: np.abs(values) + 100 for hemi, values in subject.responses.items()})).ends
    assert 100 <= low < high


def test_standardised_responses_have_mean_0_and_sd_1_over_stimuli_and_flat_vertices_none(subject):
    found = overview(subject)
    scaled = np.stack([found.standardised({"rh": subject.responses["rh"][row]})["rh"] for row in range(N)])
    assert np.isnan(scaled[:, 2]).all()
    np.testing.assert_allclose(np.delete(scaled, 2, 1).mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.delete(scaled, 2, 1).std(0), 1, rtol=1e-4)


def test_sizes_and_profiles_have_a_row_for_each_roi_and_hemisphere(subject):
    sizes = roi_sizes(subject).set_index(["roi", "hemi"])["n_vertices"]
    assert sizes.to_dict() == {
        ("V1", "lh"): 3,
        ("V1", "rh"): 1,
        ("fovea", "lh"): 1,
        ("fovea", "rh"): 0,
        ("PPA", "lh"): 0,
        ("PPA", "rh"): 0,
    }
    values = {"lh": np.array([1.0, 2, 0, 0, 9, 0, 0]), "rh": np.zeros(7)}
    table = roi_profile(subject, values).set_index(["roi", "hemi"])
    assert table.loc[("V1", "lh"), ["mean", "low", "high"]].tolist() == [4.0, 1.5, 5.5]
    assert table.loc[("PPA", "lh"), ["mean", "low", "high"]].isna().all()


def test_the_rois_of_a_vertex_come_smallest_first(subject):
    assert rois_at(subject, "lh", 4) == ("fovea", "V1") and rois_at(subject, "lh", 3) == ()


def test_regions_are_numbered_and_the_smaller_one_counts_where_two_overlap(tiny):
    rois = {"lh": {"V1": np.arange(6), "fovea": np.array([4, 5]), "none": np.zeros(0, int)}, "rh": {"V1": np.array([9])}}
    tiny.change(rois=rois)
    numbers, named, empty = region_numbers(tiny.subject, ["fovea", "V1", "none"])
    assert named == ["fovea", "V1"] and empty == ["none"]
    np.testing.assert_array_equal(numbers["lh"], [2, 2, 2, 2, 1, 1, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(numbers["rh"])), [9])


def test_labels_are_kinds_or_measures(subject):
    assert kinds(subject) == {"kind": ["face", "house", "word"], "set": sorted(map(str, range(50)))} and measures(subject) == ("degree",)


def test_label_means_are_those_of_different_stimuli(subject):
    found = tuning(subject, "lh", 0)
    table = label_means(subject, found, "kind").set_index("label")
    for name, row in table.iterrows():
        of_it = np.array([mean for mean, at in zip(found.means, found.rows, strict=True) if subject.labels["kind"][at] == name])
        half = 1.96 * of_it.std(ddof=1) / np.sqrt(len(of_it))
        np.testing.assert_allclose(
            row[["n", "mean", "low", "high"]].astype(float), [len(of_it), of_it.mean(), of_it.mean() - half, of_it.mean() + half]
        )
    assert table["n"].sum() == 50 and table["mean"].is_monotonic_decreasing


def test_a_vertex_driven_by_a_measure_correlates_with_it_alone(subject):
    table = measure_correlations(subject, tuning(subject, "lh", 4))
    assert table["label"].tolist() == ["degree"] and table["r"][0] == pytest.approx(1, abs=1e-6)
    assert measure_correlations(subject, tuning(subject, "rh", 2)).empty  # it never varies


@pytest.mark.parametrize("block_rows", [7, 256])
def test_the_tuning_of_an_roi_is_that_of_the_mean_of_its_vertices(subject, monkeypatch, block_rows):
    monkeypatch.setattr("encoding.analysis.tuning.N_SAMPLED", block_rows)
    found = roi_tuning(subject, "V1")
    by_hand = np.column_stack([subject.responses["lh"][:, [0, 1, 4]], subject.responses["rh"][:, [2]]]).mean(1)
    np.testing.assert_allclose(found.values, by_hand, rtol=1e-5)
    np.testing.assert_allclose(roi_tuning(subject, "fovea").means, tuning(subject, "lh", 4).means, rtol=1e-5)
    with pytest.raises(ValueError, match="PPA has no vertices in this subject"):
        roi_tuning(subject, "PPA")
    with pytest.raises(ValueError, match="V1"):
        roi_tuning(subject, "V2")


def test_selectivity_is_the_distance_of_the_best_category_from_all_others(subject):
    kind = subject.labels["kind"][:50]
    means = np.where(kind == "house", 3.0, 1.0) + np.random.default_rng(0).normal(0, 1, 50)
    values = means[GROUPS].astype(np.float32)
    name, d = selectivity(subject, Tuning.of(subject, values), "kind")
    inside, outside = values[:50][kind == "house"], values[:50][kind != "house"]
    spread = np.sqrt((inside.var(ddof=1) + outside.var(ddof=1)) / 2)
    assert name == "house" and d == pytest.approx((inside.mean() - outside.mean()) / spread)
    assert selectivity(subject, Tuning.of(subject, -values), "kind")[0] != "house"
    assert selectivity(subject, tuning(subject, "rh", 2), "kind") is None  # it never varies
    assert selectivity(subject, Tuning.of(subject, values), "set") is None  # one stimulus of each


def test_filters_narrow_and_orders_sort(subject):
    assert chosen_rows(subject).tolist() == list(range(N))
    red = chosen_rows(subject, words="RED 1")
    assert [subject.stimuli.names[row] for row in red] == [
        "square 12 red",
        "square 15 red",
        "square 18 red",
        "square 21 red",
        "square 51 red",
    ]
    faces = chosen_rows(subject, wanted={"kind": ["face"], "set": []}, order="degree")
    assert set(subject.labels["kind"][faces]) == {"face"} and (np.diff(subject.labels["degree"][faces]) <= 0).all()
    assert len(faces) == (subject.labels["kind"] == "face").sum() and len(chosen_rows(subject, words="blue")) == 0
