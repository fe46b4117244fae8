"""What has too little room on a page: words of a chart that reach out of it or over each other, and a page that scrolls sideways."""

from __future__ import annotations

FIND = r"""() => {
  const found = [], slack = 2;
  const words = "annotation-text,xtitle,ytitle,x2title,y2title,legendtext".split(",").map((name) => "." + name);
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    const name = plot.closest("[class*=st-key-]")?.className.match(/st-key-(\S+)/)?.[1] ?? "a chart";
    const own = plot.querySelector(".main-svg")?.getBoundingClientRect();
    if (!own?.width) continue;
    for (const text of plot.querySelectorAll([...words, ".xtick text", ".ytick text", ".cbaxis text", ".cbtitle text"])) {
      const box = text.getBoundingClientRect();
      const out = Math.max(own.left - box.left, box.right - own.right, own.top - box.top, box.bottom - own.bottom);
      if (box.width && out > slack) found.push(`${name}: "${text.textContent}" reaches ${Math.round(out)} px out of its chart`);
    }
    for (const axis of [".xtick", ".ytick"]) {
      const leans = (text) => /rotate\((?!-?90|0)/.test(text.getAttribute("transform"));  // boxes of those say nothing
      const straight = [...plot.querySelectorAll(`${axis} text`)].filter((text) => !leans(text));
      const boxes = straight.map((text) => [text.textContent, text.getBoundingClientRect()]);
      boxes.forEach(([one, box], place) => boxes.slice(place + 1).forEach(([other, next]) => {
        const across = Math.min(box.right, next.right) - Math.max(box.left, next.left);
        const down = Math.min(box.bottom, next.bottom) - Math.max(box.top, next.top);
        if (Math.min(across, down) > slack + 1) found.push(`${name}: "${one}" and "${other}" lie over each other`);
      }));
    }
  }
  const main = document.querySelector("[data-testid=stMain]");
  if (main.scrollWidth > main.clientWidth + slack) found.push(`the page is ${main.scrollWidth} px wide where ${main.clientWidth} are seen`);
  return found;
}"""


def layout_faults(page) -> list[str]:
    """List what has too little room, of what is drawn on a page now."""
    return page.evaluate(FIND)
