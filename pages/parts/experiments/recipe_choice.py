"""Recipes in the menu of experiments: published analyses, with their numbers and what differs from them."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from encoding.experiments import Experiment
from encoding.experiments.candidates import VALIDATION
from encoding.experiments.recipes.recipe import Part, Recipe, load, recipes
from encoding.experiments.selection import with_validation
from pages.parts.shared.text import plain

PREFIX = "recipe:"  # of the link's value: recipe:six-regressors:layers


def recipe_names() -> dict[str, str]:
    """Value of the link to the label of every part of every recipe."""
    known = map(load, recipes())
    return {f"{PREFIX}{recipe.name}:{part.name}": f"Recipe: {recipe.title} · {part.name}" for recipe in known for part in recipe.parts}


def is_recipe(linked: str) -> bool:
    """Whether a link's value names a part of a recipe."""
    return linked in recipe_names()


def recipe_experiment(linked: str) -> Experiment:
    """The experiment of a recipe's part, with validation fits where the recipe chooses among its fits."""
    _, part = _named(linked)
    experiment = part.experiment()
    return with_validation(experiment, part.choose.get("validation", VALIDATION)) if part.choose else experiment


def recipe_panel(linked: str) -> None:
    """Show what a recipe asks, what differs from its source, and the published numbers."""
    recipe, part = _named(linked)
    st.markdown(f"**{plain(recipe.title)}** {plain(recipe.asks)}")
    st.caption(f"{plain(part.about)}. Source: {plain(recipe.source)}")
    if part.search:
        st.info(f"This part searches parameters first; on this page its readouts run as given. `recipe run {recipe.name}` searches.")
    with st.expander("Published numbers, and what differs here"):
        for sentence in recipe.differs:
            st.markdown(f"- {plain(sentence)}")
        rows = [
            {"model": each.what, "part": each.of, "region": each.roi, "hemisphere": each.hemi, "score": each.score, "published": each.value}
            for each in recipe.published
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="the published numbers")


def _named(linked: str) -> tuple[Recipe, Part]:
    name, _, part_name = linked.removeprefix(PREFIX).partition(":")
    recipe = load(name)
    return recipe, next(part for part in recipe.parts if part.name == part_name)
