"""ROIs of visual cortex by class, in anatomical order."""

from __future__ import annotations

from collections.abc import Mapping

ROI_CLASSES: Mapping[str, tuple[str, ...]] = {  # Algonauts 2023 (NSD); label 1 first
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
}
ROI_NAMES = tuple(name for names in ROI_CLASSES.values() for name in names)
