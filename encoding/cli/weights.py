"""``weights``: list and download pretrained weights."""

from __future__ import annotations

import argparse
from typing import Any

from encoding.backbones import WeightsFile
from encoding.backbones import _catalogue as weights
from encoding.cli.command import Answer, Parser, add_command
from encoding.cli.terminal import Progress, file_size, table

LIST_MORE = """
Nothing is fetched by listing. A file saved by hand under the name and in the folder that --json gives is used like a fetched one.
"""


def add_commands(commands: Any) -> None:
    """Add ``weights list`` and ``weights fetch``."""
    about = "See which pretrained weights are on this machine, and fetch others."
    group: Parser = commands.add_parser("weights", help=about, description=about)
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    parser = add_command(
        actions,
        "list",
        run_list,
        about="Show every network's pretrained weights: present or not, size, licence, origin, place.",
        more=LIST_MORE,
        examples="weights list\nweights list --present\nweights list --json",
    )
    parser.add_argument("--present", action="store_true", help="only those on this machine")
    parser = add_command(
        actions,
        "fetch",
        run_fetch,
        about="Download the pretrained weights of one or more networks.",
        more="A download that was stopped goes on from where it was; the bytes are held against their published hash.",
        examples="weights fetch torchvision/alexnet\nweights fetch timm/vit_small_patch14_dinov2.lvd142m",
    )
    parser.add_argument("network", nargs="+", metavar="BACKBONE", help="a name from `list backbones`")


def run_list(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """List the weights of every network."""
    files = [file for file in weights.every_file() if file.is_here or not arguments.present]
    rows = [[file.network, "yes" if file.is_here else "no", size_of(file), file.licence, file.address] for file in files]
    text = table(["backbone", "here", "size", "licence", "from"], rows, align="<<><<")
    if not files:
        text = "No pretrained weights are on this machine."
    return Answer({"weights": [document(file) for file in files]}, text)


def size_of(file: WeightsFile) -> str:
    """Format the size of a downloaded file, or its published size; empty where neither is known."""
    n_bytes = file.path.stat().st_size if file.is_here else file.n_bytes
    return "" if n_bytes is None else file_size(n_bytes)


def document(file: WeightsFile) -> dict[str, Any]:
    """Describe a weights file for ``--json``."""
    return {
        "network": file.network,
        "here": file.is_here,
        "path": str(file.path),
        "address": file.address,
        "bytes": file.path.stat().st_size if file.is_here else file.n_bytes,
        "licence": file.licence,
        "sha256": file.sha256 or None,
    }


def run_fetch(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Download the requested weights that are missing."""
    files = [weights.weights_file(network) for network in arguments.network]  # all names are right before the first byte is fetched
    for file in files:
        weights.fetch(file.network, progress)
    text = "\n".join(f"{file.network}: {size_of(file)} in {file.path}" for file in files)
    return Answer({"weights": [document(file) for file in files]}, text)
