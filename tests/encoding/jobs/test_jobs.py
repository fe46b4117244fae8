"""Background jobs, on real worker processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from ast import literal_eval
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dask
import distributed
import psutil
import pytest
from distributed.security import Security

from encoding.jobs import Jobs, scheduler
from encoding.jobs.cluster import Cluster
from encoding.jobs.job import Record, seconds_left
from encoding.storage.store import Store
from tests import PROJECT
from tests import jobs_work as work

PATIENCE = 30.0

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    jobs = Jobs(tmp_path_factory.mktemp("store"))
    yield jobs
    jobs.close()


@pytest.fixture
def spec(tmp_path, request):
    """A spec whose trace tells when tasks began, and a key that no other test uses."""
    return {"trace": str(tmp_path / "trace"), "key": f"test-{request.node.name}"}


def began(spec):
    """The process in which a task of this spec began, for each time."""
    trace = Path(spec["trace"])
    return [int(line) for line in trace.read_text().splitlines()] if trace.exists() else []


def until(happened):
    """Wait for something to become true, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := happened()):
        assert time.monotonic() < deadline, "It never happened."
        time.sleep(0.02)
    return answer


def with_key(spec, name):
    return spec | {"key": f"{spec['key']}-{name}", "trace": f"{spec['trace']}-{name}"}


def submit(jobs, task, spec):
    return jobs.submit(task, spec, key=spec["key"])


def wait(jobs, spec):
    return jobs.wait(spec["key"], timeout=PATIENCE)


def test_a_job_says_how_far_it_is_and_leaves_its_result_in_the_store(jobs, spec):
    assert submit(jobs, work.count, spec | {"seconds": 2.0}).state == "queued"
    seen = [until(lambda: (job := jobs.get(spec["key"])).state == "running" and job)]
    while not seen[-1].finished:
        time.sleep(0.1)
        seen.append(jobs.get(spec["key"]))
    fractions = [job.fraction for job in seen]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 5
    assert seen[-1].state == "done" and seen[-1].fraction == 1.0
    seconds = [job.seconds for job in seen]
    assert seconds == sorted(seconds) and seconds[-1] > 0
    assert seen[-1].log == ("Starting", "Step 10 of 10", "Done")
    assert Store(jobs._root).get(spec["key"])["answer"] == [42.0]


def test_a_key_that_was_never_submitted_has_no_job(jobs):
    assert jobs.get("nothing-1") is None
    assert not jobs.cancel("nothing-1")


