// A map of photos. File names and labels may hold anything: they are only ever text (textContent).
"use strict";

const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8b5cf6", "#7f7f7f"];
const DOT = 3.5;
const MANY = 5000; // dots on the map, from which on they are squares: 20,000 circles took 78 ms, squares 34
const SMALLEST = 26; // CSS pixels of a picture on the map
const REACH = 14; // from a finger or a pointer to a dot
const STEP = 1.4;
const LISTED = 300;

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const count = data.files.length;
const canvas = $("map");
const context = canvas.getContext("2d");

let sprite = null;
let axes = [0, 1];
let view = { x: 0, y: 0, scale: 1 }; // the place in the middle, and CSS pixels for one unit
let [wide, high] = [0, 0]; // of the map in CSS pixels: asking the canvas for each photo took 20 ms a frame
let whole = 1; // the scale at which all is seen
let kind = null; // what colors tell: { of, names, colors }
let hidden = new Set(); // of the kind's numbers
let matched = null; // Uint8Array of photos that a search or a cluster has chosen; null for all
let selected = -1;
let hovered = -1;
const mixed = (photo) => Math.imul(photo + 1, 0x9e3779b1) >>> 0; // Fibonacci hashing
const order = [...Array(count).keys()].sort((a, b) => mixed(a) - mixed(b)); // or the first class would cover the others
const suspectOf = new Map(data.suspects.map((suspect) => [suspect.photo, suspect]));

// ---- elements

function make(tag, text = "", name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = name;
  return element;
}

function thumbnail(photo) {
  const small = make("canvas");
  small.width = small.height = data.side;
  if (sprite) small.getContext("2d").drawImage(sprite, ...cell(photo), 0, 0, data.side, data.side);
  return small;
}

const cell = (photo) => [(photo % data.columns) * data.side, Math.floor(photo / data.columns) * data.side, data.side, data.side];
const labelOf = (photo) => data.labels[data.label[photo]] ?? "";
const predictedOf = (photo) => data.labels[data.predicted[photo]];
const percent = (share) => `${Math.round(100 * share)} %`;

// ---- what colors tell

const KINDS = {
  label: { title: "label", of: data.label, names: data.labels, none: "no label" },
  predicted: { title: "prediction", of: data.predicted, names: data.labels },
  split: { title: "split", of: data.split, names: data.splits, none: "not of the run" },
  cluster: { title: "cluster", of: data.cluster, names: data.clusters.map((_, number) => `cluster ${number + 1}`) },
};

function colorOf(number) {
  if (number < 0) return "#8a8a8a";
  return PALETTE[number] ?? `hsl(${Math.round(number * 137.508) % 360} 60% ${number % 2 ? 45 : 60}%)`; // golden angle
}

function setKind(name) {
  kind = KINDS[name];
  hidden = new Set();
  showLegend();
  draw();
}

function showLegend() {
  const counts = new Map();
  for (const number of kind.of) counts.set(number, (counts.get(number) ?? 0) + 1);
  const buttons = [...counts.keys()].sort((a, b) => a - b).map((number) => {
    const button = make("button", `${kind.names[number] ?? kind.none} ${counts.get(number)}`);
    const chip = make("i");
    chip.style.background = colorOf(number);
    button.prepend(chip);
    button.setAttribute("aria-pressed", String(!hidden.has(number)));
    button.onclick = () => {
      if (!hidden.delete(number)) hidden.add(number);
      button.setAttribute("aria-pressed", String(!hidden.has(number)));
      draw();
    };
    return button;
  });
  const all = make("button", "show all");
  const none = make("button", "none");
  const set = (numbers) => {
    hidden = new Set(numbers);
    showLegend();
    draw();
  };
  all.onclick = () => set([]);
  none.onclick = () => set(counts.keys());
  $("legend").replaceChildren(...buttons, ...(buttons.length > 2 ? [all, none] : []));
}

const shown = (photo) => !hidden.has(kind.of[photo]);

// ---- the map

const xOf = (photo) => data.places[axes[0]][photo];
const yOf = (photo) => -data.places[axes[1]][photo];
const across = (photo) => (xOf(photo) - view.x) * view.scale + wide / 2;
const down = (photo) => (yOf(photo) - view.y) * view.scale + high / 2;
const pictureSide = () => Math.min(data.side, SMALLEST * Math.sqrt(Math.max(1, view.scale / whole)));

