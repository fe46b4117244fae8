"""Many small pieces of linear algebra, a core each.

A product of 100 x 100 by 100 x 1,000 is too small to share between cores: they would spend their time waiting for each
other, and on a busy machine nearly all of it. Pieces that do not depend on one another run side by side instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

T = TypeVar("T")


def map_in_threads(work: Callable[[T], None], pieces: Iterable[T], *, device: str) -> None:
    """Call ``work`` on every piece: on the CPU one piece a core at a time, on a GPU one after another.

    ``work`` must write to places that no other piece touches. What it raises is raised here.
    """
    if device != "cpu":
        for piece in pieces:
            work(piece)
        return
    with _one_core_each() as n_cores, ThreadPoolExecutor(n_cores) as pool:
        for _ in pool.map(work, pieces):
            pass


@contextmanager
def _one_core_each() -> Iterator[int]:
    """torch and numpy compute on one core in threads started inside; gives the number of cores torch used before."""
    import torch

    n_cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield n_cores
    finally:
        torch.set_num_threads(n_cores)


@cache
def _libraries() -> ThreadpoolController:
    """Those of this process that compute in threads of their own, looked for once: that takes 6 ms."""
    return ThreadpoolController()
