"""Background jobs, on real worker processes."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from ast import literal_eval
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import distributed
import psutil
import pytest
from distributed.security import Security

from encoding.jobs import Jobs, NotTheOwner, scheduler, worker
from encoding.storage.store import Store
from tests import jobs_work as work
from tests.encoding.jobs.processes import began, submit, until, wait, with_key

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    jobs = Jobs(tmp_path_factory.mktemp("store"), n_workers=1)
    yield jobs
    jobs.close()


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


@pytest.mark.parametrize("setting", [{}, {"encoding.warm-up": False}])
def test_a_new_worker_imports_what_fits_need_unless_it_is_set_not_to(monkeypatch, setting):
    imported = threading.Event()
    monkeypatch.setattr(worker, "WARM_UP_SECONDS", 0)
    monkeypatch.setattr(worker, "warm_up", imported.set)
    with dask.config.set(setting):
        worker.dask_setup(None)
    assert imported.wait(0.2 if setting else 30) is not bool(setting)


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
    with pytest.raises(NotTheOwner, match="only they can cancel it"):
        jobs.cancel(second["key"], owner="somebody")
    assert jobs.get(second["key"]).owner == "" and jobs.cancel(second["key"])
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


@pytest.mark.parametrize("task", [work.count, work.hold])
def test_an_optional_job_steps_aside_for_one_that_was_asked_for_and_begins_again(jobs, spec, task):
    extra, fit = with_key(spec, "extra") | {"seconds": 40.0}, with_key(spec, "fit")
    jobs.submit(task, extra, key=extra["key"], optional=True)
    until(lambda: jobs.get(extra["key"]).state == "running")
    submit(jobs, work.count, fit)
    assert wait(jobs, fit).state == "done"
    until(lambda: len(began(extra)) == 2)
    assert jobs.cancel(extra["key"])
    assert jobs.get(extra["key"]).state == "cancelled"
