"""Rank many uploads, or a folder of the server, by the predicted mean response of a region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st
from PIL import Image

from encoding import Result
from encoding.datasets import Stimuli
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.prediction.predict import stimuli_in
from encoding.prediction.references import rank_folder, region_columns, why_no_interval
from encoding.prediction.uploads import IMAGES, MOST_IMAGE_BYTES, BadUpload, read_uploaded_image
from encoding.runtime.csv import to_csv
from encoding.storage.keys import digest
from pages.parts.predict.choices import WRONG
from pages.parts.shared.access import is_shared, may_change
from pages.parts.shared.server_state import store
from pages.parts.shared.stimulus_grid import thumbnail
from pages.parts.shared.text import file_stem, plain

MOST_HERE = 1_000  # stimuli that are ranked while the page waits; more in the shell
N_ENDS = 6


class Uploads(Stimuli):
    """Uploaded images, each decoded when its turn comes."""

    def __init__(self, files: Sequence[Any]) -> None:
        self._files = tuple(files)
        self.names = tuple(file.name for file in self._files)

    @property
    def fingerprint(self) -> str:
        """Digest of the uploads' identifiers in this session."""
        return digest("uploads", 1, files=[file.file_id for file in self._files])

    def __getitem__(self, index: int) -> Image.Image:
        try:
            return read_uploaded_image(self._files[index].getvalue())
        except BadUpload as wrong:
            raise BadUpload(f"{self.names[index]}: {wrong}") from wrong


def ranking_panel(result: Result, roi: str, least_r: float) -> None:
    """Choose many images and show which a region is predicted to respond to most and least, with the table as CSV."""
    what, unit = "clips" if result.plan.of_clips else "images", result.plan.subject.unit
    name = f"every {unit}" if roi == EVERY_VERTEX else roi
    with st.expander(f"**Rank many {what}** by the predicted response of {plain(name)}", key="rank_many", on_change="rerun") as opened:
        if not opened.open:
            return
        stimuli = _chosen(result)
        if stimuli is None:
            return
        wanted = (result.key, roi, least_r, stimuli.fingerprint)
        if st.button(f"Rank {len(stimuli):,}", key="rank", type="primary"):
            bar = st.progress(0.0, "predicting")
            try:
                columns = region_columns(result, roi, least_r)
                table = rank_folder(result, stimuli, columns, device="cpu", report=lambda share, text: bar.progress(min(share, 1.0), text))
            except WRONG as wrong:
                bar.empty()
                st.error(plain(wrong))
                return
            bar.empty()
            st.session_state["_ranking"] = (wanted, table)
        known, table = st.session_state.get("_ranking", (None, None))
        if known == wanted:
            _show(stimuli, table, result, roi)


def _chosen(result: Result) -> Stimuli | None:
    """Uploads, or the images of a folder on the server; None, with a message, where there are none or too many."""
    clips, opens_paths = result.plan.of_clips, may_change() and not is_shared()
    files = [] if clips else st.file_uploader(
        f"Images ({IMAGES})",
        key="rank_uploads",
        accept_multiple_files=True,
        max_upload_size=MOST_IMAGE_BYTES // 2**20,
        help="Kept in memory while this page is open, and nowhere else.",
    )  # fmt: skip
    if files:
        stimuli: Stimuli = Uploads(files)
    elif not opens_paths:
        if clips:
            st.info("Clips are ranked from a folder, and this server opens none that is named in a page.")
        return None
    else:
        folder = st.text_input("Or a folder on this machine", key="rank_folder", placeholder="/data/photos")
        if not folder.strip():
            return None
        try:
            stimuli = stimuli_in(folder.strip(), result.plan, store()).sampled(result.plan.spec.frames)
        except WRONG as wrong:
            st.error(plain(wrong))
            return None
    if len(stimuli) > MOST_HERE:
        st.info(f"{len(stimuli):,} are more than the {MOST_HERE:,} that a page waits for. In a shell:")
        st.code(f"python -m encoding rank {result.key} --images FOLDER --roi ROI --out ranking.csv", language="bash")
        return None
    return stimuli


def _show(stimuli: Stimuli, table: pd.DataFrame, result: Result, roi: str) -> None:
    what, no_interval = "clips" if result.plan.of_clips else "images", why_no_interval(result)
    n = min(N_ENDS, len(table))
    for title, rows in ((f"Highest of {len(table):,}", table.head(n)), ("Lowest", table.tail(n).iloc[::-1])):
        st.markdown(f"**{title}**")
        for place, row in zip(st.columns(N_ENDS, gap="xsmall"), rows.itertuples(), strict=False):
            image = thumbnail(stimuli, row.row)
            if isinstance(image, bytes):
                place.image(image, alt=row.name, width="stretch")
            place.caption(f"{row.rank}. {plain(row.name)} {row.predicted:+z.2f}")
    st.dataframe(table.drop(columns="row"), hide_index=True, alt=f"{what} by predicted response")
    st.caption(
        f"low and high: {'no ' if no_interval else ''}95 % prediction interval{': ' if no_interval else ''}{no_interval}. "
        "above_training: percentage of training images with a lower prediction. unlike_training: "
        "percentage of test images that are nearer to the training images; where it is high, trust the prediction little."
    )
    st.download_button("Ranking, CSV", to_csv(table), f"{file_stem('ranking', roi, keys=[result.key])}.csv", "text/csv", on_click="ignore")
