"""Simulated subjects written in the layouts of public data sets."""
