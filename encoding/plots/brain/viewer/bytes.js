// Reading what encoding.plots.brain.brain_map.pack wrote: a JSON header and named arrays in one run of bytes.

const ARRAY_TYPES = { float32: Float32Array, int16: Int16Array, uint32: Uint32Array, uint16: Uint16Array, uint8: Uint8Array };

/** bytes: Uint8Array or ArrayBuffer -> { header, arrays }, arrays by name. They share the bytes' memory where it is aligned. */
export function unpack(bytes) {
  let data = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  if (data.byteOffset % 4) data = data.slice();
  const headerLength = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + headerLength)));
  const start = data.byteOffset + 4 + headerLength;
  const arrays = {};
  for (const { name, dtype, offset, length } of header.arrays) {
    arrays[name] = new ARRAY_TYPES[dtype](data.buffer, start + offset, length);
  }
  return { header, arrays };
}

const NOT_KNOWN = -32768; // stands for NaN among thousandths

/** One number of an array of float32 or of thousandths (int16); NaN where there is no array or no number. */
function numberAt(array, place) {
  if (!array) return NaN;
  if (!(array instanceof Int16Array)) return array[place];
  return array[place] === NOT_KNOWN ? NaN : array[place] / 1000;
}

/** What one hemisphere's part of a map says of each vertex: { values, ceiling, rois, columns }. NaN and -1: nothing. */
export function spread(arrays, hemi, nVertices) {
  const values = new Float32Array(nVertices).fill(NaN);
  const ceiling = new Float32Array(nVertices).fill(NaN);
  const rois = new Int32Array(nVertices).fill(-1);
  const columns = new Int32Array(nVertices).fill(-1);
  const named = arrays[`${hemi}.columns`];
  const mask = arrays[`${hemi}.mask`];
  if (!mask) return { values, ceiling, rois, columns };
  let place = 0;
  for (let vertex = 0; vertex < nVertices; vertex++) {
    if (!(mask[vertex >> 3] & (1 << (vertex & 7)))) continue;
    values[vertex] = numberAt(arrays[`${hemi}.values`], place);
    ceiling[vertex] = numberAt(arrays[`${hemi}.ceiling`], place);
    rois[vertex] = arrays[`${hemi}.rois`][place];
    columns[vertex] = named ? named[place] : place;
    place++;
  }
  return { values, ceiling, rois, columns };
}
