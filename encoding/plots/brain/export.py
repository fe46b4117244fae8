"""Export a brain map as one self-contained interactive HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from encoding.plots.brain.brain_map import DRAWN, BrainMap, mesh_bytes, viewer_module
from encoding.runtime.html import render, script_source


def standalone_html(brain: BrainMap, *, caption: str, provenance: Mapping[str, Any] | None = None, height: int = 520) -> str:
    """Render an HTML page with viewer, meshes and map (about 1.9 MB; on fsaverage 39 MB) that loads no other file.

    Parameters
    ----------
    brain : the map; the page's controls start at its surface and threshold.
    caption : sentence on content and origin, such as "simulated subject".
    provenance : JSON-serialisable facts in a collapsible section; None leaves them out.
    height : of the drawing, pixels.
    """
    page = render(
        "plots/brain/templates/brain.html",
        title=brain.title or brain.quantity,
        caption=caption,
        provenance=json.dumps(provenance, indent=2, default=str) if provenance else "",
        surfaces=DRAWN,
        surface=brain.surface,
        highest=max(map(abs, brain.colour_range)),
        threshold=brain.threshold,
        hide_above=brain.hide_above,
        viewer=script_source(viewer_module()),
        meshes=mesh_bytes(brain.space),
        map=brain.to_bytes(height=height),
    )
    return str(page)


@dataclass(frozen=True)
class BrainFrame:
    """Brain map for notebooks: the page of :func:`standalone_html` in a sandboxed frame.

    Attributes
    ----------
    brain, caption : as for :func:`standalone_html`.
    height : of the drawing, pixels.
    """

    brain: BrainMap
    caption: str
    height: int = 520

    def _repr_html_(self) -> str:
        page = str(standalone_html(self.brain, caption=self.caption, height=self.height))
        title = self.brain.title or self.brain.quantity
        return str(render("plots/brain/templates/frame.html", page=page, height=self.height + 160, title=title))