def test_equal_work_runs_once_however_many_threads_ask_for_it(jobs, spec):
    threads = [threading.Thread(target=submit, args=(jobs, work.count, spec | {"seconds": 0.5})) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wait(jobs, spec).state == "done"
    assert len(began(spec)) == 1
    assert [job.key for job in jobs.all()].count(spec["key"]) == 1


def test_the_last_word_arrives_when_silence_follows_many(jobs, spec):
    submit(jobs, work.burst, spec)
    until(lambda: jobs.get(spec["key"]).text == "Fitting")
    assert not jobs.get(spec["key"]).finished
    assert len(wait(jobs, spec).log) <= 3


def test_a_task_that_raises_is_a_failed_job_with_its_message_and_runs_anew_when_submitted_again(jobs, spec):
    submit(jobs, work.fail, spec)
    job = wait(jobs, spec)
    assert (job.state, job.error_kind, job.error) == ("failed", "ValueError", "Only 3 images for 5 folds.")
    submit(jobs, work.count, spec)
    job = wait(jobs, spec)
    assert (job.state, job.error) == ("done", None)


def test_warnings_in_the_worker_reach_the_log(jobs, spec):
    submit(jobs, work.warn, spec)
    assert "DamagedResult: features-1 is damaged; it is computed again." in wait(jobs, spec).log


def test_what_cannot_be_sent_to_a_worker_is_refused_at_once(jobs, spec):
    with pytest.raises(TypeError, match="pickle"):
        jobs.submit(work.count, threading.Lock(), key=spec["key"])
    assert jobs.get(spec["key"]) is None


def test_workers_use_every_core_and_start_where_the_server_is(jobs, spec):
    submit(jobs, work.surroundings, spec)
    assert wait(jobs, spec).state == "done"
    found = literal_eval(Path(spec["trace"]).read_text())
    assert found["cwd"] == os.getcwd()  # noqa: PTH109
    assert int(found["OMP_NUM_THREADS"]) == int(os.environ.get("OMP_NUM_THREADS", found["cores"]))
    assert found["child"] == "a job may start processes"


def test_a_queued_job_is_cancelled_at_once_and_the_queue_goes_on(jobs, spec):
    first, second, third = (with_key(spec, name) for name in "abc")
    submit(jobs, work.count, first | {"seconds": 1.0})
    until(lambda: jobs.get(first["key"]).state == "running")
    assert [submit(jobs, work.count, each).position for each in (second, third)] == [1, 2]
    assert jobs.cancel(second["key"])
    assert jobs.get(second["key"]).state == "cancelled"
    assert jobs.get(third["key"]).position == 1
    assert wait(jobs, third).state == "done"
    assert began(second) == []


def test_a_job_that_reports_stops_when_asked_and_keeps_its_worker(jobs, spec):
    first, second = with_key(spec, "a"), with_key(spec, "b")
    submit(jobs, work.count, first | {"seconds": 5.0})
    until(lambda: jobs.get(first["key"]).fraction > 0)
    assert jobs.cancel(first["key"])
    assert jobs.get(first["key"]).state == "cancelled"
    submit(jobs, work.count, second)
    assert wait(jobs, second).state == "done"
    assert began(first) == began(second)
    assert first["key"] not in Store(jobs._root)


@pytest.mark.parametrize("task", [work.hold, work.multiply, work.keep])
def test_a_job_deep_in_one_call_has_its_process_ended_and_none_behind_it_is_lost(jobs, spec, task):
    first, second, third = (with_key(spec, name) for name in "abc")
    submit(jobs, task, first)
    submit(jobs, work.count, second)
    submit(jobs, work.count, third)
    until(lambda: jobs.get(first["key"]).fraction > 0)
    jobs.cancel(first["key"])
    assert wait(jobs, second).state == "done"
    assert wait(jobs, third).state == "done"
    assert len(began(first)) == 1 and began(first) != began(second)
    assert jobs.get(first["key"]).state == "cancelled"


def test_a_job_that_stops_just_as_its_time_runs_out_takes_no_other_with_it(jobs, spec, monkeypatch):
    monkeypatch.setattr(scheduler, "GRACE_SECONDS", 0.3)
    for turn in range(3):
        first, second = with_key(spec, f"a{turn}"), with_key(spec, f"b{turn}")
        submit(jobs, work.count, first | {"seconds": 3.0})  # reports every 0.3 s
        submit(jobs, work.count, second | {"seconds": 0.5})
        fraction = until(lambda first=first: jobs.get(first["key"]).fraction)
        until(lambda first=first, seen=fraction: jobs.get(first["key"]).fraction > seen)
        jobs.cancel(first["key"])
        assert wait(jobs, second).state == "done"


def test_a_job_submitted_again_while_its_cancelled_self_still_stops_runs_after_it(jobs, spec):
    submit(jobs, work.hold, spec)
    until(lambda: jobs.get(spec["key"]).fraction > 0)
    jobs.cancel(spec["key"])
    assert submit(jobs, work.count, spec).state == "queued"
    assert wait(jobs, spec).state == "done"
    assert len(began(spec)) == 2


def test_submitting_right_after_cancelling_always_runs(jobs, spec):
    for turn in range(20):
        each = with_key(spec, str(turn))
        submit(jobs, work.count, each)
        jobs.cancel(each["key"])
        submit(jobs, work.count, each)
        assert wait(jobs, each).state == "done"


def test_a_killed_worker_is_a_failed_job_that_says_so_and_the_next_submit_runs(jobs, spec):
    behind = with_key(spec, "behind")
    submit(jobs, work.die, spec)
    submit(jobs, work.count, behind)
    job = wait(jobs, spec)
    assert (job.state, job.error_kind) == ("failed", "WorkerDied")
    assert "died while it said “Filling memory”" in job.error
    assert "submitting again resumes" in job.error
    assert len(began(spec)) == 1  # not tried again behind the user's back
    assert wait(jobs, behind).state == "done"
    submit(jobs, work.die, spec)
    assert wait(jobs, spec).state == "done"


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
    finally:
        jobs.close()


def test_close_ends_every_process_and_accepts_no_more(tmp_path, spec):
    before = set(psutil.Process().children(recursive=True))
    jobs = Jobs(tmp_path)
    submit(jobs, work.hold, spec)
    until(lambda: jobs.get(spec["key"]).fraction > 0)
    started = set(psutil.Process().children(recursive=True)) - before
    assert len(started) >= 2
    jobs.close()
    assert jobs.get(spec["key"]).state == "cancelled"
    assert_gone(started)
    with pytest.raises(RuntimeError, match="closed"):
        submit(jobs, work.count, spec)


def assert_gone(processes):
    until(lambda: not any(map(works, processes)))


def works(process):
    """Whether a process is more than an entry that its parent has yet to read."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
    until(lambda: [path.name for path in tmp_path.iterdir()] == ["trace"])
    assert server.communicate()[1] == ""


@contextmanager
def dask_cluster(tmp_path, options_of_the_worker, *, settings=(), protocol="tcp"):
    """A scheduler, which gives up a task with its first worker, and one worker where it has options."""
    file = tmp_path / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"} | dict(settings)
    dask = [sys.executable, "-m", "dask"]
    options = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    with (tmp_path / "dask.log").open("w") as log:
        start = [subprocess.Popen([*dask, "scheduler", "--protocol", protocol, "--port", "0", *options], env=environment, stderr=log)]
        until(lambda: file.exists() and file.stat().st_size)
        if options_of_the_worker:
            start.append(subprocess.Popen([*dask, "worker", *options, *options_of_the_worker], env=environment, stderr=log))
        try:
            yield literal_eval(file.read_text().replace("null", "None").replace("true", "True").replace("false", "False"))["address"]
        finally:
            family = [child for process in start for child in psutil.Process(process.pid).children(recursive=True)]
            for process in reversed(start):
                process.kill()
                process.wait()
            assert_gone(family)


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


def test_a_scheduler_that_stops_answering_is_a_connection_error(jobs, spec, monkeypatch):
    jobs.start()

    def silent(*about):
        raise TimeoutError

    monkeypatch.setattr(scheduler, "next_attempt", silent)
    with pytest.raises(ConnectionError, match="stopped answering"):
        submit(jobs, work.count, spec)
    assert jobs.get(spec["key"]).state == "failed"


def test_without_the_credentials_nobody_reaches_the_workers(jobs, spec):
    submit(jobs, work.count, spec)
    assert wait(jobs, spec).state == "done"
    cluster = jobs._scheduler._cluster
    [listening] = jobs._scheduler.connect().scheduler_info()["workers"]
    for address in (cluster.address, listening):
        assert address.startswith("tls://127.0.0.1:")
        for protocol, credentials in (("tcp", {}), ("tls", {}), ("tls", Security.temporary().get_connection_args("client"))):
            with pytest.raises((OSError, TypeError)):
                connect(address.replace("tls", protocol), timeout=2, **credentials)
        connect(address, timeout=10, **cluster.security().get_connection_args("client")).abort()


def connect(address, **options):
    """What a Client does first, in a thread of its own: the browser of other tests has a running event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(distributed.core.connect(address, **options))).result()


