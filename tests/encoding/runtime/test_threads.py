"""Overlapping calls leave torch and BLAS as they were, and importing the core changes nothing process-wide."""

from __future__ import annotations

import threading

import pytest
import torch
from threadpoolctl import threadpool_info

from encoding.runtime.threads import at_most_threads, map_in_threads


def limits() -> list[tuple[str, int]]:
    return sorted((about["filepath"], about["num_threads"]) for about in threadpool_info() if about["user_api"] == "blas")


@pytest.mark.parametrize("first_ends", ["first", "last"])
def test_limits_are_as_before_once_overlapping_calls_have_ended(first_ends):
    cores = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        before, started, may_end = limits(), [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

        def call(number):
            def work(_):
                started[number].set()
                may_end[number].wait(30)

            map_in_threads(work, range(1), device="cpu")

        threads = [threading.Thread(target=call, args=(number,)) for number in (0, 1)]
        for thread, event in zip(threads, started, strict=True):
            thread.start()
            assert event.wait(30)
        for number in (0, 1) if first_ends == "first" else (1, 0):
            may_end[number].set()
            threads[number].join()
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert (found, torch.get_num_threads(), limits()) == ([3], 3, before)
    finally:
        torch.set_num_threads(cores)


def test_what_a_piece_raises_is_raised_and_limits_are_lifted():
    before = limits()

    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        map_in_threads(fail, range(2), device="cpu")
    assert limits() == before


@pytest.mark.parametrize(("wanted", "expected"), [(0, 3), (2, 2), (9, 3)])
def test_a_block_may_use_fewer_threads_but_not_more(wanted, expected):
    cores = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        before = limits()
        with pytest.raises(ZeroDivisionError), at_most_threads(wanted):
            assert torch.get_num_threads() == expected
            assert limits() == [(path, min(n, expected)) for path, n in before]
            raise ZeroDivisionError
        assert (torch.get_num_threads(), limits()) == (3, before)
    finally:
        torch.set_num_threads(cores)


def test_pieces_compute_on_one_core_each():
    found = []
    map_in_threads(lambda _: found.append(torch.get_num_threads()), range(3), device="cpu")
    assert found == [1, 1, 1]
