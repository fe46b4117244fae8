// What stands around and over the picture: buttons, names, colour bar, tooltip. All words enter as textContent, never as HTML.

/** An element with a class, text and attributes, inside a parent. */
export function add(parent, tag, className, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}

/** The fixed frame of the view, built once: { root, canvas, stage, … }. */
export function buildFrame(parent, views, actions) {
  const root = add(parent, "section", "brain");
  const head = add(root, "header", "head");
  const title = add(head, "div", "title");
  const toolbar = add(head, "div", "toolbar", "", { role: "toolbar", "aria-label": "Views of the brain" });
  const viewButtons = Object.keys(views).map((name) => {
    const button = add(toolbar, "button", "view", name[0].toUpperCase() + name.slice(1), { type: "button", "data-view": name, "aria-pressed": "false" });
    button.onclick = () => actions.setView(name);
    return button;
  });
  const reset = add(toolbar, "button", "reset", "Reset", { type: "button", title: "Back to the standard view, zoom and place (0)" });
  reset.onclick = actions.reset;
  const save = add(toolbar, "button", "save", "Save PNG", { type: "button", title: "Save this picture" });
  save.onclick = actions.save;
  const stage = add(root, "div", "stage");
  const canvas = add(stage, "canvas", "picture", "", { tabindex: "0", role: "img" });
  const names = add(stage, "div", "names", "", { "aria-hidden": "true" });
  const sides = [add(stage, "div", "side left"), add(stage, "div", "side right")];
  const marker = add(stage, "div", "marker", "", { "aria-hidden": "true" });
  const cross = add(stage, "div", "cross", "", { "aria-hidden": "true" });
  const tooltip = add(stage, "div", "tooltip", "", { role: "status" });
  const message = add(stage, "div", "message", "", { role: "alert" });
  const foot = add(root, "footer", "foot");
  const bar = add(foot, "div", "bar");
  const help = "Turn: drag, or arrow keys. Move: with Shift. Zoom: wheel, + and −. Select: click, or Enter under the cross (H: other half). Back: 0, Escape.";
  const byTouch = "Turn: one finger sideways, or two in any direction; one up or down scrolls the page. Zoom: two fingers apart. Select: touch.";
  const helpLine = add(foot, "div", "help", matchMedia("(pointer: coarse)").matches ? byTouch : help);
  hide(marker, cross, tooltip, message);
  return { root, title, viewButtons, stage, canvas, names, sides, marker, cross, tooltip, message, bar, help: helpLine };
}

export function hide(...elements) {
  for (const element of elements) element.hidden = true;
}

/** Round numbers that divide a range into some four parts. */
export function ticks([low, high]) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-6); i * step <= high + step * 1e-6; i++) found.push(i * step);
  return found;
}

/** A tick's number, with as many decimals as it and its neighbours need. */
export function tickText(value, all) {
  let decimals = 0;
  while (decimals < 6 && all.some((tick) => Math.abs(tick - Number(tick.toFixed(decimals))) > 1e-9)) decimals++;
  return (Math.abs(value) < 1e-9 ? 0 : value).toFixed(decimals).replace("-", "−");
}

/** Each tick's place as a fraction of the colour bar, and its text; an end where values beyond it are drawn in its colour says so. */
export function labels({ colour_range: [low, high], extent: [least, most] }) {
  const places = ticks([low, high]), slack = 1e-6 * (high - low), near = (a, b) => Math.abs(a - b) < slack;
  const sign = (place) => (least < low - slack && near(place, low) ? "≤ " : most > high + slack && near(place, high) ? "≥ " : "");
  return places.map((place) => [(place - low) / (high - low), sign(place) + tickText(place, places)]);
}

/** The part of the colour bar, as two fractions of its length, whose values the threshold hides; null where it hides none. */
export function hiddenPart({ colour_range: [low, high], threshold, hide_above, diverging }) {
  if (!(threshold > 0)) return null;
  const fraction = (value) => Math.max(0, Math.min(1, (value - low) / (high - low)));
  return hide_above ? [fraction(threshold), 1] : [diverging ? fraction(-threshold) : 0, fraction(threshold)];
}

/** Draw the colour bar: colours is 256 x 3 bytes. */
export function showBar(bar, header, colours) {
  bar.replaceChildren();
  add(bar, "div", "quantity", header.quantity);
  bar.classList.toggle("of-kinds", header.kinds.length > 0);
  if (header.kinds.length) {
    header.kinds.forEach((name, number) => {
      const kind = add(bar, "div", "kind");
      add(kind, "span", "swatch").style.background = kindColour(number, header, colours);
      add(kind, "span", "", name);
    });
  } else showScale(bar, header, colours);
  const missing = add(bar, "div", "missing");
  add(missing, "span", "swatch");
  add(missing, "span", "", "no data");
}

/** The colour of a kind by its number, counted from 0. */
export function kindColour(number, { kinds }, colours) {
  const i = 3 * Math.floor((256 * (number + 0.5)) / kinds.length);
  return `rgb(${colours[i]} ${colours[i + 1]} ${colours[i + 2]})`;
}

