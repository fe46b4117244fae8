"""A fit as one file: what comes through, and what does not get in."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import stat
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from encoding import FitSpec, Store, fit
from encoding.analysis.bootstrap import roi_intervals
from encoding.analysis.comparison import compare
from encoding.analysis.learning_curve import learning_curve
from encoding.cli import main
from encoding.datasets._placement import Placement
from encoding.fits.open import find_key
from encoding.runs.exchange import MANIFEST, BadExchange, export, import_, open_imported, packed
from encoding.runs.imported import NotSent
from encoding.runs.table import all_runs, open_run
from encoding.runtime.registry import UnknownName
from tests.conftest import TINY


@pytest.fixture
def placed(tiny):
    """The planted subject with places on the cortex and noise ceilings."""
    tiny.change(
        vertices={"lh": np.arange(10) * 7, "rh": np.arange(10) * 3},
        ceiling={hemi: np.linspace(0, 1, 10, dtype=np.float32) for hemi in ("lh", "rh")},
    )
    return tiny


@pytest.fixture
def sent(placed, store):
    """A fit with its intervals and learning curve."""
    result = fit(TINY, store, device="cpu")
    roi_intervals(result)
    learning_curve(TINY, store, device="cpu")
    return result


@pytest.fixture
def elsewhere(tmp_path):
    return Store(tmp_path / "elsewhere")


def rewritten(data: bytes, change) -> io.BytesIO:
    """The file with ``change(manifest, files)`` made to it; checksums are made right again unless the change removes a member."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop(MANIFEST))
    change(manifest, files)
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict):
        for name in manifest["files"]:
            if name in files:
                manifest["files"][name] = {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps(manifest))
        for name, content in files.items():
            archive.writestr(name, content)
    return io.BytesIO(out.getvalue())


def npy(array) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def test_tables_maps_and_comparisons_are_the_same_without_the_data_set(sent, elsewhere, tmp_path, monkeypatch):
    path = export(sent, tmp_path / "fit.zip", by="Ada, lab 4")
    from encoding.datasets import DATASETS

    monkeypatch.delitem(DATASETS._members, "tiny")
    there = import_(path, elsewhere)
    pd.testing.assert_frame_equal(there.rois(), sent.rois())
    pd.testing.assert_frame_equal(there.vertices(), sent.vertices())
    assert (there.n_train, there.n_test, there.plan.spec) == (sent.n_train, sent.n_test, sent.plan.spec)
    np.testing.assert_array_equal(Placement.of(there.plan.subject).vertices["rh"], np.arange(10) * 3)
    np.testing.assert_array_equal(there.intervals["lh_draws"], roi_intervals(sent)["lh_draws"])
    assert there.curve["lh_test"].shape[1] == 10 and there.plan.subject.simulated
    found = compare(sent, there)
    assert found.unpaired is None and found.same_vertices and found.tested and (found.table["difference"] == 0).all()


def test_what_made_it_and_who_sent_it_come_along(sent, elsewhere, tmp_path):
    there = import_(export(sent, tmp_path / "fit.zip", by="Ada"), elsewhere)
    again = open_imported(there.key, elsewhere)
    for name in ("created", "commit", "libraries"):
        assert again.provenance[name] == sent.provenance[name]
    assert again.origin["by"] == "Ada" and again.origin["fit"] == sent.key and again.origin["file"] == "fit.zip" and again.origin["when"]
    row = all_runs(elsewhere).iloc[0]
    assert row["imported"] and row["sender"] == "Ada" and row["mean_r"] == pytest.approx(np.mean([sent.score(h) for h in ("lh", "rh")]))
    assert open_run(there.key[:14], elsewhere).key == there.key


def test_an_imported_fit_never_stands_in_for_one_that_is_computed(sent, elsewhere, tmp_path):
    there = import_(export(sent, tmp_path / "fit.zip"), elsewhere)
    assert there.key.startswith("imported-") and not fit(TINY, elsewhere, device="cpu").cached
    with pytest.raises(UnknownName):
        find_key(there.key, elsewhere)


def test_no_stimulus_or_response_is_sent_and_asking_says_so(sent, elsewhere, tmp_path):
    data = packed(sent)
    for array in sent.plan.subject.responses.values():
        assert npy(np.asarray(array)) not in contents(data)
    there = import_(io.BytesIO(data), elsewhere)
    for ask in (lambda: there.measured("lh", [0]), lambda: there.predicted("lh", [0]), lambda: there.plan.subject.stimuli[0]):
        with pytest.raises(NotSent, match=r"did not come with it\. With the data: python -m encoding fit --dataset tiny"):
            ask()


