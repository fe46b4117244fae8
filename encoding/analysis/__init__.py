"""Computations on finished fits and on responses."""
