// The view as a PNG file: the brain, its names, title and colour bar on one plain canvas.

import { hiddenPart, kindColour, labels } from "./overlay.js";

const HEAD = 44, FOOT = 62; // pixels above and below the brain
const KIND_ROOM = 31; // pixels of a kind's colour and the gaps around its name
const SOURCE_SIZE = 11, SOURCE_LINE = 15; // pixels of the line that says where the numbers come from, and from one of its lines to the next

/** canvas: the brain, drawn this instant. words: { title, left, right, source, names: [{ text, x, y }] }. -> Promise of a PNG Blob. */
export function composePicture(canvas, ratio, words, header, colours, style) {
  const width = canvas.width / ratio, height = canvas.height / ratio;
  const picture = document.createElement("canvas");
  picture.width = canvas.width;
  const pen = picture.getContext("2d");
  pen.font = `400 ${SOURCE_SIZE}px ${style.font}`;
  const source = wrapped(pen, words.source, width - 32);
  const below = FOOT + SOURCE_LINE * Math.max(0, kindLines(pen, header, width).length - 3), foot = below + SOURCE_LINE * source.length;
  picture.height = Math.round((height + HEAD + foot) * ratio); // which forgets the font
  pen.scale(ratio, ratio);
  pen.fillStyle = style.background;
  pen.fillRect(0, 0, width, height + HEAD + foot);
  pen.drawImage(canvas, 0, HEAD, width, height);
  pen.textBaseline = "middle";
  const write = (text, x, y, { size = 13, weight = 400, align = "center" } = {}) => {
    pen.font = `${weight} ${size}px ${style.font}`;
    pen.textAlign = align;
    pen.fillText(text, x, y);
  };
  pen.fillStyle = style.text;
  write(words.title, 16, HEAD / 2, { size: 16, weight: 600, align: "left" });
  write(words.left, 24, HEAD + 22, { size: 18, weight: 600 });
  write(words.right, width - 24, HEAD + 22, { size: 18, weight: 600 });
  source.forEach((line, number) => write(line, width - 16, HEAD + height + below + SOURCE_LINE * (number + 0.3), { size: SOURCE_SIZE, align: "right" }));
  if (header.kinds.length) drawKinds(pen, header, colours, width, HEAD + height + 14, style.font);
  else drawBar(pen, write, header, colours, width, HEAD + height + 14);
  for (const { text, x, y } of words.names) {
    pen.lineWidth = 3;
    pen.strokeStyle = "rgb(20 22 26 / 0.75)";
    pen.font = `600 11px ${style.font}`;
    pen.textAlign = "center";
    pen.strokeText(text, x, y + HEAD);
    pen.fillStyle = "white";
    pen.fillText(text, x, y + HEAD);
  }
  return new Promise((resolve) => picture.toBlob(resolve, "image/png"));
}

/** The lines of a text that is broken between its parts, which " · " divides, where it is wider than so many pixels. */
function wrapped(pen, text, width) {
  const lines = [];
  for (const part of text ? text.split(" · ") : []) {
    const longer = lines.length ? `${lines.at(-1)} · ${part}` : part;
    if (lines.length && pen.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  return lines;
}

/** The kinds' numbers, line by line as the width allows. */
function kindLines(pen, { kinds }, width) {
  const lines = [];
  let used = width;
  kinds.forEach((name, number) => {
    const takes = pen.measureText(name).width + KIND_ROOM;
    if (used + takes > width - 32) { lines.push([]); used = 0; }
    lines.at(-1).push({ number, left: used, name });
    used += takes;
    lines.at(-1).width = used;
  });
  return lines;
}

function drawKinds(pen, header, colours, width, top, font) {
  const ink = pen.fillStyle;
  pen.textAlign = "left";
  pen.font = `400 ${SOURCE_SIZE}px ${font}`;
  kindLines(pen, header, width).forEach((line, row) => {
    for (const { number, left, name } of line) {
      const x = (width - line.width) / 2 + left, y = top + SOURCE_LINE * row;
      pen.fillStyle = kindColour(number, header, colours);
      pen.fillRect(x, y, 12, 10);
      pen.fillStyle = ink;
      pen.fillText(name, x + 17, y + 5);
    }
  });
}

function drawBar(pen, write, header, colours, width, top) {
  const length = Math.min(280, width / 2), left = (width - length) / 2;
  for (let x = 0; x < length; x++) {
    const i = Math.round((255 * x) / (length - 1));
    pen.fillStyle = `rgb(${colours[3 * i]} ${colours[3 * i + 1]} ${colours[3 * i + 2]})`;
    pen.fillRect(left + x, top, 1.5, 10);
  }
  const hidden = hiddenPart(header);
  pen.fillStyle = "rgb(190 188 186)";
  if (hidden) pen.fillRect(left + hidden[0] * length, top, (hidden[1] - hidden[0]) * length, 10);
  pen.fillStyle = "rgb(128 128 128)";
  write(header.quantity, left - 12, top + 5, { align: "right" });
  for (const [fraction, text] of labels(header)) write(text, left + length * fraction, top + 24, { size: 12 });
}

/** Hand a file to the person. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
