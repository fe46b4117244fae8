// Geometry on the CPU: normals, extents, borders of ROIs, and what lies under a pixel.

import { project } from "./camera.js";

/** One hemisphere on one surface, ready to draw: { positions, normals, faces, sulcalDepth, centre, halfExtent, flat }. */
export function makeMesh(arrays, hemi, surface) {
  const positions = arrays[`${hemi}.${surface}`];
  const flat = surface === "flat";
  const faces = arrays[flat ? `${hemi}.flat_faces` : `${hemi}.faces`];
  const { centre, halfExtent } = extent(positions, faces);
  const mesh = { positions, faces, flat, centre, halfExtent, nVertices: positions.length / 3 };
  return { ...mesh, normals: smoothNormals(positions, faces), sulcalDepth: arrays[`${hemi}.sulcal_depth`] };
}

/** The box around the vertices that triangles use. */
function extent(positions, faces) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const vertex of faces) {
    for (let axis = 0; axis < 3; axis++) {
      const value = positions[3 * vertex + axis];
      if (value < low[axis]) low[axis] = value;
      if (value > high[axis]) high[axis] = value;
    }
  }
  return { centre: low.map((value, axis) => (value + high[axis]) / 2), halfExtent: low.map((value, axis) => (high[axis] - value) / 2) };
}

/** The sum of the normals of each vertex's triangles, weighted by their areas; not of unit length. */
function smoothNormals(positions, faces) {
  const normals = new Float32Array(positions.length);
  for (let i = 0; i < faces.length; i += 3) {
    const a = 3 * faces[i], b = 3 * faces[i + 1], c = 3 * faces[i + 2];
    const ux = positions[b] - positions[a], uy = positions[b + 1] - positions[a + 1], uz = positions[b + 2] - positions[a + 2];
    const vx = positions[c] - positions[a], vy = positions[c + 1] - positions[a + 1], vz = positions[c + 2] - positions[a + 2];
    for (const corner of [a, b, c]) {
      normals[corner] += uy * vz - uz * vy;
      normals[corner + 1] += uz * vx - ux * vz;
      normals[corner + 2] += ux * vy - uy * vx;
    }
  }
  return normals;
}

/** Where in faces the triangles begin whose corners have different numbers. numbers: one for each vertex. */
export function mixedFaces(faces, numbers) {
  const mixed = [];
  for (let i = 0; i < faces.length; i += 3) {
    const number = numbers[faces[i]];
    if (number !== numbers[faces[i + 1]] || number !== numbers[faces[i + 2]]) mixed.push(i);
  }
  return mixed;
}

/**
 * The border of a set of vertices as flat [x y z, x y z] segments: in each triangle that it crosses, from the middle of one
 * crossed edge to the middle of the other (encoding.surface.outline in Python). inside: Uint8Array, 1 for its vertices;
 * places: where in faces the triangles begin that it may cross.
 */
export function outline(mesh, inside, places) {
  const { faces, positions } = mesh;
  const segments = [];
  const addMiddle = (one, other) => {
    for (let axis = 0; axis < 3; axis++) segments.push((positions[3 * one + axis] + positions[3 * other + axis]) / 2);
  };
  for (const i of places) {
    const count = inside[faces[i]] + inside[faces[i + 1]] + inside[faces[i + 2]];
    if (count === 0 || count === 3) continue;
    const isLone = count === 1 ? 1 : 0;
    const lone = inside[faces[i]] === isLone ? 0 : inside[faces[i + 1]] === isLone ? 1 : 2;
    const [corner, next, last] = [0, 1, 2].map((step) => faces[i + (lone + step) % 3]);
    addMiddle(corner, next);
    addMiddle(corner, last);
  }
  return segments;
}

/** The member vertex nearest to the members' mean: where an ROI's name is written. -1 for an empty ROI. */
export function middleOf(mesh, members) {
  const mean = [0, 1, 2].map((axis) => members.reduce((sum, vertex) => sum + mesh.positions[3 * vertex + axis], 0) / members.length);
  let nearest = -1, best = Infinity;
  for (const vertex of members) {
    const distance = Math.hypot(...mean.map((value, axis) => mesh.positions[3 * vertex + axis] - value));
    if (distance < best) [nearest, best] = [vertex, distance];
  }
  return nearest;
}

/** Every vertex as the camera sees it: Float32Array of x, y (pixels) and height towards the eye (mm). */
export function projectAll(mesh, place) {
  const seen = new Float32Array(mesh.positions.length);
  for (let i = 0; i < seen.length; i += 3) {
    const point = project(place, mesh.positions[i], mesh.positions[i + 1], mesh.positions[i + 2]);
    seen[i] = point[0]; seen[i + 1] = point[1]; seen[i + 2] = point[2];
  }
  return seen;
}

/** The surface under a pixel: { vertex, height } with the nearest corner of the front-most triangle there; null beside the brain. */
export function surfaceAt(faces, seen, x, y) {
  let found = null, height = -Infinity;
  for (let i = 0; i < faces.length; i += 3) {
    const a = 3 * faces[i], b = 3 * faces[i + 1], c = 3 * faces[i + 2];
    const ax = seen[a] - x, bx = seen[b] - x, cx = seen[c] - x;
    if ((ax > 0 && bx > 0 && cx > 0) || (ax < 0 && bx < 0 && cx < 0)) continue;
    const ay = seen[a + 1] - y, by = seen[b + 1] - y, cy = seen[c + 1] - y;
    const alpha = bx * cy - cx * by, beta = cx * ay - ax * cy, gamma = ax * by - bx * ay;
    const inside = (alpha >= 0 && beta >= 0 && gamma >= 0) || (alpha <= 0 && beta <= 0 && gamma <= 0);
    const area = alpha + beta + gamma;
    if (!inside || area === 0) continue;
    const here = (alpha * seen[a + 2] + beta * seen[b + 2] + gamma * seen[c + 2]) / area;
    if (here <= height) continue;
    height = here;
    const corners = [[a, ax * ax + ay * ay], [b, bx * bx + by * by], [c, cx * cx + cy * cy]];
    found = corners.reduce((near, corner) => (corner[1] < near[1] ? corner : near))[0] / 3;
  }
  return found === null ? null : { vertex: found, height };
}
