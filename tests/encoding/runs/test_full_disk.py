"""Exports, reports and tables on a disk that is full: nothing cut is left behind, what was there stays, and the message names the file."""

from __future__ import annotations

import resource
import signal
from contextlib import contextmanager

import pytest

from encoding.cli import main
from encoding.runs.exchange import export


@contextmanager
def full_after(n_bytes: int):
    """No file of this process grows beyond so many bytes, as on a full disk (EFBIG in place of ENOSPC)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_an_export_is_whole_or_not_there(sent, tmp_path):
    path = tmp_path / "fit.zip"
    with full_after(1000), pytest.raises(OSError, match=r"fit\.zip"):
        export(sent, path)
    assert list(tmp_path.iterdir()) == []
    export(sent, path)
    assert path.stat().st_size > 1000


def test_a_report_is_whole_or_not_there(sent, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ENCODING_CACHE_DIR", str(sent.store.root))
    out = tmp_path / "new"
    with full_after(100_000):
        code = main(["report", sent.key, "--out", str(out / "report.html")])
    assert code == 1 and capsys.readouterr().err.splitlines()[-1] == f"error: File too large: {out / 'report.html'}"
    assert not out.exists() or list(out.iterdir()) == []


def test_saved_tables_stay_as_they_were(sent, tmp_path):
    sent.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "rois.csv").write_text("older")
    with full_after(1500), pytest.raises(OSError, match=str(tmp_path)):
        sent.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(before) and (tmp_path / "rois.csv").read_text() == "older"
    assert set(before) == {"spec.json", "rois.csv", "vertices.parquet", "lh_r.npy", "rh_r.npy"}