function measure() {
  [wide, high] = [canvas.clientWidth, canvas.clientHeight];
}

/** Moves so that photos are seen; `trim` is the share of them at each end that may lie outside. */
function fit(photos, trim = 0) {
  const ends = [xOf, yOf].map((of) => {
    const sorted = photos.map(of).sort((a, b) => a - b);
    const cut = Math.floor(sorted.length * trim);
    return [sorted[cut], sorted[sorted.length - 1 - cut]];
  });
  const [width, height] = ends.map(([low, high]) => Math.max(high - low, 1e-6));
  const room = 2 * SMALLEST;
  view.x = (ends[0][0] + ends[0][1]) / 2;
  view.y = (ends[1][0] + ends[1][1]) / 2;
  view.scale = Math.min(Math.max(wide - room, 50) / width, Math.max(high - room, 50) / height);
  return view.scale;
}

function showWhole() {
  whole = fit([...Array(count).keys()]);
  draw();
}

function zoom(factor, x = wide / 2, y = high / 2) {
  const scale = Math.min(Math.max(view.scale * factor, whole / 2), whole * 2000);
  const [dx, dy] = [x - wide / 2, y - high / 2];
  view.x += dx / view.scale - dx / scale;
  view.y += dy / view.scale - dy / scale;
  view.scale = scale;
  draw();
}

let asked = false;
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    paint();
  });
}

function paint() {
  const ratio = Math.min(devicePixelRatio, 2);
  if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(high * ratio)) {
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, wide, high);
  const side = pictureSide();
  const inside = [];
  const dots = new Map(); // color -> photos
  for (const photo of order) {
    if (!shown(photo)) continue;
    const [x, y] = [across(photo), down(photo)];
    if (x < -side || y < -side || x > wide + side || y > high + side) continue;
    inside.push(photo);
    const number = matched && !matched[photo] ? "dimmed" : kind.of[photo];
    if (!dots.has(number)) dots.set(number, []);
    dots.get(number).push(photo);
  }
  for (const [number, photos] of dots) {
    context.fillStyle = number === "dimmed" ? "rgb(138 138 138 / 25%)" : colorOf(number);
    if (inside.length > MANY) {
      for (const photo of photos) context.fillRect(across(photo) - 2, down(photo) - 2, 4, 4);
      continue;
    }
    context.beginPath();
    for (const photo of photos) {
      const [x, y] = [across(photo), down(photo)];
      context.moveTo(x + DOT, y);
      context.arc(x, y, DOT, 0, 2 * Math.PI);
    }
    context.fill();
  }
  if ($("pictures").checked && sprite) paintPictures(inside, side);
  if (selected >= 0 && shown(selected)) {
    context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = 1;
    context.beginPath();
    for (const photo of data.neighbours[selected]) {
      context.moveTo(across(selected), down(selected));
      context.lineTo(across(photo), down(photo));
    }
    context.stroke();
  }
  for (const photo of new Set([selected, hovered])) if (photo >= 0 && shown(photo)) paintPicture(photo, Math.max(side, 44), 4);
}

/** As many pictures as there are places for: one in each cell of a grid that moves with the map. */
function paintPictures(photos, side) {
  const pitch = (side * 1.15) / view.scale;
  const taken = new Set();
  for (const photo of photos) {
    if (matched && !matched[photo]) continue;
    const key = `${Math.floor(xOf(photo) / pitch)} ${Math.floor(yOf(photo) / pitch)}`;
    if (taken.has(key)) continue;
    taken.add(key);
    paintPicture(photo, side, 2);
  }
}

function paintPicture(photo, side, edge) {
  const [x, y] = [across(photo) - side / 2, down(photo) - side / 2];
  context.fillStyle = colorOf(kind.of[photo]);
  context.fillRect(x - edge, y - edge, side + 2 * edge, side + 2 * edge);
  if (sprite) context.drawImage(sprite, ...cell(photo), x, y, side, side);
}

/** The photo under a point, or -1. */
function under(x, y) {
  let [best, distance] = [-1, Math.max(REACH, pictureSide() / 2)];
  for (let photo = 0; photo < count; photo++) {
    if (!shown(photo) || (matched && !matched[photo])) continue;
    const apart = Math.hypot(across(photo) - x, down(photo) - y);
    if (apart < distance) [best, distance] = [photo, apart];
  }
  return best;
}

// ---- one photo

