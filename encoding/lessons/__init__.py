"""Computations of the lessons of the Learn page: pure functions on the simulated subject, one file for each lesson."""
