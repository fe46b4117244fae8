"""``recipe``: the results of published projects, ready to run, with their published numbers beside ours."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.cli.clusters import carrying_out
from encoding.cli.command import (
    PROGRAM,
    Answer,
    BadArguments,
    Parser,
    add_command,
    add_device,
    add_workers,
    check_out_folder,
    check_workers,
)
from encoding.cli.terminal import Progress, table
from encoding.experiments.recipes.recipe import Part, Recipe, load, recipes
from encoding.experiments.toml import dump_toml
from encoding.runtime.csv import to_records
from encoding.runtime.wording import counted
from encoding.storage.store import Store

N_FITS = 8  # of a part, whose keys are shown

if TYPE_CHECKING:
    import pandas as pd

    from encoding.experiments.recipes.running import PartResult


def add_commands(commands: Any) -> None:
    """Add ``recipe list``, ``show`` and ``run``."""
    about = "Run the analyses of published projects and see their numbers beside yours."
    group: Parser = commands.add_parser("recipe", help=about, description=about)
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_command(actions, "list", run_list, about="Show the recipes there are.", examples="recipe list")
    show = add_command(
        actions,
        "show",
        run_show,
        about="Show what a recipe asks, its settings, what differs from its source, and the published numbers.",
        examples="recipe show six-regressors",
    )
    show.add_argument("name", help="of the recipe, from `recipe list`")
    run = add_command(
        actions,
        "run",
        run_run,
        about="Run every part of a recipe and put the published numbers beside ours.",
        more="With --quick on few simulated stimuli in the data set's layout, with untrained networks: to see that it works, not what it\n"
        "finds. What is finished is not computed again.",
        examples="recipe run six-regressors --quick\nrecipe run six-regressors --workers 4 --out results",
    )
    run.add_argument("name", help="of the recipe, from `recipe list`")
    run.add_argument("--quick", action="store_true", help="few simulated stimuli, untrained networks, two layers: a minute or two")
    add_workers(run)
    add_device(run)
    run.add_argument("--out", type=Path, metavar="DIR", help="write a table of each part, its choices, and published.csv there")


def run_list(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """List the recipes."""
    found = [load(name) for name in recipes()]
    document = [{"name": each.name, "title": each.title, "asks": each.asks, "dataset": each.dataset} for each in found]
    text = table(["recipe", "data set", "title"], [[each.name, each.dataset, each.title] for each in found], align="<<<")
    return Answer({"recipes": document}, text)


def run_show(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Show a recipe."""
    recipe = load(arguments.name)
    published = [
        {"what": each.what, "part": each.of or None, "roi": each.roi, "hemi": each.hemi or None, "score": each.score, "value": each.value}
        for each in recipe.published
    ]
    document = {name: getattr(recipe, name) for name in ("name", "title", "asks", "dataset", "source")} | {"differs": list(recipe.differs)}
    document |= {"parts": [{"name": part.name, "about": part.about, "toml": settings_of(part)} for part in recipe.parts]}
    lines = [recipe.title, "", recipe.asks, "", f"data set  {recipe.dataset}", f"source    {recipe.source}", *differing(recipe)]
    for part in recipe.parts:
        lines += ["", f"-- {part.name}: {part.about}", settings_of(part).rstrip()]
    rows = [
        [each["what"], each["part"] or "-", each["roi"], each["hemi"] or "-", each["score"], f"{each['value']:.4f}"] for each in published
    ]
    lines += ["", table(["published", "part", "roi", "hemi", "score", "value"], rows, align="<<<<<>")]
    return Answer(document | {"published": published}, "\n".join(lines))