function select(photo, go = false) {
  selected = photo;
  if (photo >= 0 && !shown(photo)) {
    hidden.delete(kind.of[photo]);
    showLegend();
  }
  if (go) {
    [view.x, view.y] = [xOf(photo), yOf(photo)];
    view.scale = Math.max(view.scale, whole * 6);
    $("stage").scrollIntoView({ block: "nearest" });
  } else if (photo >= 0 && (across(photo) < 0 || down(photo) < 0 || across(photo) > wide || down(photo) > high)) {
    [view.x, view.y] = [xOf(photo), yOf(photo)];
  }
  $("told").textContent = photo < 0 ? "" : describe(photo).join(", ");
  showPhoto();
  draw();
}

function hover(photo) {
  if (photo === hovered) return;
  hovered = photo;
  showPhoto();
  draw();
}

function describe(photo) {
  const label = labelOf(photo);
  const split = data.splits[data.split[photo]];
  const said = `taken for ${predictedOf(photo)}, ${percent(data.score[photo])}`;
  return [label ? `labeled ${label}` : "no label", said, split ? `${split} photo` : "not of the run"];
}

function showPhoto() {
  const photo = hovered >= 0 ? hovered : selected;
  if (photo < 0) return $("photo").replaceChildren(make("p", "Point at a photo, or tap it.", "hint"));
  const [label, said, split] = describe(photo);
  const words = make("div");
  const strong = make("p");
  strong.append(make("b", label));
  words.append(strong, make("p", said), make("p", split));
  const suspect = suspectOf.get(photo);
  if (suspect) words.append(make("p", `${percent(suspect.share)} of its neighbors: ${data.labels[suspect.label]}`, "warns"));
  words.append(make("p", data.files[photo], "file"));
  const facts = make("div", "", "facts");
  facts.append(thumbnail(photo), words);
  const near = make("div", "", "near");
  near.append(...data.neighbours[photo].map((other) => {
    const button = make("button");
    button.style.borderColor = colorOf(kind.of[other]);
    const picture = thumbnail(other);
    picture.style.width = picture.style.height = "2.9rem";
    button.append(picture);
    button.title = [...describe(other), data.files[other]].join("\n");
    button.setAttribute("aria-label", describe(other).join(", "));
    button.onclick = () => {
      hovered = -1;
      select(other);
    };
    return button;
  }));
  $("photo").replaceChildren(facts, make("h3", "Nearest, in all dimensions"), near);
}

// ---- choosing many

function choose(photos, text) {
  matched = photos && Uint8Array.from({ length: count }, (_, photo) => Number(photos.has(photo)));
  $("chosen").textContent = text;
  if (photos) {
    const clear = make("button", "clear");
    clear.onclick = clearChoice;
    $("chosen").append(clear);
  }
  draw();
}

function clearChoice() {
  $("search").value = "";
  choose(null, "");
}

function search() {
  const wanted = $("search").value.trim().toLowerCase();
  if (!wanted) return choose(null, "");
  const found = new Set();
  for (let photo = 0; photo < count; photo++) {
    if (data.files[photo].toLowerCase().includes(wanted) || labelOf(photo).toLowerCase().includes(wanted)) found.add(photo);
  }
  choose(found, `${found.size} of ${count} photos`);
}

function item(photo, ...texts) {
  const button = make("button");
  const words = make("span");
  const [first, ...others] = texts;
  words.append(make("b", first), ...others.flatMap((text) => [make("br"), make("small", text)]));
  button.append(thumbnail(photo), words);
  return button;
}

function showLists() {
  const listed = data.suspects.slice(0, LISTED);
  const more = data.suspects.length > LISTED ? ` The first ${LISTED}:` : "";
  $("about-suspects").textContent = !data.label.some((label) => label >= 0) ? "These photos have no labels."
    : !listed.length ? "None: no photo has mostly neighbors of one other label."
      : `${data.suspects.length} photos have mostly neighbors of one other label. Wrong label, or hard to tell?${more}`;
  $("suspects").replaceChildren(...listed.map(({ photo, label, share }) => {
    const button = item(photo, labelOf(photo), `${percent(share)} of the neighbors: ${data.labels[label]}`, describe(photo)[1]);
    button.onclick = () => select(photo, true);
    return button;
  }));
  $("about-clusters").textContent = "Groups of photos that lie together, found without labels.";
  $("clusters").replaceChildren(...data.clusters.map((cluster, number) => {
    const members = [];
    for (let photo = 0; photo < count; photo++) if (data.cluster[photo] === number) members.push(photo);
    const parts = cluster.labels.map(([label, share]) => `${percent(share)} ${data.labels[label]}`).join(", ");
    const button = item(cluster.middle, `${members.length} photos`, parts);
    button.onclick = () => {
      $("search").value = "";
      fit(members, 0.02);
      $("stage").scrollIntoView({ block: "nearest" });
      choose(new Set(members), `cluster ${number + 1}: ${members.length} photos`);
    };
    return button;
  }));
}

