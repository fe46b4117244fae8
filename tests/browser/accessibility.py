"""axe-core on a page of the app: what stops a person who cannot see, or not well, or who uses no mouse."""

from __future__ import annotations

from importlib.resources import files

NOT_OURS = [["[data-testid=stSidebarNavItems]"], [".js-plotly-plot"]]  # Streamlit groups links of its navigation in a way that axe refuses
GRAVE = ("serious", "critical")


def grave_findings(page, *, rules: tuple[str, ...] = ()) -> list[str]:
    """List the serious and critical findings on what a page shows now; of all rules, or of some.

    axe does not look at text of SVG: plotly's figures are left out, as looking through their marks takes seconds.
    """
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = page.evaluate("([exclude, options]) => axe.run({ exclude }, options)", [NOT_OURS, options])["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in found
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
