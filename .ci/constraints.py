"""Print the installed version of everything that the requirements need: ``python .ci/constraints.py > constraints.txt``.

Left out are packages that a pinned one pins itself for one platform (CUDA's libraries, which torch names by version).
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1]
OF_ONE_PLATFORM = ("nvidia-", "cuda-", "triton")


def installed(names: list[str]) -> dict[str, str]:
    """Version of each named distribution that is installed, and of all that they need."""
    found: dict[str, str] = {}
    while names:
        name = names.pop().lower().replace("_", "-").replace(".", "-")
        if name in found or name.startswith(OF_ONE_PLATFORM):
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:  # for another platform or Python
            continue
        found[name] = package.version.partition("+")[0]  # +cpu and +cu130 are builds of one version
        needed = [Requirement(line) for line in package.requires or ()]
        names += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def main() -> None:
    lines = [line for name in ("requirements.txt", "tests/requirements.txt") for line in (PROJECT / name).read_text().splitlines()]
    versions = installed([Requirement(line).name for line in lines if line and not line.startswith("#")])
    print("# The versions that .ci/run last ran with: pip install -r requirements.txt -c constraints.txt")
    print("\n".join(f"{name}=={versions[name]}" for name in sorted(versions)))


if __name__ == "__main__":
    main()
