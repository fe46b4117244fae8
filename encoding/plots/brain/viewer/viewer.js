// The interactive brain. createBrainView puts one into an element; update gives it a new map; dispose frees the GPU.

import { atSlider, looksLike, sendAhead } from "./ahead.js";
import { spread, unpack } from "./bytes.js";
import { HEMIS, cameraOf, cameraText, clipMatrix, placement, project, sideOf, standardCamera, turn, zoomAt } from "./camera.js";
import { makeMesh, middleOf, mixedFaces, outline, projectAll, surfaceAt } from "./mesh.js";
import { buildFrame, describe, hide, showBar, showNames, showTooltip } from "./overlay.js";
import { createKeys } from "./keyboard.js";
import { composePicture, download } from "./picture.js";
import { createScene } from "./scene.js";

const CLICK_PIXELS = 4; // a press that moves less is a click
const SMALL = 250; // pixels of height
const DEGREES_PER_PIXEL = 0.5;
const NO_WEBGL2 = "This browser offers no WebGL2, which the turning brain is drawn with. Enable hardware acceleration, or read the values in the charts and tables.";
const RESTS = 400; // milliseconds without a move, after which the camera is told to the page
const leftBehind = new Map(); // name of a brain -> { camera, view, surface, looks_from } when it was last taken down
let nReported = 0; // cameras that pages heard of, by all brains

/**
 * parent: where it goes. meshFile: { header, arrays } of encoding.plots.brain.brain_map.mesh_bytes, unpacked.
 * onSelect: called with { hemi, vertex }, or null, when the person selects a vertex.
 */
