"""What a machine has for fits."""

from __future__ import annotations

import subprocess

import pytest

from encoding.jobs import machine as module
from encoding.jobs.machine import Machine, machine


def test_this_machine_has_a_core_memory_and_room(tmp_path):
    found = machine(tmp_path / "new")
    assert found.n_cores >= 1 and found.memory > 1e6 and found.disk > 0 and found.device in ("cpu", "cuda")


@pytest.mark.parametrize(
    ("device", "gpus", "scheduler", "sentence"),
    [
        ("cpu", (), "", "Fits run on 4 processor cores; no GPU was found. 8 GB of memory and 100 GB"),
        ("cuda", ("H200",), "", "Fits run on H200, beside 4 processor cores."),
        ("cpu", ("H200",), "", "there is H200, but the torch installed here cannot use it"),
        ("cpu", (), "tcp://far:8786", "Fits go to the Dask scheduler at tcp://far:8786. This machine has 4"),
    ],
)
def test_it_is_described_in_a_sentence(device, gpus, scheduler, sentence):
    assert sentence in str(Machine(n_cores=4, memory=8e9, disk=1e11, device=device, gpus=gpus, scheduler=scheduler))


@pytest.mark.parametrize("answer", [OSError("gone"), subprocess.TimeoutExpired("nvidia-smi", 1), "H200\n A2\n\n"])
def test_a_driver_that_does_not_answer_has_no_gpus(monkeypatch, answer):
    def run(*args, **more):
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(args, 0, stdout=answer)

    monkeypatch.setattr(module.shutil, "which", lambda name: name)
    monkeypatch.setattr(module.subprocess, "run", run)
    assert module._gpus() == (("H200", "A2") if isinstance(answer, str) else ())
