"""Files of a challenge, written with composed fits: one for each subject."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from encoding import Result
from encoding.cli.terminal import file_size
from encoding.evaluation.splits import ALL
from encoding.jobs.tasks import SubmissionRequest, write_submission
from encoding.prediction.predict import CannotPredict
from encoding.prediction.submissions import CHALLENGES, Challenge, check
from encoding.runs.table import short_name
from pages.parts.shared.access import change_button
from pages.parts.shared.job_progress import follow
from pages.parts.shared.server_state import jobs, opened_run, store
from pages.parts.shared.text import plain


def submission_panel(fits: pd.DataFrame) -> None:
    """Write a challenge's files with one composed fit a subject, and offer them; nothing where the data set has no challenge.

    Parameters
    ----------
    fits : rows of the table of runs, the newest first, all of one data set.
    """
    if fits.empty or fits["dataset"].iloc[0] not in CHALLENGES:
        return
    st.markdown("**Submission**")
    st.caption(
        "Predictions of the challenge's test stimuli in its own files, one fit a subject. Fits that train on every stimulus predict best."
    )
    in_order = fits.sort_values("split", key=lambda splits: splits != ALL, kind="stable")  # those on every stimulus, then the newest
    names = {row["key"]: short_name(row) for row in fits.to_dict("records")}
    keys = st.multiselect(
        "Fits", list(names), in_order.drop_duplicates("subject")["key"].tolist(), format_func=names.get, key="submitted",
        placeholder="One for each subject",
    )  # fmt: skip
    results = [opened_run(key) for key in keys]
    problems = [result for result in results if isinstance(result, str)]
    try:
        challenge = None if problems or not results else check(results)
    except (CannotPredict, LookupError, ValueError) as wrong:
        problems.append(str(wrong))
    for problem in problems:
        st.info(plain(problem))
    if not problems and results:
        _files(SubmissionRequest(tuple(keys)), results, challenge)


def _files(request: SubmissionRequest, results: Sequence[Result], challenge: Challenge) -> None:
    if missing := challenge.missing([result.plan.spec.subject for result in results]):
        st.caption(f"The challenge asks for {', '.join(missing)} in the same submission; these files are a part of one.")
    folder = request.folder(store())
    if (folder / "spec.json").exists():
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".zip", ".json")):
            n_bytes = path.stat().st_size
            large = 0 < challenge.most_bytes < n_bytes and path.suffix == ".zip"
            too_large = f", more than the {file_size(challenge.most_bytes)} that the challenge takes" if large else ""
            label = f"{path.relative_to(folder).as_posix()} ({file_size(n_bytes)}{too_large})"
            st.download_button(label, path.read_bytes, path.name, key=f"file_{path.name}", on_click="ignore")
        return
    change_button("Write the files", key="write_submission", on_click=_submit, args=(request, results))
    job = jobs().get(request.job_key)
    if job is not None and job.state != "done":
        follow(request.job_key, cancel="cancel_submission")


def _submit(request: SubmissionRequest, results: Sequence[Result]) -> None:
    jobs().submit(write_submission, request, key=request.job_key, planned=[result.plan for result in results])