// ---- hands

const pointers = new Map();
let traveled = 0;

canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  if (!pointers.size) traveled = 0;
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
};

canvas.onpointermove = (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return hover(under(event.offsetX, event.offsetY));
  const now = [event.offsetX, event.offsetY];
  traveled += Math.hypot(now[0] - before[0], now[1] - before[1]);
  view.x -= (now[0] - before[0]) / pointers.size / view.scale;
  view.y -= (now[1] - before[1]) / pointers.size / view.scale;
  for (const [id, other] of pointers) {
    if (id === event.pointerId) continue;
    const distance = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
    zoom(Math.max(distance(now), 1) / Math.max(distance(before), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }
  pointers.set(event.pointerId, now);
  draw();
};

canvas.onpointerup = (event) => {
  if (pointers.size === 1 && traveled < 6) {
    hovered = -1;
    select(under(event.offsetX, event.offsetY));
  }
  pointers.delete(event.pointerId);
};
canvas.onpointercancel = (event) => pointers.delete(event.pointerId);
canvas.onpointerleave = () => hover(-1);

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
}, { passive: false });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  if (arrow && event.shiftKey) {
    view.x += (arrow[0] * wide) / 6 / view.scale;
    view.y += (arrow[1] * high) / 6 / view.scale;
  } else if (arrow) step(...arrow);
  else if (event.key === "+" || event.key === "=") zoom(STEP);
  else if (event.key === "-") zoom(1 / STEP);
  else if (event.key === "0") showWhole();
  else if (event.key === "Escape") select(-1);
  else return;
  event.preventDefault();
  draw();
};

/** Selects the nearest photo in a direction, within 45 degrees; the one in the middle if none is selected. */
function step(right, low) {
  const [x, y] = selected >= 0 ? [across(selected), down(selected)] : [wide / 2, high / 2];
  let [best, distance] = [-1, Infinity];
  for (let photo = 0; photo < count; photo++) {
    if (photo === selected || !shown(photo) || (matched && !matched[photo])) continue;
    const [dx, dy] = [across(photo) - x, down(photo) - y];
    const ahead = dx * right + dy * low;
    const apart = Math.hypot(dx, dy);
    if (selected >= 0 && (ahead <= 0 || ahead < apart * Math.SQRT1_2)) continue;
    if (apart < distance) [best, distance] = [photo, apart];
  }
  if (best >= 0) select(best);
}

// ---- beginning

async function begin() {
  for (const [name, { title, of }] of Object.entries(KINDS)) {
    if (of.some((number) => number !== of[0])) $("color").append(new Option(title, name));
  }
  if (!$("color").options.length) $("color").append(new Option("label", "label"));
  $("color").onchange = () => setKind($("color").value);
  data.places.forEach((_, second) => {
    for (let first = 0; first < second; first++) $("axes").append(new Option(`${first + 1} and ${second + 1}`, `${first} ${second}`));
  });
  $("choose-axes").hidden = data.places.length < 3;
  $("axes").onchange = () => {
    axes = $("axes").value.split(" ").map(Number);
    showWhole();
  };
  $("pictures").onchange = draw;
  $("search").oninput = search;
  $("search").onkeydown = (event) => {
    if (event.key === "Enter" && matched?.includes(1)) select(matched.indexOf(1), true);
    if (event.key === "Escape") clearChoice();
  };
  $("nearer").onclick = () => zoom(STEP);
  $("farther").onclick = () => zoom(1 / STEP);
  $("whole").onclick = showWhole;
  measure();
  setKind($("color").value);
  showWhole();
  new ResizeObserver(() => {
    measure();
    draw();
  }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  try {
    await $("sprite").decode();
    sprite = await createImageBitmap($("sprite"));
  } catch {
    $("chosen").textContent = "This browser could not decode the pictures; the map has dots only.";
  }
  showLists();
  showPhoto();
  draw();
  document.body.dataset.ready = "yes";
}

begin();
