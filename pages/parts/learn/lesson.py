"""Definition of a lesson, and what lessons share: the simulated subject, its ground truth, and the default fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from encoding import DATASETS, FitSpec, Result, plots
from encoding.analysis.layer_sweep import Sweep
from encoding.datasets import Subject
from encoding.datasets.demo import Truth
from encoding.fits.plan import Plan
from encoding.jobs import Job
from encoding.jobs.tasks import study
from encoding.plots.brain.brain_map import BrainMap
from pages.parts.learn.exercise import Exercise
from pages.parts.shared.access import change_button, may_change
from pages.parts.shared.brain_component import brain_view
from pages.parts.shared.chart import chart
from pages.parts.shared.fragment import fragment
from pages.parts.shared.job_progress import ended_without, standing
from pages.parts.shared.links import explore_address, layers_address
from pages.parts.shared.server_state import find_result, job_key, jobs, planned, settle, store
from pages.parts.shared.start import START
from pages.parts.shared.text import plain

SECONDS_BETWEEN_TICKS = 1.0
LEAST = 0.7  # of a figure's height, on the smallest screen; it takes what height there is
LETTERS, PROJECTOR_TYPE = 12, 1.35  # px in a figure, and how much larger they are in the projector mode
WORDS_PER_MINUTE, ANSWER_MINUTES, PART_MINUTES, FIT_MINUTES = 50, 1, 3, 2


@dataclass(frozen=True)
class Lesson:
    """One screen of the Learn page.

    Attributes
    ----------
    place : in the order in which lessons are taught, from 1.
    name : in the link, ``?lesson=ridge``.
    title : the heading.
    idea : two or three sentences of Markdown, before anything moves.
    question, answers, right, because : what is predicted first, the index of the right answer, and why it is right.
    show : draws the one live control and the figures; returns, in Markdown, what just happened, with the numbers now on the screen.
    explore_spec : the same settings in Explore; called after ``show``, so it may read the control from ``st.session_state``.
    controls : names of the live controls in the link.
    networks : whose layers are compared; a lesson that names some leads to Layers, not to Explore.
    looks : parameters of the door's link besides its settings: what is looked at there.
    code : the lesson's figure, made by :mod:`encoding.lessons` from ``m``, a :class:`encoding.lessons.material.Material`, in a notebook.
    exercise : ends the lesson.
    n_parts : demonstrations that ``show`` has to choose from, each of which takes its time.
    """

    place: int
    name: str
    title: str
    idea: str
    question: str
    answers: tuple[str, ...]
    right: int
    because: str
    show: Callable[[], str]
    explore_spec: Callable[[], FitSpec]
    controls: tuple[str, ...]
    code: str
    exercise: Exercise
    networks: tuple[str, ...] = ()
    looks: Callable[[], Mapping[str, str]] = dict
    n_parts: int = 1

    def sweep(self) -> Sweep | None:
        """The layers that the door compares; None where it leads to Explore."""
        return Sweep.read(self.explore_spec(), self.networks) if self.networks else None

    def specs(self) -> tuple[FitSpec, ...]:
        """Every fit behind the door and the exercise."""
        sweep = self.sweep()
        behind = (self.explore_spec(),) if sweep is None else sweep.specs().values()
        return (*behind, *self.exercise.specs)

    @property
    def minutes(self) -> int:
        """Minutes that a class takes for it: its words are read out, every answer is argued for, and each part and fit is looked at."""
        texts = (self.idea, self.question, *self.answers, self.because, self.exercise.task, self.exercise.ask)
        words = sum(len(text.split()) for text in texts)
        looking = PART_MINUTES * self.n_parts + FIT_MINUTES * len(self.exercise.specs)
        return round(words / WORDS_PER_MINUTE + ANSWER_MINUTES * len(self.answers) + looking)


def prepared() -> bool:
    """Whether the subject and its first fit exist; else start a job that computes them and show its progress."""
    job = jobs().get(job_key(START))  # first: one that ends meanwhile has left what is looked for
    try:
        if find_result(START) is not None:
            return True
    except (LookupError, ValueError, OSError) as wrong:
        st.error(plain(wrong))
        return False
    if job is None and not may_change():
        st.info("The lessons need the simulated subject and a first fit, which are not here, and this server starts nothing.")
        return False
    job = job or _submit()
    if job is None:
        return False
    if job.state == "done":
        st.warning(ended_without("the first fit of these lessons", again=""))
    elif job.finished:
        st.error(f"The simulated subject could not be made ready: {plain(job.error or job.state)}")
    if job.finished:
        change_button("Try again", key="again", on_click=_submit)
        return False
    st.markdown("The subject of these lessons is being simulated, and a first model fitted to it. This happens once.")
    settle("a job is watched")
    _watch()
    return False


def _submit() -> Job | None:
    return jobs().submit(study, START, key=job_key(START), planned=planned(START))


@fragment(run_every=SECONDS_BETWEEN_TICKS)
def _watch() -> None:
    job = jobs().get(job_key(START))
    if job is None:
        return
    if job.finished or find_result(START) is not None:
        st.rerun()
    st.progress(job.fraction, f"**{standing(job)}** · {plain(job.text)}")


def first_plan() -> Plan:
    """Plan of the fit that Explore shows by default: the simulated subject, Gabor energy, 100 components, ridge."""
    return planned(START)


def first_fit() -> Result:
    """Default fit of Explore."""
    return find_result(START)


def subject() -> Subject:
    """The simulated subject of every lesson."""
    return first_plan().subject


@st.cache_resource(max_entries=2, show_spinner=False)
def _truth(key: str) -> Truth:
    return DATASETS[START.dataset].truth(START.subject, store())


def truth() -> Truth:
    """Ground truth of the simulated subject."""
    return _truth(subject_key())


def subject_key() -> str:
    """Cache key of the subject's responses for a lesson's numbers."""
    return "+".join(subject().fingerprints.values())


def signal_of(roi: str) -> np.ndarray:
    """Noiseless responses (n_stimuli, n) float32 of an ROI's vertices, left hemisphere first."""
    rois, known = subject().rois, truth().signal
    return np.concatenate([known[hemi][:, rois[hemi][roi]] for hemi in subject().hemis], axis=1)


