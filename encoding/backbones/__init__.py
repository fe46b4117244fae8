"""Backbones (vision networks), one file for each source. A new file here that registers a :class:`Source` adds it everywhere."""

from encoding.backbones._base import BACKBONES, SOURCES, Backbone, BadWeights, NotInstalled, NoWeights, Source, UnknownLayer, WeightsFile

__all__ = ["BACKBONES", "SOURCES", "Backbone", "BadWeights", "NoWeights", "NotInstalled", "Source", "UnknownLayer", "WeightsFile"]
