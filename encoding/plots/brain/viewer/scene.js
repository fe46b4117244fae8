// Drawing with WebGL2: the cortex with its colours, and the borders of ROIs as lines of a width in pixels.
// Colour range, threshold and colour table are the GPU's business; a change of them moves no vertex data.

import { DEPTH } from "./camera.js";

const CORTEX_VERTEX = `#version 300 es
in vec3 position; in vec3 normal; in float value; in float sulcalDepth;
uniform mat4 clipFromMesh; uniform mat3 viewFromMesh;
out vec3 facing; out float shownValue; flat out float ownValue; out float known; out float depth;
void main() {
  gl_Position = clipFromMesh * vec4(position, 1.0);
  facing = viewFromMesh * normal;
  known = isnan(value) ? 0.0 : 1.0;
  shownValue = isnan(value) ? 0.0 : value;
  ownValue = isnan(value) ? -1e9 : value;
  depth = sulcalDepth;
}`;

// Between a vertex with data and one without, the colour reaches half way, which is where an outline runs. Between two kinds there is
// nothing: a triangle takes the kind of its last vertex.
const CORTEX_FRAGMENT = `#version 300 es
precision highp float;
in vec3 facing; in float shownValue; flat in float ownValue; in float known; in float depth;
uniform sampler2D colours; uniform vec2 range; uniform float threshold; uniform bool hideAbove; uniform bool diverging; uniform bool kinds; uniform float shading;
out vec4 colour;
const vec3 GYRUS = vec3(0.83, 0.82, 0.81), SULCUS = vec3(0.64, 0.63, 0.62);
const vec3 KEY_LIGHT = normalize(vec3(0.0, 0.5, 1.0)); // from straight above the eye, so that left and right look alike
float edge(float limit, float x) { float w = max(fwidth(x), 1e-5) * 0.7; return smoothstep(limit - w, limit + w, x); }
void main() {
  vec3 cortex = mix(GYRUS, SULCUS, edge(0.0, depth));
  float value = shownValue / max(known, 1e-3);
  if (kinds) value = ownValue > -1e8 ? ownValue : floor(value + 0.5);
  float t = clamp((value - range.x) / (range.y - range.x), 0.0, 1.0);
  vec3 data = texture(colours, vec2((t * 255.0 + 0.5) / 256.0, 0.5)).rgb;
  float opacity = edge(0.5, known);
  float beyond = edge(threshold, diverging && !hideAbove ? abs(value) : value);
  if (threshold > 0.0) opacity *= hideAbove ? 1.0 - beyond : beyond;
  vec3 n = normalize(facing);
  float light = mix(1.0, 0.55 + 0.33 * max(dot(n, KEY_LIGHT), 0.0) + 0.14 * max(n.z, 0.0), shading);
  float gloss = 0.06 * shading * pow(max(dot(n, normalize(KEY_LIGHT + vec3(0.0, 0.0, 1.0))), 0.0), 24.0);
  colour = vec4(mix(cortex, data, opacity) * light + gloss, 1.0);
}`;

