"""Computations of the lessons on the Learn page: pure functions on the simulated subject, one file per lesson."""
