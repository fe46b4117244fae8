"""When a component may ask for a run of its own accord, as nobody pressed anything for it."""

from __future__ import annotations

QUIET_MS = 400  # after a press: its request is on its way, and the page does not know yet that it runs

WHEN_QUIET = f"""
if (!window.encodingPress) {{
  window.encodingPress = {{ at: -Infinity }}; // the last press of a key or a button, on the page's own clock
  for (const kind of ["pointerdown", "pointerup", "keydown"]) {{
    window.addEventListener(kind, () => {{ window.encodingPress.at = performance.now(); }}, {{ capture: true, passive: true }});
  }}
}}
/**
 * Call act once the page runs nothing and nothing was pressed a moment ago; returns what calls it off. Streamlit drops the end of a run at
 * which it is asked for one of a fragment, and may take back a press whose request such a one overtakes.
 */
function whenQuiet(act) {{
  const isQuiet = () => performance.now() - window.encodingPress.at > {QUIET_MS}
    && document.querySelector("[data-testid=stApp]")?.dataset.testScriptState !== "running";
  let waiting;
  const look = () => {{ if (isQuiet()) act(); else waiting = setTimeout(look, 50); }};
  look();
  return () => clearTimeout(waiting);
}}
"""
"""JavaScript for the head of a component: ``whenQuiet``."""
