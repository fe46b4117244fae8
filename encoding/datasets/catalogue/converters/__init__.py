"""Converters of the catalogue: one module each, whose ``convert`` fills a folder and gives the subject's table of ``dataset.toml``."""