export function createBrainView(parent, meshFile, onSelect = () => {}) {
  const style = document.createElement("style");
  style.textContent = STYLE; // put in front of this module with the style sheet
  const frame = buildFrame(parent, meshFile.header.views, { setView, reset, save });
  const { canvas, stage } = frame;
  frame.root.prepend(style);
  const gl = canvas.getContext("webgl2", { antialias: true, powerPreference: "low-power" });
  const listeners = new AbortController(); // its signal takes every listener away at once
  const meshes = {}; // surface -> hemisphere -> mesh, made when first shown
  const projected = {}; // hemisphere -> every vertex on the screen, until the camera moves
  const data = {}; // hemisphere -> { values, ceiling, rois }
  let uploaded = {}; // hemisphere -> the surface that the GPU holds
  let map = null, camera = null, scene = null, selected = null, labels = [], shownNames = [];
  let frameRequest = 0, frames = 0, select = onSelect;
  let reported = null, rest = 0; // the camera as the page knows it, and the wait before it is reported
  let held = null; // where the pointer holds the brain
  if (!gl) {
    say(NO_WEBGL2);
    return { update() {}, dispose: () => frame.root.remove() };
  }
  scene = createScene(gl);

  // ---- what is shown -------------------------------------------------------------------------------------------------

  /**
   * bytes: encoding.plots.brain.brain_map.BrainMap.to_bytes; changes replace parts of its header, such as { surface: "flat" }.
   * The camera stays unless the map names another view, or place to look from, than the last one did, also where the brain was taken down
   * meanwhile.
   */
  function update(bytes, newOnSelect = select, changes = {}) {
    const before = map;
    map = unpack(bytes);
    Object.assign(map.header, changes);
    nameMemberships(map.header);
    map = atSlider(map);
    select = newOnSelect;
    const { header } = map;
    const isDrawn = before && looksLike(before, map) && JSON.stringify(selected) === JSON.stringify(header.selected);
    const cameraBefore = camera;
    selected = header.selected;
    const last = before?.header ?? leftBehind.get(header.name);
    camera ??= last?.camera;
    if (header.view !== last?.view) camera = standardCamera(meshFile.header.views, header.view);
    if (header.surface !== last?.surface) [camera.zoom, camera.panX, camera.panY] = [1, 0, 0];
    const asked = header.looks_from ?? "", askedBefore = last?.looks_from ?? "";
    reported ??= askedBefore;
    const isLate = last && header.reported < nReported; // made before the page heard where the brain was turned
    if (asked !== askedBefore && asked !== reported && !isLate) {
      camera = cameraOf(asked, meshFile.header.views, header.view, header.height ?? 440);
      reported = asked;
    }
    if (isDrawn && camera === cameraBefore) return;
    read();
    frame.help.hidden = header.height < SMALL; // there is no room for it; the canvas says the same to who cannot see
    stage.style.height = `var(--brain-height, ${header.height ?? 440}px)`; // a page may let it grow with the screen
    caption();
    upload();
    draw();
    awaitRest(); // another surface is seen from another place
  }

  /** Spread what the map says over the vertices of the mesh. */
  function read() {
    for (const hemi of HEMIS) data[hemi] = spread(map.arrays, hemi, meshFile.arrays[`${hemi}.sulcal_depth`].length);
  }

  /** What stands around the picture. */
  function caption() {
    const { header } = map;
    frame.title.textContent = header.title;
    canvas.setAttribute("aria-label", `Brain map: ${header.title || header.quantity}. Turn it with the arrow keys; Enter selects the vertex under the cross, H goes to the other half.`);
    showBar(frame.bar, header, map.arrays.colours);
    hide(frame.tooltip);
  }

  /** Show the map at which the page's slider stands, if it was sent ahead. */
  function followSlider() {
    const next = map && atSlider(map);
    if (!map || next === map) return;
    map = next;
    read();
    caption();
    for (const hemi of HEMIS) scene.setValues(hemi, data[hemi].values);
    draw();
  }

  /** Sets of ROIs travel as numbers; from here on they are lists of names. */
  function nameMemberships(header) {
    for (const hemi of Object.keys(header.memberships)) {
      header.memberships[hemi] = header.memberships[hemi].map((set) => set.map((place) => header.rois[place]));
    }
  }

  /** Send the map to the GPU. */
  function upload() {
    const { surface } = map.header;
    meshes[surface] ??= Object.fromEntries(HEMIS.map((hemi) => [hemi, makeMesh(meshFile.arrays, hemi, surface)]));
    labels = [];
    scene.setColours(map.arrays.colours);
    for (const hemi of HEMIS) {
      if (uploaded[hemi] !== surface) scene.setMesh(hemi, meshes[surface][hemi]);
      uploaded[hemi] = surface;
      scene.setValues(hemi, data[hemi].values);
      scene.setLines(hemi, outlines(hemi));
    }
    forgetProjection();
  }

  /** The borders of the outlined ROIs of one hemisphere; notes where their names go. */
  function outlines(hemi) {
    const { outlined, chosen_roi: chosen, memberships } = map.header;
    const mesh = currentMesh(hemi), numbers = [], { rois } = data[hemi]; // the number of each vertex's set of ROIs
    const places = mixedFaces(mesh.faces, rois);
    for (const roi of new Set([...outlined, ...(chosen ? [chosen] : [])])) {
      const sets = Uint8Array.from(memberships[hemi] ?? [], (names) => (names.includes(roi) ? 1 : 0));
      const inside = new Uint8Array(rois.length), members = [];
      for (let vertex = 0; vertex < rois.length; vertex++) {
        if (rois[vertex] < 0 || !sets[rois[vertex]]) continue;
        inside[vertex] = 1;
        members.push(vertex);
      }
      if (!members.length) continue;
      const ends = outline(mesh, inside, places);
      for (let i = 0; i < ends.length; i += 6) numbers.push(...ends.slice(i, i + 6), roi === chosen ? 1 : 0);
      labels.push({ hemi, text: roi, vertex: middleOf(mesh, members), chosen: roi === chosen });
    }
    labels.sort((one, other) => other.chosen - one.chosen);
    canvas.dataset[`${hemi}Segments`] = numbers.length / 7;
    return numbers;
  }

  const currentMesh = (hemi) => meshes[map.header.surface][hemi];
  const place = (hemi) => placement(camera, hemi, currentMesh(hemi), stage.clientWidth, stage.clientHeight);
  const forgetProjection = () => { for (const hemi of HEMIS) delete projected[hemi]; };

  function say(text) {
    frame.message.hidden = !text;
    frame.message.textContent = text;
  }

  // ---- drawing -------------------------------------------------------------------------------------------------------

  function requestDraw() {
    forgetProjection();
    awaitRest();
    frameRequest ||= requestAnimationFrame(() => { frameRequest = 0; draw(); });
  }

  function awaitRest() {
    clearTimeout(rest);
    rest = setTimeout(report, RESTS);
  }

  /** Tell the page where the camera came to rest. */
  function report() {
    if (held) return awaitRest();
    if (!map?.header.name || !stage.clientHeight) return;
    const text = cameraText(camera, map.header.view, stage.clientHeight);
    if (text === reported) return;
    const detail = { name: map.header.name, camera: text, number: nReported + 1 };
    if (window.dispatchEvent(new CustomEvent("brain-camera", { detail, cancelable: true }))) return; // nobody listens yet
    [reported, nReported] = [text, detail.number];
  }

  const pixels = (ratio = window.devicePixelRatio || 1) => [stage.clientWidth, stage.clientHeight].map((length) => Math.round(length * ratio));
  const isOfSize = () => pixels().every((length, axis) => length === [canvas.width, canvas.height][axis]);

  function draw(ratio = window.devicePixelRatio || 1) {
    const width = stage.clientWidth, height = stage.clientHeight;
    if (!map || !width || !height || gl.isContextLost()) return;
    const size = pixels(ratio);
    if (size[0] !== canvas.width || size[1] !== canvas.height) [canvas.width, canvas.height] = size;
    const { colour_range: range, threshold, hide_above: hideAbove, diverging, kinds } = map.header;
    scene.clear();
    for (const hemi of HEMIS) {
      const there = place(hemi);
      const look = { clip: clipMatrix(there, width, height), axes: there, side: sideOf(camera, hemi), ratio };
      scene.draw(hemi, { ...look, range, threshold, hideAbove, diverging, kinds, flat: currentMesh(hemi).flat });
    }
    drawOverlay();
    frames++;
    note();
  }

  function drawOverlay() {
    const flat = map.header.surface === "flat";
    for (const button of frame.viewButtons) {
      button.disabled = flat;
      button.setAttribute("aria-pressed", String(!flat && button.dataset.view === camera.view));
    }
    frame.sides.forEach((element, i) => { element.textContent = (i === 0) === camera.swapped ? "R" : "L"; });
    const seen = labels.map((label) => ({ ...label, ...whereIs(label.hemi, label.vertex) })).filter((label) => label.visible);
    shownNames = seen.slice();
    showNames(frame.names, seen);
    const spot = selected && whereIs(selected.hemi, selected.vertex);
    frame.marker.hidden = !spot?.visible;
    if (spot) frame.marker.style.transform = `translate(-50%, -50%) translate(${spot.x}px, ${spot.y}px)`;
  }

  /** What tests and the curious may read from the page. */
  function note() {
    const { view, azimuth, elevation, swapped, zoom, panX, panY } = camera;
    Object.assign(canvas.dataset, { frames, title: map.header.title, surface: map.header.surface, selected: JSON.stringify(selected) });
    canvas.dataset.camera = JSON.stringify({ view, azimuth, elevation, swapped, zoom, panX, panY });
  }

  // ---- what is where -------------------------------------------------------------------------------------------------

  const seenFrom = (hemi) => (projected[hemi] ??= projectAll(currentMesh(hemi), place(hemi)));
  const hemiAt = (x) => HEMIS.find((hemi) => sideOf(camera, hemi) === (x < stage.clientWidth / 2 ? -1 : 1));

  /** Where a vertex is in the picture, and whether nothing is in front of it. */
  function whereIs(hemi, vertex) {
    const mesh = currentMesh(hemi);
    const [x, y, height] = project(place(hemi), ...mesh.positions.subarray(3 * vertex, 3 * vertex + 3));
    const front = hemiAt(x) === hemi ? surfaceAt(mesh.faces, seenFrom(hemi), x, y) : null;
    const inPicture = x >= 0 && y >= 0 && x <= stage.clientWidth && y <= stage.clientHeight;
    return { x, y, visible: inPicture && (front ? front.height < height + 1.5 : !mesh.flat && hemiAt(x) === hemi && height > 0) };
  }

  /** { hemi, vertex } under a pixel of the picture, or null. */
  function pick(x, y) {
    if (!map) return null;
    const hemi = hemiAt(x), found = surfaceAt(currentMesh(hemi).faces, seenFrom(hemi), x, y);
    return found && { hemi, vertex: found.vertex };
  }

  // ---- what the person does ------------------------------------------------------------------------------------------

  function setView(name) {
    camera = standardCamera(meshFile.header.views, name);
    requestDraw();
  }

  function reset() {
    setView(camera.view ?? map.header.view);
  }

  function choose(found) {
    selected = found;
    requestDraw();
    select(found);
  }

  function hover(x, y) {
    const found = pick(x, y);
    canvas.classList.toggle("over-data", Boolean(found) && !Number.isNaN(data[found.hemi].values[found.vertex]));
    if (!found) return hide(frame.tooltip);
    const [place, ...lines] = describe(found.hemi, found.vertex, data[found.hemi], map.header);
    const isSelected = selected?.hemi === found.hemi && selected.vertex === found.vertex; // said here, as a reader of screens sees no marker
    showTooltip(frame, [isSelected ? `${place} (selected)` : place, ...lines], x, y);
  }

  function click(x, y) {
    const found = pick(x, y);
    if (found && !Number.isNaN(data[found.hemi].values[found.vertex])) choose(found);
  }

  /** The hemisphere under the pointer follows it; the other one does the same in the mirror. */
  function drag(dx, dy, hemi, moving) {
    if (moving || map.header.surface === "flat") {
      camera.panX += sideOf(camera, hemi) * dx;
      camera.panY += dy;
    } else turn(camera, (hemi === "lh" ? dx : -dx) * DEGREES_PER_PIXEL, dy * DEGREES_PER_PIXEL);
    requestDraw();
  }

  function zoom(factor, x, y) {
    const hemi = hemiAt(x);
    zoomAt(camera, factor, x, y, place(hemi), sideOf(camera, hemi));
    requestDraw();
  }

  const keys = createKeys({
    stage, canvas, cross: frame.cross, isReady: () => Boolean(map), drag, zoom, reset, choose, hover, click,
    middle: (hemi) => [place(hemi).x - sideOf(camera, hemi) * camera.panX, place(hemi).y - camera.panY],
    wait: (act) => requestAnimationFrame(() => requestAnimationFrame(act)),
  });

  async function save() {
    const look = getComputedStyle(frame.root);
    const surroundings = look.getPropertyValue("--page").trim() || "white";
    const words = { title: map.header.title, left: frame.sides[0].textContent, right: frame.sides[1].textContent, names: shownNames, source: map.header.source || "" };
    const size = [canvas.width, canvas.height], ratio = Math.max(2, canvas.width / stage.clientWidth);
    draw(ratio); // a WebGL picture can be read only in the turn that drew it
    const style = { font: look.fontFamily, text: look.color, background: surroundings };
    const picture = composePicture(canvas, ratio, words, map.header, map.arrays.colours, style); // which has read the canvas when it returns
    if (size[0] !== canvas.width) draw();
    download(await picture, fileName());
  }

  /** Name of a saved picture: what is shown, and the fit that its source line names. */
  function fileName() {
    const fit = map.header.source?.match(/\b[a-z]+-[0-9a-f]{8,}\b/)?.[0] ?? "";
    const parts = ["brain", map.header.title, fit].map((part) => part.replace(/[^\p{L}\p{N}.-]+/gu, "-").replace(/^-|-$/g, ""));
    return `${parts.filter(Boolean).join("-")}.png`;
  }

  function listen() {
    const on = (target, name, act, options = {}) => target.addEventListener(name, act, { ...options, signal: listeners.signal });
    const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    const fingers = new Map(); // on the picture: pointerId -> [x, y]
    const span = ([[x, y], [otherX, otherY]]) => ({ x: (x + otherX) / 2, y: (y + otherY) / 2, length: Math.hypot(x - otherX, y - otherY) });
    /** Two fingers turn by where their middle goes, and zoom by how far apart they are; one up or down is left to the page (touch-action). */
    const moveFinger = (event) => {
      const before = span([...fingers.values()]);
      fingers.set(event.pointerId, at(event));
      const after = span([...fingers.values()]);
      drag(after.x - before.x, after.y - before.y, hemiAt(before.x), false);
      zoom(after.length / Math.max(before.length, 1), after.x, after.y);
    };
    on(canvas, "pointerdown", (event) => {
      if (!map) return;
      if (event.pointerType === "touch") fingers.set(event.pointerId, at(event));
      if (fingers.size > 1) { held = null; return; }
      const [x, y] = at(event);
      held = { x, y, startX: x, startY: y, hemi: hemiAt(x), moving: event.shiftKey || event.button !== 0 };
      canvas.setPointerCapture(event.pointerId);
      hide(frame.tooltip);
    });
    on(canvas, "pointermove", (event) => {
      if (!map) return;
      keys.leave();
      if (fingers.size === 2 && fingers.has(event.pointerId)) return moveFinger(event);
      const [x, y] = at(event);
      if (!held) return hover(x, y);
      if (event.pointerType !== "touch") drag(x - held.x, y - held.y, held.hemi, held.moving);
      else if (Math.abs(x - held.x) > Math.abs(y - held.y)) drag(x - held.x, 0, held.hemi, false);
      Object.assign(held, { x, y });
    });
    on(canvas, "pointerup", (event) => {
      if (held && event.button === 0 && Math.hypot(held.x - held.startX, held.y - held.startY) < CLICK_PIXELS) click(...at(event));
      held = null;
      fingers.delete(event.pointerId);
      if (map) hover(...at(event));
    });
    on(canvas, "pointercancel", (event) => { held = null; fingers.delete(event.pointerId); });
    on(canvas, "pointerleave", () => hide(frame.tooltip));
    on(canvas, "contextmenu", (event) => event.preventDefault());
    on(canvas, "wheel", (event) => { event.preventDefault(); if (map) zoom(Math.exp(-event.deltaY * 0.0015), ...at(event)); }, { passive: false });
    on(canvas, "keydown", keys.press);
    on(canvas, "focus", keys.focus);
    on(canvas, "blur", () => { keys.leave(); hide(frame.tooltip); });
    on(canvas, "webglcontextlost", (event) => { event.preventDefault(); say("The GPU was reset. The brain comes back when it does."); });
    on(canvas, "webglcontextrestored", () => { scene = createScene(gl); uploaded = {}; if (map) upload(); say(""); requestDraw(); });
  }

  listen();
  const resized = new ResizeObserver(() => { if (!isOfSize()) requestDraw(); }); // it reports once at the start, too
  resized.observe(stage);
  const slid = new MutationObserver(followSlider);
  slid.observe(document.body, { subtree: true, attributes: true, attributeFilter: ["aria-valuetext"] }); // which a slider changes last
  canvas.brain = { pick, project: whereIs }; // for tests

  return {
    update,
    dispose() {
      if (map?.header.name) leftBehind.set(map.header.name, { camera, view: map.header.view, surface: map.header.surface, looks_from: reported });
      clearTimeout(rest);
      listeners.abort();
      resized.disconnect();
      slid.disconnect();
      cancelAnimationFrame(frameRequest);
      gl.getExtension("WEBGL_lose_context")?.loseContext(); // a page holds at most 16 contexts
      frame.root.remove();
    },
  };
}
