// Reading what encoding.plots.brain.brain_map.pack wrote: a JSON header and named arrays in one run of bytes.

const ARRAY_TYPES = { float32: Float32Array, uint32: Uint32Array, uint16: Uint16Array, uint8: Uint8Array };

/** bytes: Uint8Array or ArrayBuffer -> { header, arrays }, arrays by name. They share the bytes' memory where it is aligned. */
export function unpack(bytes) {
  let data = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  if (data.byteOffset % 4) data = data.slice();
  const headerLength = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + headerLength)));
  const start = 4 + headerLength;
  const arrays = {};
  for (const entry of header.arrays) {
    const { name, dtype, offset, length } = entry;
    arrays[name] = dtype === "bits" ? readBits(data.subarray(start + offset), entry)
      : new ARRAY_TYPES[dtype](data.buffer, data.byteOffset + start + offset, length);
  }
  return { header, arrays };
}

/** Numbers of n_bits bits each, the lowest bit first: 0 is NaN, every other code counts steps from the lowest number. */
function readBits(bytes, { length, n_bits: nBits, n_steps: nSteps, lowest }) {
  const numbers = new Float32Array(length).fill(NaN);
  for (let i = 0, place = 0; i < length; i++) {
    let code = 0;
    for (let bit = 0; bit < nBits; bit++, place++) if (bytes[place >> 3] & (1 << (place & 7))) code += 2 ** bit;
    if (code) numbers[i] = (code - 1 + lowest) / nSteps;
  }
  return numbers;
}

/** What one hemisphere's part of a map says of each vertex: { values, ceiling, rois, columns }. NaN and -1: nothing. */
export function spread(arrays, hemi, nVertices) {
  const values = new Float32Array(nVertices).fill(NaN);
  const ceiling = new Float32Array(nVertices).fill(NaN);
  const rois = new Int32Array(nVertices).fill(-1);
  const columns = new Int32Array(nVertices).fill(-1);
  const mask = arrays[`${hemi}.mask`];
  if (!mask) return { values, ceiling, rois, columns };
  const [value, top, set, named] = ["values", "ceiling", "rois", "columns"].map((name) => arrays[`${hemi}.${name}`]);
  let place = 0;
  for (let vertex = 0; vertex < nVertices; vertex++) {
    if (!(mask[vertex >> 3] & (1 << (vertex & 7)))) continue;
    values[vertex] = value[place];
    if (top) ceiling[vertex] = top[place];
    rois[vertex] = set[place];
    columns[vertex] = named ? named[place] : place;
    place++;
  }
  return { values, ceiling, rois, columns };
}
