"""Run many small pieces of linear algebra in parallel, one core each.

A product of 100 x 100 by 100 x 1,000 is too small to share between cores: they would spend their time waiting for each
other, and on a busy machine nearly all of it. Pieces that do not depend on one another run side by side instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")


def let_waiting_threads_sleep() -> None:
    """Make torch's threads that wait for one another sleep rather than spin; to be called by a program before it imports torch.

    On a machine with anything else to do (a browser, a second fit) spinning made small steps a hundred times slower. A value of
    OMP_WAIT_POLICY that is set already stays. Child processes inherit it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def at_most_threads(n_threads: int) -> Iterator[None]:
    """Within the block torch and BLAS compute in at most so many threads; 0 changes nothing. Not for overlapping blocks of one process."""
    if n_threads:
        import torch

        before = torch.get_num_threads()
    if not n_threads or n_threads >= before:
        yield
        return
    torch.set_num_threads(n_threads)
    blas = min([n_threads, *(library.num_threads for library in _libraries().select(user_api="blas").lib_controllers)])
    try:
        with _libraries().limit(limits=blas, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def map_in_threads(work: Callable[[T], None], pieces: Iterable[T], *, device: str) -> None:
    """Call ``work`` on every piece, in parallel with one core each on the CPU, one after another on a GPU.

    ``work`` must write to places that no other piece touches. What it raises is raised here. Calls may overlap; the limits of
    BLAS and torch are as before once the last has ended.
    """
    if device != "cpu":
        for piece in pieces:
            work(piece)
        return
    import torch

    with _one_core_each() as n_cores, ThreadPoolExecutor(n_cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.map(work, pieces):
            pass


_lock = Lock()
_overlapping: dict[str, Any] = {"n_calls": 0}  # with n_cores and the limiter of the first of them


@contextmanager
def _one_core_each() -> Iterator[int]:
    """BLAS computes on one core; yields the number of cores torch used before. The last of overlapping calls lifts the limit."""
    import torch

    with _lock:
        if not _overlapping["n_calls"]:
            _overlapping.update(n_cores=torch.get_num_threads(), limiter=_libraries().limit(limits=1, user_api="blas"))
        _overlapping["n_calls"] += 1
        n_cores = _overlapping["n_cores"]
    try:
        yield n_cores
    finally:
        with _lock:
            torch.set_num_threads(n_cores)  # the pool's threads set it for threads to come
            _overlapping["n_calls"] -= 1
            if not _overlapping["n_calls"]:
                _overlapping["limiter"].restore_original_limits()


@cache
def _libraries() -> ThreadpoolController:
    """Those of this process that compute in threads of their own, looked for once: that takes 6 ms."""
    return ThreadpoolController()
