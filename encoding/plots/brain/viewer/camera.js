// Where the eye is. One camera serves both hemispheres: the right one is seen as if in a mirror, so that both always
// show the same side. Angles are those of encoding.surface.View: azimuth 0 is lateral, 90 anterior, 180 medial.

export const HEMIS = ["lh", "rh"];
const GAP = 26; // pixels between the hemispheres
const MARGIN = 14; // pixels around them
const CLOSEST = 20, FARTHEST = 0.5; // zoom

/** The camera of a standard view, at rest. */
export function standardCamera(views, name) {
  const { azimuth, elevation, swapped } = views[name];
  return { view: name, azimuth, elevation, swapped, zoom: 1, panX: 0, panY: 0 };
}

/** The camera as a link writes it: nothing at the view `start`, a view's name, or angles, zoom and place (in heights of the picture). */
export function cameraText({ view, azimuth, elevation, swapped, zoom, panX, panY }, start, height) {
  if (view && zoom === 1 && !panX && !panY) return view === start ? "" : view;
  const round = (value, decimals) => Number(value.toFixed(decimals));
  const numbers = [round(azimuth, 1), round(elevation, 1), round(zoom, 2), round(panX / height, 3), round(panY / height, 3)];
  return [...numbers, ...(swapped ? ["swapped"] : [])].join(",");
}

/** The camera that such a text means. */
export function cameraOf(text, views, start, height) {
  if (!text || views[text]) return standardCamera(views, text || start);
  const [azimuth, elevation, zoom, panX, panY] = text.split(",").map(Number);
  return { view: null, azimuth, elevation, swapped: text.endsWith("swapped"), zoom, panX: panX * height, panY: panY * height };
}

/** Which side of the picture a hemisphere is on: -1 left, 1 right. */
export function sideOf(camera, hemi) {
  return (hemi === "lh") !== camera.swapped ? -1 : 1;
}

/** Turn by degrees: azimuth grows as the left hemisphere's near side moves to the right. */
export function turn(camera, azimuth, elevation) {
  camera.azimuth = ((camera.azimuth + azimuth + 540) % 360) - 180;
  camera.elevation = Math.max(-90, Math.min(90, camera.elevation + elevation));
  camera.view = null;
}

/** Unit vectors in mesh axes: right and up in the picture, and towards the eye. The flat sheet is always seen from the front. */
export function axes(camera, hemi, flat) {
  if (flat) return { right: [1, 0, 0], up: [0, 1, 0], towards: [0, 0, 1] };
  const mirror = hemi === "lh" ? 1 : -1;
  const azimuth = (camera.azimuth * Math.PI) / 180, elevation = (camera.elevation * Math.PI) / 180;
  const ca = Math.cos(azimuth), sa = Math.sin(azimuth), ce = Math.cos(elevation), se = Math.sin(elevation);
  const towards = [-mirror * ce * ca, ce * sa, se];
  const up = [mirror * se * ca, -se * sa, ce];
  const right = [
    up[1] * towards[2] - up[2] * towards[1],
    up[2] * towards[0] - up[0] * towards[2],
    up[0] * towards[1] - up[1] * towards[0],
  ];
  return { right, up, towards };
}

/**
 * How millimetres of one hemisphere become pixels: { right, up, towards, centre, scale, x, y }, where (x, y) is the pixel of
 * the mesh's centre. At zoom 1 both hemispheres fill the picture whatever side they show: taken for ellipsoids, they glide
 * apart as they turn their broad sides to the eye, and never overlap.
 */
export function placement(camera, hemi, mesh, width, height) {
  const { right, up, towards } = axes(camera, hemi, mesh.flat);
  const reach = (axis) => Math.hypot(...mesh.halfExtent.map((extent, i) => extent * axis[i]));
  const fit = Math.min((width / 2 - GAP / 2 - MARGIN) / (2 * reach(right)), (height / 2 - MARGIN) / reach(up));
  const outward = reach(right) * fit + GAP / 2 + camera.panX;
  return {
    right, up, towards,
    centre: mesh.centre,
    scale: fit * camera.zoom,
    x: width / 2 + sideOf(camera, hemi) * outward,
    y: height / 2 + camera.panY,
  };
}

/** Zoom by a factor; the point of the picture at (x, y) stays where it is, and its mirror image with it. */
export function zoomAt(camera, factor, x, y, place, side) {
  const zoom = Math.max(FARTHEST, Math.min(CLOSEST, camera.zoom * factor));
  const kept = 1 - zoom / camera.zoom;
  camera.panX += side * (x - place.x) * kept;
  camera.panY += (y - place.y) * kept;
  camera.zoom = zoom;
}

/** Pixel and height towards the eye (mm) of one point. */
export function project(place, x, y, z) {
  const dx = x - place.centre[0], dy = y - place.centre[1], dz = z - place.centre[2];
  const along = (axis) => dx * axis[0] + dy * axis[1] + dz * axis[2];
  return [place.x + place.scale * along(place.right), place.y - place.scale * along(place.up), along(place.towards)];
}

/** The same as a column-major matrix from millimetres to clip space, for the GPU. */
export function clipMatrix(place, width, height) {
  const rows = [
    [place.right, (2 * place.scale) / width, (2 * place.x) / width - 1],
    [place.up, (2 * place.scale) / height, 1 - (2 * place.y) / height],
    [place.towards, -1 / DEPTH, 0],
  ].map(([axis, scale, shift]) => {
    const [x, y, z] = axis.map((part) => part * scale);
    return [x, y, z, shift - x * place.centre[0] - y * place.centre[1] - z * place.centre[2]];
  });
  rows.push([0, 0, 0, 1]);
  return new Float32Array([0, 1, 2, 3].flatMap((column) => rows.map((row) => row[column])));
}

export const DEPTH = 400; // millimetres from the middle to the front of the visible box
