"""Reference sizes and value ranges of the Algonauts 2023 download, used to detect a damaged one; the reader does not need them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """Reference values of one subject: images with and without responses; per hemisphere, vertices and lowest and highest response."""

    n_images: int
    n_test: int
    n_vertices: dict[str, int]
    ranges: dict[str, tuple[float, float]]


def _subject(n_images: int, lh: tuple[float, float], rh: tuple[float, float], n_lh: int = 19_004, n_rh: int = 20_544) -> Download:
    n_test = {9841: 159, 9082: 293, 8779: 395}[n_images]
    return Download(n_images, n_test, {"lh": n_lh, "rh": n_rh}, {"lh": lh, "rh": rh})


DOWNLOADS = {  # vertices with a NaN in any trial were dropped, hence the odd counts of subjects 6 and 8
    "subj01": _subject(9841, (-5.5488534, 6.3958163), (-6.224722, 6.2803955)),
    "subj02": _subject(9841, (-6.2695646, 7.303040), (-7.10663, 6.722497)),
    "subj03": _subject(9082, (-9.143569, 7.1541204), (-7.3392262, 7.5514464)),
    "subj04": _subject(8779, (-10.779788, 12.100054), (-9.624842, 14.346183)),
    "subj05": _subject(9841, (-6.7292423, 7.357646), (-7.615682, 7.400172)),
    "subj06": _subject(9082, (-8.748659, 9.179561), (-9.317543, 9.996536), 18_978, 20_220),
    "subj07": _subject(9841, (-7.806317, 8.991561), (-10.895111, 8.987522)),
    "subj08": _subject(8779, (-11.138769, 10.5266905), (-9.20942, 10.573892), 18_981, 20_530),
}

ROI_SIZES = {  # the vertices of ROIs that are known
    ("subj01", "lh"): {
        **{"V1d": 828, "V2v": 632, "V2d": 692, "V3v": 567, "V3d": 669, "hV4": 531},
        **{"EBA": 2837, "FBA-1": 574, "FBA-2": 0, "mTL-bodies": 0},
        **{"OFA": 432, "FFA-1": 552, "FFA-2": 0, "mTL-faces": 0, "aTL-faces": 0},
        **{"OPA": 1863, "PPA": 1311, "RSC": 401},
        **{"OWFA": 317, "VWFA-1": 1381, "VWFA-2": 461, "mfs-words": 490, "mTL-words": 0},
        **{"early": 5169, "midventral": 867, "midlateral": 1091, "midparietal": 853, "ventral": 4974, "lateral": 3129, "parietal": 2346},
    }
}