function showScale(bar, header, colours) {
  const scale = add(bar, "div", "scale");
  const strip = add(scale, "div", "strip");
  const stops = [...Array(33).keys()].map((i) => Math.min(255, 8 * i)).map((i) => `rgb(${colours[3 * i]} ${colours[3 * i + 1]} ${colours[3 * i + 2]})`);
  strip.style.background = `linear-gradient(to right, ${stops.join(",")})`;
  const hidden = hiddenPart(header);
  if (hidden) {
    const cover = add(strip, "div", "hidden-part", "", { title: "Hidden by the threshold" });
    cover.style.left = `${100 * hidden[0]}%`;
    cover.style.width = `${100 * (hidden[1] - hidden[0])}%`;
  }
  for (const [fraction, text] of labels(header)) add(scale, "div", "tick", text).style.left = `${100 * fraction}%`;
}

/** The lines of the tooltip of one vertex. Numbers have three decimals. */
export function describe(hemi, vertex, data, header) {
  const number = (value) => value.toFixed(3).replace("-", "−");
  const column = data.columns[vertex]; // of the responses; the mesh has a number of its own
  const place = column < 0 ? `${hemi} fsaverage ${vertex}` : `${header.unit} ${hemi} ${column} (fsaverage ${vertex})`;
  const lines = [`${hemi === "lh" ? "Left" : "Right"} hemisphere, ${place}`];
  const rois = data.rois[vertex] >= 0 ? header.memberships[hemi][data.rois[vertex]] : [];
  const meanings = header.meanings ?? {}; // ROI to its name in words
  if (rois.some((roi) => roi in meanings)) lines.push(...rois.map((roi) => (roi in meanings ? `${roi}: ${meanings[roi]}` : roi)));
  else if (rois.length) lines.push(rois.join(", "));
  if (Number.isNaN(data.values[vertex])) return [...lines, "no data"];
  const ceiling = Number.isNaN(data.ceiling[vertex]) ? "" : `, ${header.ceiling_name} ${number(data.ceiling[vertex])}`;
  const value = header.kinds.length ? `: ${header.kinds[Math.round(data.values[vertex]) - 1]}` : ` ${number(data.values[vertex])}`;
  return [...lines, `${header.quantity}${value}${ceiling}`];
}

/** Show the tooltip's lines beside a pixel, inside the stage. */
export function showTooltip(frame, lines, x, y) {
  const { tooltip, stage } = frame;
  tooltip.hidden = false;
  tooltip.replaceChildren();
  lines.forEach((line, i) => add(tooltip, "div", i === lines.length - 1 ? "number" : "", line));
  const left = x + 16 + tooltip.offsetWidth > stage.clientWidth ? x - 12 - tooltip.offsetWidth : x + 16;
  tooltip.style.left = `${Math.max(4, left)}px`;
  tooltip.style.top = `${Math.max(4, Math.min(y + 14, stage.clientHeight - tooltip.offsetHeight - 4))}px`;
}

const SHIFTS = [0, -16, 16, -32, 32]; // px up or down, where another name stands at the place of a name
const ROOM = 6; // px around a name's own place, before it returns there

/**
 * Write ROI names at their places, the same in both halves of the brain: a name that would cover an earlier one moves up or down with a
 * line to its place, and is left out in both halves where it fits nowhere. Names stay where they were while the brain turns a little.
 * labels: [{ text, x, y, chosen }], the most important first. Elements are used again from frame to frame.
 */
export function showNames(container, labels) {
  const before = container.shifts ?? new Map(), now = new Map(), written = [], regions = new Map();
  for (const label of labels) regions.set(label.text, [...(regions.get(label.text) ?? []), label]);
  const halfWidth = (text) => 3.6 * text.length + 4;
  const isFree = ({ text, x, y }, shift, room = 0) =>
    !written.some((other) => Math.abs(other.x - x) < halfWidth(text) + halfWidth(other.text) + room && Math.abs(other.y - y - shift) < 15 + room);
  const rank = (text) => 2 * regions.get(text).some((label) => label.chosen) + before.has(text);
  for (const text of [...regions.keys()].sort((one, other) => rank(other) - rank(one))) {
    const halves = regions.get(text), last = before.get(text);
    const returns = !last || halves.every((label) => isFree(label, 0, ROOM));
    const shift = [...(returns ? [] : [last]), ...SHIFTS].find((each) => halves.every((label) => isFree(label, each)));
    if (shift === undefined) continue;
    now.set(text, shift);
    for (const { x, y, chosen } of halves) {
      const element = container.children[written.length] ?? add(container, "span", "name");
      element.textContent = text;
      element.classList.toggle("chosen", chosen);
      element.dataset.moved = shift < 0 ? "up" : shift > 0 ? "down" : "";
      element.style.setProperty("--line", `${Math.max(0, Math.abs(shift) - 8)}px`);
      element.style.transform = `translate(-50%, -50%) translate(${x.toFixed(1)}px, ${(y + shift).toFixed(1)}px)`;
      written.push({ text, x, y: y + shift });
    }
  }
  container.shifts = now;
  while (container.children.length > written.length) container.lastChild.remove();
  return written.length;
}