def run_run(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Run a recipe, and write its tables to ``--out``."""
    from encoding.experiments.recipes.running import run_recipe

    if arguments.workers is not None and arguments.quick:
        raise BadArguments("A --quick run is in this process: leave out --workers.")
    check_workers(arguments.workers)
    check_out_folder(arguments.out)
    recipe, store = load(arguments.name), Store()
    with carrying_out(store, None if arguments.quick else arguments.workers) as executor:
        ran = run_recipe(recipe, store, quick=arguments.quick, report=progress, device=arguments.device, executor=executor)
    results, compared = ran.parts, ran.published
    document = {"recipe": recipe.name, "quick": arguments.quick, "differs": list(recipe.differs)}
    document |= {"parts": [part_document(each) for each in results], "published": to_records(compared)}
    document |= {"losses": to_records(ran.losses)}
    lines = [
        recipe.title,
        *([f"a quick run: untrained networks, simulated data (ENCODING_DATA_DIR={ran.data})"] if arguments.quick else []),
    ]
    for each in results:
        lines += ["", *part_lines(each)]
    if len(ran.losses):
        lines += ["", *loss_lines(recipe, ran.losses)]
    lines += ["", published_table(compared), *differing(recipe), "", *opening_lines(ran.data)]
    if arguments.out is not None:
        folder = write_tables(arguments.out.expanduser(), results, compared, ran.losses)
        document, lines = document | {"out": str(folder)}, [*lines, f"written  {folder}"]
    return Answer(document, "\n".join(lines), code=int(any(each.errors for each in results)))


def differing(recipe: Recipe) -> list[str]:
    """Lines on what differs from the source."""
    return ["", "differs from its source:", *(f"- {sentence}" for sentence in recipe.differs)] if recipe.differs else []


def settings_of(part: Part) -> str:
    """A part's settings as TOML."""
    tables = {"base": part.base, "vary": part.vary, "choose": part.choose, "compose": part.compose, "search": part.search}
    return dump_toml({name: values for name, values in tables.items() if values})


def part_lines(result: PartResult) -> list[str]:
    """What a part gave: the number of fits, what failed, choices, and keys of composed fits."""
    from encoding.cli.selecting import choice_table

    lines = [
        f"-- {result.part.name}: {result.part.about}",
        f"{counted(result.table['key'].nunique(), 'fit')}, {counted(len(result.table), 'row')}",
    ]
    lines += fit_lines(result)
    lines += [f"failed  {error}" for error in result.errors]
    if result.selection is not None:
        lines.append(choice_table(result.selection.table()))
    for fit in result.composed:
        lines.append(f"composed  {fit.key}  {fit.plan.spec.subject}, {len(fit.members)} fits, split {fit.plan.spec.split}")
    if result.composed:
        lines.append(f"submit    {PROGRAM} predict {' '.join(fit.key for fit in result.composed)} --submission --out submission")
    return lines


def fit_lines(result: PartResult) -> list[str]:
    """Key of each fit with the settings in which the part's fits differ; of more than :data:`N_FITS` the first."""
    if result.table.empty:
        return []
    fits = result.table.drop_duplicates("key")
    names = dict.fromkeys(("subject", "backbone", "layers", "readout", "options", *result.part.vary))
    varied = [name for name in names if name in fits and fits[name].nunique() > 1]
    lines = [f"fit  {row['key']}  {' · '.join(str(row[name]) for name in varied)}".rstrip() for row in fits[:N_FITS].to_dict("records")]
    return [*lines, f"and {len(fits) - N_FITS:,} more, whose keys are in the tables of --out"] if len(fits) > N_FITS else lines


def opening_lines(data: Path | None) -> list[str]:
    """How a fit is looked at; of a quick run with the folder of its simulated data."""
    before = "" if data is None else f"ENCODING_DATA_DIR={shlex.quote(str(data))} "
    return [
        "what a fit predicts: bars of regions, maps, residuals of all pairs of image and vertex, losses after each epoch, every score",
        f"  {before}{PROGRAM} report KEY --out report.html",
        f"  {before}encoding-explorer, where the table of fits opens each on Explore, and Experiments shows the part",
    ]


def part_document(result: PartResult) -> dict[str, Any]:
    """The same for ``--json``."""
    choices = [] if result.selection is None else to_records(result.selection.table())
    composed = [{"key": fit.key, "subject": fit.plan.spec.subject} for fit in result.composed]
    return {
        "name": result.part.name,
        "rows": to_records(result.table),
        "errors": list(result.errors),
        "choices": choices,
        "composed": composed,
    }


def published_table(compared: pd.DataFrame) -> str:
    """Format the published numbers beside ours."""
    rows = [
        [
            *(row["what"], row["part"] or "-", row["roi"], row["hemi"] or "-", row["score"]),
            *(f"{row['published']:.4f}", f"{row['ours']:.4f}" if row["n"] else "-"),
        ]
        for row in compared.to_dict("records")
    ]
    return table(["model", "part", "roi", "hemi", "score", "published", "ours"], rows, align="<<<<<>>")


def loss_lines(recipe: Recipe, losses: pd.DataFrame) -> list[str]:
    """Training and validation losses with r, of the ROIs that have published numbers."""
    shown = {each.roi for each in recipe.published}
    columns = ["part", "subject", "layers", "target_groups", "roi", "hemi", "t_loss", "v_loss", "r_mean"]
    rows = [
        [*map(str, row[:6]), *(f"{number:.4f}" for number in row[6:])]
        for row in losses.loc[losses["roi"].isin(shown), columns].itertuples(index=False)
    ]
    about = "T-loss and V-loss: mean squared errors at the epoch that is kept, in the squared unit of the responses"
    return [about, table(["part", "subject", "layers", "target groups", "roi", "hemi", "T-loss", "V-loss", "r"], rows, align="<<<<<<>>>")]


def write_tables(folder: Path, results: Sequence[PartResult], compared: pd.DataFrame, losses: pd.DataFrame) -> Path:
    """Write the tables of each part, of its choices, of losses, and of the published numbers as CSV."""
    from encoding.experiments.table import save_table

    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        save_table(result.table, folder / f"{result.part.name}.csv")
        if result.selection is not None:
            save_table(result.selection.table(), folder / f"{result.part.name}-choices.csv")
    if len(losses):
        save_table(losses, folder / "losses.csv")
    save_table(compared, folder / "published.csv")
    return folder.resolve()
