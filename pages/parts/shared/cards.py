"""Cards of which the whole area is the button or link that stands in them."""

from __future__ import annotations


def card_style(prefix: str) -> str:
    """Style of the containers whose keys begin with ``prefix``: each holds one button or page link, then text."""
    card = f"[data-testid=stMainBlockContainer] [class*=st-key-{prefix}][class*=st-key-{prefix}]"  # stronger than a page's own style
    return f"""<style>
{card} {{position: relative; padding: 0.5rem 0.875rem; gap: 0}}
{card}:hover {{border-color: var(--st-primary-color); background: var(--st-secondary-background-color)}}
{card} [data-testid=stElementContainer] {{margin: 0; position: static}}
{card} :is(a, button) {{position: static; margin: 0; padding: 0; min-height: 0; justify-content: start; text-align: start}}
{card} [data-testid=stButton] * {{line-height: 1.4; vertical-align: top}}
{card} :is(a, button)::after {{content: ""; position: absolute; inset: 0; border-radius: inherit}}
{card} :is(a, button):focus-visible::after {{outline: 2px solid var(--st-primary-color)}}
{card} :is(a, button) :is(p, span) {{white-space: normal; overflow: visible}}
{card} :is(a, button) p {{font-weight: 600}}
{card} p {{margin: 0; line-height: 1.4}}
{card} :is([data-testid=stMarkdownContainer], [data-testid=stCaptionContainer]) {{margin-bottom: 0}}
</style>"""