def test_the_private_key_stands_in_no_argument_environment_or_file(jobs, spec):
    submit(jobs, work.count, spec)
    assert wait(jobs, spec).state == "done"
    cluster = jobs._scheduler._cluster
    secret = cluster._private_key.splitlines()[1]
    family = [psutil.Process(cluster._process.pid), *psutil.Process(cluster._process.pid).children(recursive=True)]
    assert len(family) >= 2
    for process in family:
        assert secret not in " ".join(process.cmdline()) + " ".join(process.environ().values())
    assert not any(secret.encode() in path.read_bytes() for path in Path(cluster._scratch).rglob("*") if path.is_file())


def test_a_worker_of_another_version_refuses_and_says_so(jobs, spec, monkeypatch):
    monkeypatch.setattr(scheduler, "code_fingerprint", lambda: "another")
    submit(jobs, work.count, spec)
    job = wait(jobs, spec)
    assert (job.state, job.error_kind) == ("failed", "OtherVersion")
    assert "another version" in job.error and began(spec) == []


def test_a_waiting_job_names_what_runs(jobs, spec):
    first, second = with_key(spec, "a"), with_key(spec, "b")
    submit(jobs, work.count, first | {"seconds": 1.0})
    until(lambda: jobs.get(first["key"]).state == "running")
    assert [each["key"] for each in submit(jobs, work.count, second).running] == [first["key"]]
    assert wait(jobs, second).running == ()


def test_the_documented_cluster_works_with_its_credentials_and_refuses_all_others(tmp_path, spec, monkeypatch):
    page = (PROJECT / "docs" / "shared_server.md").read_text()
    settings = dict(re.findall(r"^(DASK_\w+)=(\S+)$", page, re.MULTILINE))
    assert len(settings) == 8
    made = Security.temporary()
    for name, contents in (("cluster.pem", made.tls_ca_file), ("cluster.key", made.tls_client_key)):
        (tmp_path / name).write_text(contents)
    settings = {name: value.replace("/etc/encoding-cluster", str(tmp_path)) for name, value in settings.items()}
    [worker] = re.findall(r"^dask worker tls://\S+ (.*)$", page, re.MULTILINE)
    with dask_cluster(tmp_path, worker.split(), settings=settings, protocol="tls") as address:
        stranger = Jobs(tmp_path / "store", address=address)
        with pytest.raises(ConnectionError, match="No Dask scheduler answers"):
            submit(stranger, work.count, spec)
        stranger.close()
        named = {name.removeprefix("DASK_").lower().replace("__", ".").replace("_", "-"): value for name, value in settings.items()}
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


def test_the_time_left_follows_the_recent_pace_and_is_unknown_until_some_was_seen():
    assert seconds_left([], now=0.0) is None
    assert seconds_left([(0.0, 0.0), (1.0, 0.5)], now=1.0) is None
    assert seconds_left([(0.0, 0.5), (10.0, 0.5)], now=10.0) is None
    assert seconds_left([(0.0, 0.5), (10.0, 0.75)], now=10.0) == pytest.approx(10.0)


def test_stages_found_in_the_store_do_not_make_the_rest_look_quick(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    record = Record("a-1", None, b"")
    record.advance(0.0, "Starting", 0.0)
    record.advance(0.8, "Features were stored", 0.0)
    for step in range(40):  # the last fifth takes 100 s
        now = float(step)
        record.advance(0.8 + 0.002 * step, "Fitting", now)
    assert record.snapshot(None).seconds_left == pytest.approx(100 - 39, rel=0.05)