def contents(data: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_equal_fits_are_equal_files_and_one_import(sent, elsewhere):
    assert packed(sent, by="Ada") == packed(sent, by="Ada")
    keys = {import_(io.BytesIO(packed(sent, by="Ada")), elsewhere).key for _ in range(2)}
    assert len(keys) == 1 and len(elsewhere.keys()) == 1


def test_an_imported_fit_can_be_passed_on(sent, elsewhere, tmp_path):
    there = import_(export(sent, tmp_path / "one.zip", by="Ada"), elsewhere)
    third = import_(export(there, tmp_path / "two.zip", by="Grace"), Store(tmp_path / "third"))
    pd.testing.assert_frame_equal(third.rois(), sent.rois())
    assert third.origin["by"] == "Grace" and third.origin["fit"] == sent.key


def test_a_fit_without_intervals_or_places_is_sent_without_them(tiny, store, elsewhere):
    there = import_(io.BytesIO(packed(fit(replace(TINY, hemi="lh", split="kfold:3:0"), store, device="cpu"))), elsewhere)
    assert there.intervals is None and there.curve is None and Placement.of(there.plan.subject) is None
    assert there.plan.hemis == ("lh",) and there.n_test == 120


def test_a_subject_without_rois_is_sent_as_it_is(tiny, store, elsewhere):
    tiny.change(rois={"lh": {}, "rh": {}})
    result = fit(TINY, store, device="cpu")
    there = import_(io.BytesIO(packed(result)), elsewhere)
    pd.testing.assert_frame_equal(there.rois(), result.rois())
    assert there.selected_rois == ("all",)


def test_voxels_of_a_volume_keep_where_the_surface_samples_them(tiny, store, elsewhere):
    one = {"lh": tiny.subject.responses["lh"]}
    places = {hemi: (np.array([5, 9]), np.array([0, 3])) for hemi in ("lh", "rh")}
    changed = {"responses": {"brain": one["lh"]}, "rois": {"brain": tiny.subject.rois["lh"]}, "fingerprints": {"brain": "b"}}
    tiny.change(**changed, sampled=places)
    there = import_(io.BytesIO(packed(fit(TINY, store, device="cpu"))), elsewhere)
    np.testing.assert_array_equal(there.plan.subject.sampled["rh"][1], [0, 3])
    assert Placement.of(there.plan.subject).blocks == {"lh": "brain", "rh": "brain"}


def test_the_folder_of_a_weights_file_is_not_told(sent, elsewhere):
    spec = replace(TINY, weights="/home/ada/secret/net.pt")
    moved = replace(sent, plan=replace(sent.plan, spec=spec))
    moved.plan.__dict__["key"] = sent.key  # as if it had been fitted with that file
    data = packed(moved)
    assert not any(b"secret" in content for content in contents(data))
    assert import_(io.BytesIO(data), elsewhere).plan.spec.weights == "net.pt"


def put(name, content):
    return lambda manifest, files: (files.__setitem__(name, content), manifest["files"].setdefault(name, {"bytes": 0, "sha256": ""}))


def told(**values):
    return lambda manifest, files: manifest.update(values)


def made(**values):
    return lambda manifest, files: manifest["provenance"]["made_from"].update(values)


def spec(**values):
    return lambda manifest, files: manifest["provenance"]["made_from"]["spec"].update(values)


HOSTILE = {
    "a path that climbs": (put("../../evil.npy", b"x"), "is not what an exported fit holds"),
    "an absolute path": (put("/tmp/evil.npy", b"x"), "is not what an exported fit holds"),
    "a drive": (put("C:\\evil.npy", b"x"), "is not what an exported fit holds"),
    "a hidden folder": (put("fit..npy", b"x"), "is not what an exported fit holds"),
    "a program": (put("fit.evil.py", b"x"), "is not what an exported fit holds"),
    "a pickle": (put("fit.lh_r.npy", pickle.dumps({"a": 1})), "is no array"),
    "an array of objects": (put("fit.lh_r.npy", npy(np.array([{"a": 1}], dtype=object))), "is no array"),
    "an archive of arrays": (put("fit.lh_r.npy", b"PK\x03\x04" + b"0" * 40), "is no array"),
    "a shape beyond its bytes": (put("fit.lh_r.npy", npy(np.zeros((1, 10))).replace(b"(1, 10)", b"(9, 10)")), "length is not"),
    "dates": (put("fit.lh_r.npy", npy(np.zeros((1, 10), "M8[s]"))), "something other than numbers"),
    "scores of another shape": (put("fit.lh_r.npy", npy(np.zeros((1, 9)))), "another shape"),
    "scores beyond 1": (put("fit.lh_r.npy", npy(np.full((1, 10), 7.0))), "no possible correlations"),
    "scores of no hemisphere": (put("fit.xx_r.npy", npy(np.zeros((1, 10)))), "scores of no hemisphere"),
    "vertices off the brain": (put("about.lh_vertices.npy", npy(np.full(10, 10**9))), "no possible places"),
    "negative vertices": (put("about.lh_vertices.npy", npy(np.arange(10) - 5)), "no possible places"),
    "ceilings beyond 1": (put("about.lh_ceiling.npy", npy(np.full(10, 2.0, "f4"))), "no possible ceilings"),
    "rows that are not there": (put("about.test_rows.npy", npy(np.arange(30) + 10**6)), "no such test rows"),
    "more rows than memory": (put("about.n_stimuli.npy", npy(np.array(2**62))), "no possible number of stimuli"),
    "a picture in a name": (put("about.rois.npy", npy(np.array(["![](http://evil/x.png)", "noise", "empty"]))), "no sound rois"),
    "a name that is no text": (put("about.hemis.npy", npy(np.array(["lh", "rh"])).replace(b"l\0\0\0", b"\xff" * 4)), "no sound hemis"),
    "a hemisphere like a path": (put("about.hemis.npy", npy(np.array(["../x", "rh"]))), "no sound|names of hemispheres"),
    "intervals of another shape": (put("intervals.lh_draws.npy", npy(np.zeros((500, 99)))), "intervals of another shape"),
    "a curve of another shape": (put("curve.lh_test.npy", npy(np.zeros((2, 2), "f4"))), "learning curve of another shape"),
    "another format": (told(format="zip"), "no exported fit"),
    "another version": (told(version=99), "Another version of this program"),
    "a list for contents": (told(files=[]), "does not say what it has to"),
    "no provenance": (told(provenance=None), "does not say what it has to"),
    "a sender with a script": (told(by="<script>alert(1)</script>"), "text that is not plain"),
    "a very long sender": (told(by="x" * 10_000), "does not say what it has to"),
    "a picture in the provenance": (made(device="![](http://evil/x.png)"), "text that is not plain"),
    "no word on simulation": (made(simulated="no"), "whether it is simulated"),
    "a spec that is none": (made(spec={"readuot": "ridge"}), "its spec says what cannot be"),
    "layers that are numbers": (spec(layers=[1, 2]), "no sound spec"),
    "a layer like a tag": (spec(layers=["<img src=x>"]), "text that is not plain"),
    "components that are text": (spec(n_components="100"), "spec"),
    "another ROI": (spec(rois=["nowhere"]), "ROIs that it does not have"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_and_leaves_nothing(sent, elsewhere, what):
    change, said = HOSTILE[what]
    with pytest.raises(BadExchange, match=said):
        import_(rewritten(packed(sent), change), elsewhere)
    assert elsewhere.keys() == [] and not [path for path in elsewhere.root.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_missing_or_unlisted_member_is_refused(sent, elsewhere):
    for change in (lambda manifest, files: files.pop("fit.lh_r.npy"), lambda manifest, files: files.update({"fit.zz_r.npy": b""})):
        with pytest.raises(BadExchange, match="contents differ"):
            import_(rewritten(packed(sent), change), elsewhere)


def test_a_changed_byte_is_refused(sent, elsewhere):
    data = bytearray(packed(sent))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        place = archive.getinfo("fit.lh_r.npy")
    data[place.header_offset + 60] ^= 0xFF
    with pytest.raises(BadExchange):
        import_(io.BytesIO(bytes(data)), elsewhere)

    def lie(manifest, files):
        manifest["files"]["fit.lh_r.npy"]["sha256"] = "0" * 64

    with zipfile.ZipFile(rewritten(packed(sent), lambda *_: None)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files[MANIFEST])
    lie(manifest, files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in (files | {MANIFEST: json.dumps(manifest).encode()}).items():
            archive.writestr(name, content)
    with pytest.raises(BadExchange, match="its checksum differs"):
        import_(out, elsewhere)


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 cut short", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_or_an_empty_one_is_refused(elsewhere, data):
    with pytest.raises(BadExchange, match="no exported fit"):
        import_(io.BytesIO(data), elsewhere)


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(elsewhere, monkeypatch):
    monkeypatch.setattr("encoding.runs.exchange.MOST_BYTES", 10_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, "{}")
        archive.writestr("fit.lh_r.npy", bytes(20_000))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(BadExchange, match="Unpacked, this file takes"):
        import_(out, elsewhere)


def test_a_member_longer_than_it_says_is_stopped(sent, elsewhere):
    data = packed(sent)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        true = archive.getinfo("fit.lh_r.npy").file_size
    for there in (data.find(b"fit.lh_r.npy") - 30 + 22, data.rfind(b"fit.lh_r.npy") - 46 + 24):  # both headers' uncompressed size
        assert int.from_bytes(data[there : there + 4], "little") == true
        data = data[:there] + (10).to_bytes(4, "little") + data[there + 4 :]
    with pytest.raises(BadExchange):
        import_(io.BytesIO(data), elsewhere)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("MOST_FILE_BYTES", 100, "MiB at most"), ("MOST_MEMBERS", 3, "3 at most"), ("MOST_MANIFEST_BYTES", 10, "longer than it may be")],
)
def test_too_large_too_many_too_long(sent, elsewhere, monkeypatch, name, value, said):
    monkeypatch.setattr(f"encoding.runs.exchange.{name}", value)
    with pytest.raises(BadExchange, match=said):
        import_(io.BytesIO(packed(sent)), elsewhere)


def test_one_name_twice_or_a_link_is_refused(sent, elsewhere):
    out = io.BytesIO(packed(sent))
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("fit.lh_r.npy", b"x")
    with pytest.raises(BadExchange, match="twice in this file"):
        import_(out, elsewhere)
    out = io.BytesIO(packed(sent))
    link = zipfile.ZipInfo("about.link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadExchange, match="is not what an exported fit holds"):
        import_(out, elsewhere)


def test_nothing_is_overwritten_and_a_missing_file_is_named(sent, elsewhere, tmp_path):
    path = export(sent, tmp_path / "fit.zip")
    with pytest.raises(FileExistsError, match="Name another file"):
        export(sent, path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        import_(tmp_path / "none.zip", elsewhere)
    with pytest.raises(ValueError, match="Who sends it is one line"):
        packed(sent, by="a\nb")


def test_pruning_by_age_keeps_imported_fits(sent, monkeypatch, capsys):
    there = import_(io.BytesIO(packed(sent)), sent.store)
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(sent.store.root))
    assert main(["cache", "prune", "--older", "0"]) == 0
    assert sent.store.keys() == [there.key]
    assert main(["cache", "prune", "--stage", "imported"]) == 0 and sent.store.keys() == []


def test_from_a_shell(sent, elsewhere, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(sent.store.root))
    file = str(tmp_path / "fit.zip")
    assert main(["export", sent.key[:10], "--out", file, "--by", "Ada", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["by"] == "Ada" and document["models"] and document["kept_back"] == ""
    assert main(["export", sent.key[:10], "--out", f"{file}3", "--no-models"]) == 0
    assert "Without its models: nothing can be predicted from it." in capsys.readouterr().out
    assert main(["export", sent.key[:10], "--out", file]) == 1 and "Name another file" in capsys.readouterr().err
    assert main(["export", sent.key[:10], "--out", file + "2", "--by", "<b>"]) == 2
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(elsewhere.root))
    capsys.readouterr()
    assert main(["import", file, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["cannot_predict"] == ""
    assert document["origin"]["by"] == "Ada" and document["simulated"] and FitSpec.from_dict(document["spec"]) == TINY
    assert main(["import", str(tmp_path / "none")]) == 2
    (tmp_path / "bad.zip").write_bytes(b"x")
    assert main(["import", str(tmp_path / "bad.zip")]) == 1 and "no exported fit" in capsys.readouterr().err
    page = tmp_path / "page.html"
    assert main(["report", document["key"], "--out", str(page)]) == 0 and "from Ada" in page.read_text()