// Each segment is a rectangle of four corners, made here from its two ends. All corners are vertices of one draw: drawn as instances,
// a thousand segments cost a processor without a GPU as much as the cortex.
const LINE_VERTEX = `#version 300 es
in vec3 start; in vec3 stop; in float chosen;
uniform mat4 clipFromMesh; uniform vec2 pixels; uniform float casing; uniform float lift;
flat out float isChosen;
void main() {
  vec4 a = clipFromMesh * vec4(start, 1.0), b = clipFromMesh * vec4(stop, 1.0);
  vec2 along = (b.xy - a.xy) * pixels;
  along = length(along) > 1e-6 ? normalize(along) : vec2(1.0, 0.0);
  vec2 across = vec2(-along.y, along.x);
  float halfWidth = (chosen > 0.5 ? 1.5 : 0.8) + casing;
  bool atStop = (gl_VertexID & 2) != 0;
  float side = (gl_VertexID & 1) != 0 ? 1.0 : -1.0;
  vec4 end = atStop ? b : a;
  vec2 offset = (across * side + along * (atStop ? 0.5 : -0.5)) * halfWidth;
  gl_Position = end + vec4(offset * 2.0 / pixels, -lift, 0.0);
  isChosen = chosen;
}`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
flat in float isChosen; uniform float casing; out vec4 colour;
void main() { colour = casing > 0.0 ? vec4(0.08, 0.09, 0.11, 1.0) : isChosen > 0.5 ? vec4(0.10, 0.90, 1.0, 1.0) : vec4(0.98, 0.98, 0.97, 1.0); }`;

function program(gl, vertexSource, fragmentSource, attributes) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
    gl.deleteShader(shader); // it lives on in the program
  }
  attributes.forEach((name, place) => gl.bindAttribLocation(made, place, name));
  gl.linkProgram(made);
  const uniforms = new Proxy({}, { get: (known, name) => (known[name] ??= gl.getUniformLocation(made, name)) });
  return { program: made, uniforms };
}

/** Everything that one canvas holds on the GPU. Made anew when a lost context comes back. */
export function createScene(gl) {
  const cortex = program(gl, CORTEX_VERTEX, CORTEX_FRAGMENT, ["position", "normal", "value", "sulcalDepth"]);
  const line = program(gl, LINE_VERTEX, LINE_FRAGMENT, ["start", "stop", "chosen"]);
  const colours = gl.createTexture();
  const hemispheres = {};
  gl.enable(gl.DEPTH_TEST);
  gl.depthFunc(gl.LEQUAL);

  function attribute(place, size, buffer, stride = 0, offset = 0) {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, gl.FLOAT, false, stride, offset);
  }

  function hemisphere(hemi) {
    if (hemispheres[hemi]) return hemispheres[hemi];
    const buffers = Object.fromEntries(["position", "normal", "value", "sulcalDepth", "faces", "lines", "rectangles"].map((name) => [name, gl.createBuffer()]));
    const made = { buffers, cortex: gl.createVertexArray(), lines: gl.createVertexArray(), nLines: 0, nCorners: 0 };
    gl.bindVertexArray(made.cortex);
    [["position", 3], ["normal", 3], ["value", 1], ["sulcalDepth", 1]].forEach(([name, size], place) => attribute(place, size, buffers[name]));
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.faces);
    gl.bindVertexArray(made.lines);
    [[3, 0], [3, 12], [1, 24]].forEach(([size, offset], place) => attribute(place, size, buffers.lines, 28, offset));
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.rectangles);
    gl.bindVertexArray(null);
    return (hemispheres[hemi] = made);
  }

  function upload(buffer, data, usage) {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, usage);
  }

  return {
    setMesh(hemi, mesh) {
      const { buffers, cortex: vertexArray } = hemisphere(hemi);
      upload(buffers.position, mesh.positions, gl.STATIC_DRAW);
      upload(buffers.normal, mesh.normals, gl.STATIC_DRAW);
      upload(buffers.sulcalDepth, mesh.sulcalDepth, gl.STATIC_DRAW);
      gl.bindVertexArray(vertexArray); // a vertex array remembers its element buffer
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.faces);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.faces, gl.STATIC_DRAW);
      gl.bindVertexArray(null);
      hemispheres[hemi].nCorners = mesh.faces.length;
      hemispheres[hemi].numbers = mesh.faces instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    },
    setValues(hemi, values) {
      upload(hemisphere(hemi).buffers.value, values, gl.DYNAMIC_DRAW);
    },
    /** segments: seven numbers each, start, stop and whether it belongs to the chosen ROI. */
    setLines(hemi, segments) {
      const { buffers, lines } = hemisphere(hemi);
      const n = segments.length / 7, corners = new Float32Array(28 * n), rectangles = new Uint32Array(6 * n);
      for (let i = 0; i < n; i++) {
        const segment = segments.slice(7 * i, 7 * i + 7);
        for (let corner = 0; corner < 4; corner++) corners.set(segment, 28 * i + 7 * corner);
        rectangles.set([0, 1, 2, 2, 1, 3].map((corner) => 4 * i + corner), 6 * i);
      }
      upload(buffers.lines, corners, gl.DYNAMIC_DRAW);
      gl.bindVertexArray(lines);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.rectangles);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, rectangles, gl.DYNAMIC_DRAW);
      gl.bindVertexArray(null);
      hemispheres[hemi].nLines = n;
    },
    /** table: 256 x 3 bytes. */
    setColours(table) {
      const rgba = new Uint8Array(1024).fill(255);
      for (let i = 0; i < 256; i++) rgba.set(table.subarray(3 * i, 3 * i + 3), 4 * i);
      gl.bindTexture(gl.TEXTURE_2D, colours);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
      for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.LINEAR);
      for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    },
    clear() {
      gl.disable(gl.SCISSOR_TEST);
      gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    },
    /** Draw one hemisphere into its half of the picture. look: { clip, axes, side, range, threshold, hideAbove, diverging, kinds, flat, ratio }. */
    draw(hemi, look) {
      const { cortex: vertexArray, lines, nLines, nCorners, numbers } = hemisphere(hemi);
      const middle = Math.round(gl.drawingBufferWidth / 2);
      gl.enable(gl.SCISSOR_TEST);
      gl.scissor(look.side < 0 ? 0 : middle, 0, look.side < 0 ? middle : gl.drawingBufferWidth - middle, gl.drawingBufferHeight);
      gl.useProgram(cortex.program);
      gl.bindTexture(gl.TEXTURE_2D, colours);
      gl.uniformMatrix4fv(cortex.uniforms.clipFromMesh, false, look.clip);
      const { right, up, towards } = look.axes;
      gl.uniformMatrix3fv(cortex.uniforms.viewFromMesh, false, [0, 1, 2].flatMap((axis) => [right[axis], up[axis], towards[axis]]));
      gl.uniform2f(cortex.uniforms.range, ...look.range);
      gl.uniform1f(cortex.uniforms.threshold, look.threshold);
      gl.uniform1i(cortex.uniforms.hideAbove, look.hideAbove ? 1 : 0);
      gl.uniform1i(cortex.uniforms.diverging, look.diverging ? 1 : 0);
      gl.uniform1i(cortex.uniforms.kinds, look.kinds.length ? 1 : 0);
      gl.uniform1f(cortex.uniforms.shading, look.flat ? 0 : 1);
      gl.bindVertexArray(vertexArray);
      if (!look.flat) gl.enable(gl.CULL_FACE); // a closed surface hides its inside; the flat map has none
      gl.drawElements(gl.TRIANGLES, nCorners, numbers, 0);
      gl.disable(gl.CULL_FACE);
      if (!nLines) return;
      gl.useProgram(line.program);
      gl.uniformMatrix4fv(line.uniforms.clipFromMesh, false, look.clip);
      gl.uniform2f(line.uniforms.pixels, gl.drawingBufferWidth / look.ratio, gl.drawingBufferHeight / look.ratio);
      gl.bindVertexArray(lines);
      for (const [casing, lift] of [[1, 1 / DEPTH], [0, 1.5 / DEPTH]]) { // a dark casing, then the line a little above it
        gl.uniform1f(line.uniforms.casing, casing);
        gl.uniform1f(line.uniforms.lift, lift);
        gl.drawElements(gl.TRIANGLES, 6 * nLines, gl.UNSIGNED_INT, 0);
      }
      gl.bindVertexArray(null);
    },
  };
}
