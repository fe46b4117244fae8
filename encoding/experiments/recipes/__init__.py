"""Recipes: the results of published projects as experiments that are ready to run, one TOML file each.

A recipe says what it asks, the data set that it was made for, every setting of its source, what this program does otherwise (``differs``)
and the published numbers. Its parts are experiments (:mod:`encoding.experiments`), each with what is chosen from it and composed of it.
``quick`` holds the settings with which a part runs in seconds, on simulated data in the data set's layout.
"""