def source(*more: str) -> str:
    """Caption with the origin of a lesson's numbers."""
    return " · ".join(["Simulated", f"{START.dataset} {START.subject}", *more])


def fit_source(spec: FitSpec) -> str:
    """Caption with the origin of a fit's numbers."""
    return plots.caption({"made_from": {"simulated": True}}, spec)


def lesson_chart(fig: Any, key: str, **about: Any) -> None:
    """Show a lesson's figure, which grows with the screen, and in the projector mode its letters, too; ``about`` as in ``chart``."""
    fig.update_layout(height=LEAST * fig.layout.height)
    if st.session_state.get("projector"):
        enlarge_letters(fig, PROJECTOR_TYPE)
    chart(fig, key, height="stretch", **about)


def lesson_brain(brain: BrainMap, key: str, *, height: int, share: float, **more: Any) -> None:
    """Show a lesson's brain, ``height`` px on a screen of 720 px; a wide one that is higher gives it a ``share`` of the rest."""
    most = f"max({height}px, 45vw)"
    st.html(f"<style>.st-key-{key} {{--brain-height: clamp({height}px, {height}px + {share} * (100dvh - 720px), {most})}}</style>")
    brain_view(brain, key=key, height=height, **more)


def enlarge_letters(fig: Any, factor: float) -> None:
    """Multiply the size of all letters of a figure, 12 px where nothing is said, and of the margins that they stand in."""
    size = factor * (fig.layout.font.size or LETTERS)
    margin = {side: factor * fig.layout.margin[side] for side in "ltb"}
    fig.update_layout(font_size=size, legend_font_size=size, margin=margin)
    fig.for_each_annotation(lambda note: note.update(font_size=factor * (note.font.size or LETTERS)))
    for axes in (fig.for_each_xaxis, fig.for_each_yaxis):
        axes(lambda axis: axis.update(tickfont_size=factor * (axis.tickfont.size or LETTERS), title_font_size=factor * LETTERS))


def door(lesson: Lesson) -> None:
    """Show a link to Explore, or Layers, at the settings of a lesson, in a new tab; what takes a moment starts there by itself."""
    looks, sweep = {**lesson.looks(), "start": "true"}, lesson.sweep()
    page = "Explore" if sweep is None else "Layers"
    address = explore_address(lesson.explore_spec(), **looks) if sweep is None else layers_address(sweep, **looks)
    about = f"These settings in {page}, in a new tab; the lesson stays here."
    st.link_button(f"{page} ↗", address, width="stretch", help=about)
