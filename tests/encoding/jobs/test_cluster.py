"""Schedulers and workers: they end with their server, are shared by several, and are refused to strangers."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import textwrap

import dask
import distributed
import psutil
import pytest
from distributed.security import Security

from encoding.jobs import Jobs, scheduler
from encoding.jobs.cluster import Cluster
from tests import PROJECT
from tests import jobs_work as work
from tests.encoding.jobs.processes import PATIENCE, assert_gone, began, dask_cluster, submit, until, wait, with_key

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("seen_to_end", [True, False])
def test_a_scheduler_that_dies_fails_its_jobs_and_another_takes_its_place(tmp_path, spec, monkeypatch, seen_to_end):
    jobs = Jobs(tmp_path)
    try:
        if not seen_to_end:  # a killed process closes its connections before it can be seen to have ended
            monkeypatch.setattr(Cluster, "alive", True)
        submit(jobs, work.hold, spec)
        until(lambda: jobs.get(spec["key"]).fraction > 0)
        [server] = [each for each in psutil.Process().children() if each.pid == jobs._scheduler._cluster._process.pid]
        server.kill()
        job = wait(jobs, spec)
        assert (job.state, job.error_kind) == ("failed", "ConnectionLost")
        submit(jobs, work.count, spec)
        assert wait(jobs, spec).state == "done"
        ends_every_process_when_closed(jobs, with_key(spec, "held"))
    finally:
        jobs.close()


def ends_every_process_when_closed(jobs, spec):
    """Whatever they do; it accepts no more."""
    submit(jobs, work.hold, spec)
    until(lambda: jobs.get(spec["key"]).fraction > 0)
    scheduler_process = psutil.Process(jobs._scheduler._cluster._process.pid)
    started = [scheduler_process, *scheduler_process.children(recursive=True)]
    assert len(started) >= 2
    jobs.close()
    assert jobs.get(spec["key"]).state == "cancelled"
    assert_gone(started)
    with pytest.raises(RuntimeError, match="closed"):
        submit(jobs, work.count, spec)


def test_a_number_of_workers_that_is_none_is_told_to_whoever_submits(tmp_path, spec, monkeypatch):
    monkeypatch.setenv("ENCODING_WORKERS", "two")
    jobs = Jobs(tmp_path)
    for _ in range(2):
        with pytest.raises(ConnectionError, match=r"cannot be started\. ENCODING_WORKERS must be a whole number of 1 or more, not 'two'"):
            submit(jobs, work.count, spec)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ConnectionError, match=r"cannot be started\. They ended at once"):
        submit(jobs, work.count, spec)
    assert jobs.get(spec["key"]) is None


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_a_server_that_ends_in_any_way_leaves_no_process_and_no_file_and_never_imported_torch(tmp_path, spec, how):
    script = f"""
        import sys, time
        from encoding.jobs import Jobs
        from tests import jobs_work as work
        jobs = Jobs({str(tmp_path)!r})
        jobs.submit(work.hold, {spec!r}, key="a-1")
        while not jobs.get("a-1").fraction:
            time.sleep(0.05)
        print("torch" in sys.modules, flush=True)
        {"time.sleep(60)" if how else ""}
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)}
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: began(spec))
    family = psutil.Process(server.pid).children(recursive=True)
    assert server.stdout.readline().strip() == "False"
    if how:
        server.send_signal(how)
    server.wait(PATIENCE)
    assert_gone(family)
    until(lambda: {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {"identity", "locks", "trace"})  # a Store's own
    assert server.communicate()[1] == ""


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and one worker, started as the documentation says."""
    with dask_cluster(tmp_path, ["--nthreads", "1", "--resources", "fit=1", "--preload", "encoding.jobs.worker"]) as address:
        yield address


def test_two_servers_on_one_cluster_share_their_work(cluster, tmp_path, spec):
    one, two = Jobs(tmp_path / "store", address=cluster), Jobs(tmp_path / "store", address=cluster)
    try:
        submit(one, work.count, spec | {"seconds": 1.0})
        until(lambda: one.get(spec["key"]).fraction > 0)
        submit(two, work.count, spec | {"seconds": 1.0})
        until(lambda: 0 < two.get(spec["key"]).fraction < 1)
        assert wait(one, spec).state == wait(two, spec).state == "done"
        assert len(began(spec)) == 1

        held, behind = with_key(spec, "held"), with_key(spec, "behind")
        for jobs in (one, two):
            submit(jobs, work.hold, held)
        submit(two, work.count, behind)
        until(lambda: one.get(held["key"]).fraction > 0)
        one.cancel(held["key"])
        assert wait(two, held).state == "cancelled"
        assert wait(two, behind).state == "done"  # though its worker was ended while it waited there
        assert began(behind) != began(held)
        for jobs in (two, one):
            submit(jobs, work.count, held)
        assert wait(one, held).state == wait(two, held).state == "done"
        assert len(began(held)) == 2

        submit(one, work.die, with_key(spec, "dies"))
        assert wait(one, with_key(spec, "dies")).error_kind == "WorkerDied"
    finally:
        one.close()
        two.close()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tls://127.0.0.1:9", "nonsense://127.0.0.1:9"])
def test_an_address_where_no_scheduler_answers_is_named_and_not_asked_again_at_once(tmp_path, spec, monkeypatch, address):
    monkeypatch.setattr(scheduler, "CONNECT_SECONDS", 0.5)
    monkeypatch.setenv("ENCODING_SCHEDULER", address)
    jobs = Jobs(tmp_path)
    tried = []
    monkeypatch.setattr(distributed, "Client", lambda *a, client=distributed.Client, **k: tried.append(a) or client(*a, **k))
    for _ in range(2):
        with pytest.raises(ConnectionError, match=rf"No Dask scheduler answers at {address} .*unset ENCODING_SCHEDULER"):
            submit(jobs, work.count, spec)
    assert len(tried) == 1 and jobs.all() == []
    jobs.close()


def test_a_client_that_found_no_scheduler_is_gone_before_another_starts(tmp_path, spec, monkeypatch):
    """The garbage collector would stop it in the thread that starts the next one's event loop, and Dask would wait for itself."""

    def clients():
        return {id(each) for each in gc.get_objects() if isinstance(each, distributed.Client)}

    monkeypatch.setattr(scheduler, "CONNECT_SECONDS", 0.2)
    jobs = Jobs(tmp_path, address="tcp://127.0.0.1:1")
    gc.disable()
    try:
        before = clients()
        with pytest.raises(ConnectionError, match="No Dask scheduler answers"):
            submit(jobs, work.count, spec)
        assert clients() <= before
    finally:
        gc.enable()
        jobs.close()


def test_the_documented_cluster_works_with_its_credentials_and_refuses_all_others(tmp_path, spec, monkeypatch):
    page = (PROJECT / "docs" / "shared_server.md").read_text()
    settings = dict(re.findall(r"^(DASK_\w+)=(\S+)$", page, re.MULTILINE))
    assert len(settings) == 8
    made = Security.temporary()
    for name, contents in (("cluster.pem", made.tls_ca_file), ("cluster.key", made.tls_client_key)):
        (tmp_path / name).write_text(contents)
    settings = {name: value.replace("/etc/encoding-cluster", str(tmp_path)) for name, value in settings.items()}
    [worker] = re.findall(r"^python -m dask worker tls://\S+ (.*)$", page, re.MULTILINE)
    with dask_cluster(tmp_path, worker.split(), settings=settings, protocol="tls") as address:
        stranger = Jobs(tmp_path / "store", address=address)
        with pytest.raises(ConnectionError, match="No Dask scheduler answers"):
            submit(stranger, work.count, spec)
        stranger.close()
        named = {name.removeprefix("DASK_").lower().replace("__", ".").replace("_", "-"): value for name, value in settings.items()}
        monkeypatch.setattr(scheduler, "CONNECT_SECONDS", PATIENCE)
        with dask.config.set(named):  # what Dask makes of the environment when it is imported
            jobs = Jobs(tmp_path / "store", address=address)
            try:
                submit(jobs, work.count, spec)
                assert wait(jobs, spec).state == "done"
            finally:
                jobs.close()


@pytest.mark.parametrize("workers", [[], ["--nthreads", "1"]])
def test_a_cluster_without_a_worker_for_fits_says_so(tmp_path, spec, workers):
    with dask_cluster(tmp_path, workers) as address:
        jobs = Jobs(tmp_path / "store", address=address)
        try:
            submit(jobs, work.count, spec)
            text = until(lambda: f"None of the {len(workers) // 2} workers" in (found := jobs.get(spec["key"]).text) and found)
            assert f"workers of {address} takes fits" in text and "--resources fit=1" in text
        finally:
            jobs.close()


def test_jobs_work_from_a_streamlit_page(tmp_path, spec):
    testing = pytest.importorskip("streamlit.testing.v1")
    script = f"""
        import streamlit as st
        from encoding.jobs import Jobs
        from tests import jobs_work as work

        jobs = st.cache_resource(lambda: Jobs({str(tmp_path)!r}), show_spinner=False)()
        spec = {spec!r}
        if st.button("Fit"):
            jobs.submit(work.count, spec, key=spec["key"])
        job = jobs.get(spec["key"])
        st.write(job.state if job else "nothing yet")
        if st.button("Close"):
            jobs.close()
    """
    page = testing.AppTest.from_string(textwrap.dedent(script), default_timeout=PATIENCE).run()
    assert page.markdown[0].value == "nothing yet"
    page.button[0].click().run()
    until(lambda: page.run().markdown[0].value == "done")
    page.button[1].click().run()
    assert not page.exception
    assert len(began(spec)) == 1
