"""What an exported fit may not hold: every hostile, damaged or absurd archive is refused, and nothing of it is kept."""

from __future__ import annotations

import numpy as np
import pytest

from encoding.evaluation.scores import SCORES, STORED_SCORES
from encoding.runs.exchange import import_
from encoding.runs.manifest import BadExchange
from tests.encoding.runs.conftest import drop, put, rewritten, set_made_from, set_manifest, set_spec, set_texts

ABSURD = {
    "scores of another shape": (put("fit.lh_r", np.zeros((1, 9))), "another shape"),
    "scores that are whole numbers": (put("fit.lh_r", np.zeros((1, 10), int)), "no sound lh_r"),
    "correlations beyond 1": (put("fit.lh_r", np.full((1, 10), 7.0)), "no possible values of r"),
    "infinite correlations": (put("fit.lh_r", np.full((1, 10), -np.inf)), "no possible values of r"),
    "no correlation at all": (
        lambda manifest, arrays: arrays.update({f"fit.{hemi}_r": np.full((1, 10), np.nan) for hemi in ("lh", "rh")}),
        "no vertex with a correlation",
    ),
    "a negative error": (put("fit.rh_rmse", np.full((1, 10), -5.0)), "no possible values of rmse"),
    "an infinite error": (put("fit.rh_mae", np.full((1, 10), np.inf)), "no possible values of mae"),
    "more than all of the variance": (put("fit.rh_r2", np.full((1, 10), 1.5)), "no possible values of r2"),
    "scores of no hemisphere": (put("fit.xx_r", np.zeros((1, 10))), "scores of no hemisphere"),
    "a detail of one hemisphere alone": (drop("fit.rh_alpha"), "scores or details of some hemispheres alone"),
    "vertices off the brain": (put("about.lh_vertices", np.full(10, 10**9)), "no possible places"),
    "negative vertices": (put("about.lh_vertices", np.arange(10) - 5), "no possible places"),
    "ceilings beyond 1": (put("about.lh_ceiling", np.full(10, 2.0, "f4")), "no possible ceilings"),
    "rows that are not there": (put("about.test_rows", np.arange(30) + 10**6), "no such test rows"),
    "more rows than memory": (put("about.n_stimuli", np.array(2**62)), "no possible number of stimuli"),
    "an image in a name": (set_texts("about.rois", "![](http://evil/x.png)", "noise", "empty"), "no sound rois"),
    "a hemisphere like a path": (set_texts("about.hemis", "../x", "rh"), "no sound|names of hemispheres"),
    "names that are numbers": (lambda manifest, arrays: manifest["texts"].update({"about.rois": [1, 2, 3]}), "no sound list of texts"),
    "intervals of another shape": (put("intervals.lh_draws", np.zeros((500, 99))), "intervals of another shape"),
    "draws of another shape": (put("intervals.lh_rmse_draws", np.zeros((500, 99))), r"no possible intervals \(lh_rmse_draws\)"),
    "intervals beyond 1": (put("intervals.lh_high", np.full(4, 3.0)), "no possible intervals"),
    "a curve of another shape": (put("curve.lh_test", np.zeros((2, 2), "f4")), "learning curve of another shape"),
    "a curve of no images": (lambda manifest, arrays: arrays.update({"curve.sizes": arrays["curve.sizes"] * 0}), "no possible sizes"),
    "a part of another name": (put("other.evil", np.zeros(3)), "parts of another name"),
    "a name like a path": (put("../../evil", np.zeros(3)), "is not what an exported fit holds"),
    "a text under such a name": (set_texts("/tmp/evil", "x"), "is not what an exported fit holds"),
    "another format": (set_manifest(format="zip"), "no exported fit"),
    "another version": (set_manifest(version=99), "Another version of this program"),
    "a list for contents": (set_manifest(files=[]), "does not hold what it has to"),
    "texts that are none": (set_manifest(texts=[]), "does not hold what it has to"),
    "no provenance": (set_manifest(provenance=None), "does not hold what it has to"),
    "a sender with a script": (set_manifest(by="<script>alert(1)</script>"), "text that is not plain"),
    "a very long sender": (set_manifest(by="x" * 10_000), "does not hold what it has to"),
    "an image in the provenance": (set_made_from(device="![](http://evil/x.png)"), "text that is not plain"),
    "a fit of less than no time": (set_made_from(fit_seconds=-1), "no sound provenance"),
    "no word on simulation": (set_made_from(simulated="no"), "whether it is simulated"),
    "a spec that is none": (set_made_from(spec={"readuot": "ridge"}), "its spec says what cannot be"),
    "layers that are numbers": (set_spec(layers=[1, 2]), "layers must be text or a list of texts"),
    "a layer like a tag": (set_spec(layers=["<img src=x>"]), "text that is not plain"),
    "components that are text": (set_spec(n_components="100"), "spec"),
    "more components than there can be": (set_spec(n_components=10**14), "no possible number of components"),
    "more frames than there can be": (set_spec(frames=10**14), "no possible number of components or frames"),
    "another ROI": (set_spec(rois=["nowhere"]), "ROIs that it does not have"),
}  # fmt: skip


@pytest.mark.parametrize("what", ABSURD)
def test_an_absurd_archive_is_refused_and_leaves_nothing(exported, elsewhere, what):
    change, message = ABSURD[what]
    with pytest.raises(BadExchange, match=message):
        import_(rewritten(exported, change), elsewhere)
    assert elsewhere.keys() == [] and not list(elsewhere.root.rglob("*.npy"))


@pytest.mark.parametrize("score", [name for name in STORED_SCORES if name != "r"])
def test_a_score_that_is_missing_leaves_the_archive_readable(exported, sent, elsewhere, score):
    """As of a file from before the score existed."""

    def change(manifest, arrays):
        for hemi in ("lh", "rh"):
            arrays.pop(f"fit.{hemi}_{score}")

    there = import_(rewritten(exported, change), elsewhere)
    found, full = there.rois(), sent.rois()
    gone = [column for column in found if found[column].isna().all() and not full[column].isna().all()]
    assert gone == [column for column in full if column in list(map(SCORES[score].column, SCORES[score].statistics))]
    kept = [column for column in full if column not in gone]
    assert found[kept].equals(full[kept])
    assert there.vertices()[score].isna().all() and there.summary()["rois"][0]["r_mean"] == sent.summary()["rois"][0]["r_mean"]


def test_a_score_of_a_later_version_leaves_the_archive_readable(exported, sent, elsewhere):
    def change(manifest, arrays):
        for hemi in ("lh", "rh"):
            arrays[f"fit.{hemi}_spearman"] = np.full((1, 10), 0.5)

    there = import_(rewritten(exported, change), elsewhere)
    assert there.rois().equals(sent.rois()) and "spearman" in there.detail_names
    assert (there.vertices()["spearman"] == 0.5).all()


def test_a_readout_of_a_later_version_leaves_the_tables_readable(exported, sent, elsewhere):
    def change(manifest, arrays):
        manifest["provenance"]["made_from"]["spec"].update(readout="later", options={})
        for name in [name for name in arrays if name.startswith("model.")]:
            arrays.pop(name)

    there = import_(rewritten(exported, change), elsewhere)
    assert there.rois().equals(sent.rois()) and there.prediction_refusal() == "This program does not know the readout later."
