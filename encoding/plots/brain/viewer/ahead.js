// Maps that a page sends before they are asked for: those of all places of its slider. The brain follows the slider at once, while the
// page's answer, the same map with all that stands around it, is still on its way.

import { unpack } from "./bytes.js";

const sent = new Map(); // name of a brain -> what encoding.plots.brain.brain_map.maps_ahead packed, unpacked

/** bytes: of encoding.plots.brain.brain_map.maps_ahead, with name, mesh_file and slider, a CSS selector, in the header. */
export function sendAhead(bytes) {
  const { header, arrays } = unpack(bytes);
  sent.set(header.name, { ...header, arrays });
}

/** The map at which the page's slider stands, where `map` is one of those sent ahead; else `map` itself. */
export function atSlider(map) {
  const ahead = sent.get(map.header.name), slider = ahead && document.querySelector(ahead.slider);
  if (!slider || ahead.mesh_file !== map.header.mesh_file || Number(slider.max) !== ahead.maps.length - 1) return map;
  const place = ahead.maps.findIndex(({ title, source }) => title === map.header.title && source === map.header.source);
  const asked = Number(slider.value);
  if (place < 0 || place === asked) return map;
  const values = unpack(ahead.arrays[asked]).arrays;
  return { header: { ...map.header, ...ahead.maps[asked] }, arrays: { ...map.arrays, ...values } };
}

/** Whether two maps, of which the latter may tell more of the camera, look alike. */
export function looksLike(one, other) {
  const look = ({ header: { arrays, reported, looks_from, ...rest } }) => JSON.stringify(Object.entries(rest).sort());
  const names = Object.keys(one.arrays);
  const isSame = (name) => {
    const [these, those] = [one.arrays[name], other.arrays[name]];
    return those?.length === these.length && these.every((number, i) => Object.is(number, those[i]));
  };
  return look(one) === look(other) && names.length === Object.keys(other.arrays).length && names.every(isSame);
}
