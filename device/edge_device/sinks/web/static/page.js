// The live page. Text from the device is only ever text (textContent): a label may hold anything.
"use strict";

const SILENT_S = 4; // an update comes every second at least
const OLD_PICTURE_S = 3;
const WINDOW_S = 120;
const SAMPLE_S = 0.5;
const LINES = 6;
const NOTABLE = 0.1;

const $ = (id) => document.getElementById(id);
const seconds = () => performance.now() / 1000;

const told = { heard: null, results: null, state: null, refused: "" };
const picture = { bitmap: null, taken: null };
const history = new Map(); // zone -> [{at, scores}], oldest first
let watching = null; // aborts what is open

// ---- connection

function listen(signal) {
  const source = new EventSource(at("api/events"));
  signal.addEventListener("abort", () => source.close());
  const on = (name, take) => source.addEventListener(name, (message) => take(JSON.parse(message.data)));
  on("history", (zones) => {
    history.clear();
    for (const [zone, samples] of Object.entries(zones)) {
      history.set(zone, samples.map(([age, scores]) => ({ at: seconds() - age, scores })));
    }
  });
  on("state", (state) => {
    announce(told.state, state);
    told.state = state;
    showState();
  });
  on("results", (results) => {
    told.heard = seconds();
    told.refused = "";
    told.results = results;
    remember(results);
    showResults();
    showHealth();
  });
  source.onerror = async () => {
    if (source.readyState !== EventSource.CLOSED || signal.aborted) return; // else it tries again by itself
    try {
      const answer = await fetch(at("healthz"), { signal });
      told.refused = answer.status === 401 ? "the token is no longer valid: open the address that edge-run printed"
        : answer.status === 429 ? "too many wrong tokens" : "too many clients, or it is starting";
    } catch { /* unreachable: the age says it */ }
    if (!signal.aborted) setTimeout(() => signal.aborted || listen(signal), 5000);
  };
}

async function watch(signal) {
  while (!signal.aborted) {
    try {
      const answer = await fetch(at("stream.mjpg"), { signal });
      if (answer.ok) await readParts(answer.body.getReader());
    } catch { /* tried again below; the age of the picture tells */ }
    await new Promise((resume) => setTimeout(resume, 2000));
  }
}

async function readParts(reader) {
  let bytes = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const longer = new Uint8Array(bytes.length + value.length);
    longer.set(bytes);
    longer.set(value, bytes.length);
    bytes = longer;
    for (;;) {
      const text = new TextDecoder("latin1").decode(bytes.subarray(0, 500));
      const end = text.indexOf("\r\n\r\n");
      const length = /Content-Length: (\d+)/.exec(text);
      if (end < 0 || !length || bytes.length < end + 4 + Number(length[1])) break;
      const body = bytes.slice(end + 4, end + 4 + Number(length[1]));
      bytes = bytes.slice(end + 4 + body.length);
      const age = /X-Age-Ms: (\d+)/.exec(text);
      const bitmap = await createImageBitmap(new Blob([body], { type: "image/jpeg" }));
      picture.bitmap?.close();
      picture.bitmap = bitmap;
      picture.taken = seconds() - (age ? Number(age[1]) / 1000 : 0);
      drawPicture();
      showHealth();
    }
  }
}

// A page that nobody sees costs the device nothing.
function follow() {
  watching?.abort();
  watching = null;
  if (document.visibilityState !== "visible") return;
  watching = new AbortController();
  listen(watching.signal);
  watch(watching.signal);
}

// ---- helpers

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const percent = (score) => (score === null ? "–" : `${(100 * score).toFixed(score < 0.0995 ? 1 : 0)} %`);
const number = (value, digits = 0) =>
  typeof value !== "number" ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const clock = (time) => new Date(1000 * time).toLocaleTimeString([], { hour12: false });

function duration(s) {
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

function fillPairs(list, pairs) {
  list.replaceChildren(...pairs.filter(([, value]) => value).map(([name, value, wide]) => {
    const div = make("div", undefined, wide ? { class: "wide" } : {});
    div.append(make("dt", name), make("dd", value));
    return div;
  }));
}

const says = (result) => {
  if (!result.top.length) return { label: "nothing to see", score: null };
  const foreign = result.known === false ? { label: null, score: null } : null;
  const best = result.decision ?? foreign ?? result.top[0] ?? { label: "–", score: null };
  return best.label === null ? { ...best, label: "unknown" } : best;
};

// Zone, and number of the subject that is followed, as far as there are any.
const named = (result) => [result.zone, result.track ? `#${result.track}` : ""].filter(Boolean).join(" ");

// ---- health: a frozen picture must not look alive

function condition() {
  const silent = told.heard === null ? null : seconds() - told.heard;
  if (told.refused) return { level: "bad", text: `Not connected: ${told.refused}`, live: false };
  if (silent === null) return { level: "bad", text: "Connecting…", live: false };
  if (silent > SILENT_S) return { level: "bad", text: `No connection for ${duration(silent)}`, live: false };
  const health = told.results.health;
  return { level: levelOf(health), text: STATES[health.state], live: health.state === "live", reason: health.reason };
}

function showHealth() {
  const now = condition();
  const pill = $("pill");
  if (pill.textContent !== now.text) pill.textContent = now.text;
  pill.dataset.level = now.level;
  const age = picture.taken === null ? null : seconds() - picture.taken;
  const empty = picture.bitmap === null;
  const stale = !empty && (!now.live || (age > OLD_PICTURE_S && age > 3 * (told.results?.frame_age_s ?? 0) + 1));
  $("view").classList.toggle("empty", empty);
  $("view").classList.toggle("stale", stale);
  const why = now.live ? "" : ` — ${now.text.toLowerCase()}`;
  const veil = empty ? (now.live ? "Waiting for a picture" : now.reason || now.text) : `Picture of ${duration(age)} ago${why}`;
  if ((empty || stale) && $("veil").textContent !== veil) $("veil").textContent = veil;
  document.querySelectorAll("#zones .zone").forEach((zone) => zone.classList.toggle("old", !now.live));
  const silent = told.heard === null || seconds() - told.heard > SILENT_S;
  for (const id of ["figures", "latency", "bar"]) $(id).classList.toggle("old", silent);
}

// ---- results

function remember({ results }) {
  for (const result of results) {
    if (result.age_s > 1) continue; // an old result told again
    const samples = history.get(result.zone ?? "") ?? [];
    history.set(result.zone ?? "", samples);
    const at = seconds() - result.age_s;
    if (samples.length && at - samples.at(-1).at < SAMPLE_S) continue;
    samples.push({ at, scores: Object.fromEntries(result.top.map((best) => [best.label, best.score])) });
    while (samples.length && samples[0].at < seconds() - WINDOW_S - 1) samples.shift();
  }
}

function showResults() {
  const zones = $("zones");
  const results = told.results.results;
  while (zones.children.length > results.length) zones.lastChild.remove();
  results.forEach((result, index) => {
    const card = zones.children[index] ?? zones.appendChild(newZone());
    const best = says(result);
    const [name, line, list] = card.children;
    name.textContent = named(result) || "Whole frame";
    line.firstChild.textContent = `${best.label} `;
    line.lastChild.textContent = percent(best.score);
    while (list.children.length > result.top.length) list.lastChild.remove();
    result.top.forEach((one, place) => {
      const row = list.children[place] ?? list.appendChild(newRow());
      row.children[0].textContent = one.label;
      row.children[1].firstChild.style.width = `${100 * (one.score ?? 0)}%`;
      row.children[2].textContent = percent(one.score);
    });
  });
  const spoken = results.map((result) => `${named(result) ? `${named(result)}: ` : ""}${says(result).label}`).join(", ");
  if (picture.bitmap && $("picture").getAttribute("aria-label") !== spoken) $("picture").setAttribute("aria-label", spoken);
  chooseZones([...new Set(results.map((result) => result.zone ?? ""))]);
  drawPicture(); // its labels with it
}

function newZone() {
  const card = make("div", undefined, { class: "zone" });
  const line = make("p", undefined, { class: "says" });
  line.append(document.createTextNode(""), make("small"));
  card.append(make("h3"), line, make("ol"));
  return card;
}

function newRow() {
  const row = make("li");
  const bar = make("span", undefined, { class: "score" });
  bar.append(make("i"));
  row.append(make("span"), bar, make("span"));
  return row;
}

function chooseZones(names) {
  const select = $("zone");
  $("choose").hidden = names.length < 2;
  if ([...select.options].map((one) => one.value).join("\n") === names.join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => make("option", name || "Whole frame", { value: name })));
  if (names.includes(chosen)) select.value = chosen;
}

// ---- drawing

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function fitted(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return pen;
}

function drawPicture() {
  const { bitmap } = picture;
  if (!bitmap) return;
  const width = $("view").clientWidth;
  const height = (width * bitmap.height) / bitmap.width;
  const pen = fitted($("picture"), width, height);
  pen.drawImage(bitmap, 0, 0, width, height);
  for (const result of told.results?.results ?? []) {
    const box = result.box ?? told.state?.zones[result.zone ?? ""];
    const [x, y, w, h] = (box ?? [0, 0, 1, 1]).map((part, index) => part * (index % 2 ? height : width));
    if (box) {
      pen.lineWidth = 4;
      pen.strokeStyle = "rgb(0 0 0 / 60%)";
      pen.strokeRect(x, y, w, h);
      pen.lineWidth = 2;
      pen.strokeStyle = "#fff";
      pen.strokeRect(x, y, w, h);
    }
    const best = says(result);
    const score = best.score === null ? "" : ` ${percent(best.score)}`;
    const text = `${named(result) ? `${named(result)}: ` : ""}${best.label}${score}`;
    pen.font = "600 14px system-ui, sans-serif";
    const room = Math.max(60, width - x - 12);
    const wide = Math.min(pen.measureText(text).width, room - 12);
    // Above a subject, where there is room: its head is at the top of its box.
    const above = result.track && y >= 24 ? y - 24 : y;
    const top = box ? Math.min(Math.max(0, above), height - 24) : height - 30;
    const left = box ? x : 6;
    pen.fillStyle = "rgb(0 0 0 / 72%)";
    pen.fillRect(left, top, wide + 12, 24);
    pen.fillStyle = "#fff";
    pen.textBaseline = "middle";
    pen.fillText(text, left + 6, top + 12.5, wide);
  }
}

function drawChart() {
  const canvas = $("chart");
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const pen = fitted(canvas, width, height);
  const [left, right, top, bottom] = [48, width - 6, 8, height - 20];
  const now = seconds();
  const x = (at) => right - ((now - at) / WINDOW_S) * (right - left);
  const y = (score) => bottom - score * (bottom - top);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = color("--quiet");
  pen.strokeStyle = color("--line");
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const score of [0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(left, Math.round(y(score)) + 0.5);
    pen.lineTo(right, Math.round(y(score)) + 0.5);
    pen.stroke();
    pen.fillText(`${100 * score} %`, left - 6, y(score));
  }
  pen.textBaseline = "bottom";
  for (const [ago, text, align] of [[120, "2 min ago", "left"], [60, "1 min ago", "center"], [0, "now", "right"]]) {
    pen.textAlign = align;
    pen.fillText(text, x(now - ago), height);
  }
  const samples = (history.get($("zone").value) ?? []).filter((sample) => now - sample.at <= WINDOW_S);
  const labels = labelsToDraw(samples);
  const colors = coloredBy(labels);
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  for (const label of labels.toReversed()) {
    pen.strokeStyle = color(`--c${colors.get(label)}`);
    pen.beginPath();
    let before = -Infinity;
    for (const { at, scores } of samples) {
      const score = scores[label] ?? 0; // not among the best
      if (at - before > 5 * SAMPLE_S) pen.moveTo(x(at), y(score)); // a gap where nothing was seen
      else pen.lineTo(x(at), y(score));
      before = at;
    }
    pen.stroke();
  }
  const legend = $("legend");
  while (legend.children.length > labels.length) legend.lastChild.remove();
  labels.forEach((label, index) => {
    const item = legend.children[index] ?? legend.appendChild(make("li"));
    if (!item.firstChild) item.append(make("i"), document.createTextNode(""));
    item.firstChild.style.background = `var(--c${colors.get(label)})`;
    item.lastChild.textContent = label;
  });
}

// The best one now, and those that were the most; what never reached NOTABLE would only be a carpet along the bottom.
function labelsToDraw(samples) {
  const [sums, highest] = [new Map(), new Map()];
  for (const { scores } of samples) {
    for (const [label, score] of Object.entries(scores)) {
      sums.set(label, (sums.get(label) ?? 0) + score);
      highest.set(label, Math.max(highest.get(label) ?? 0, score));
    }
  }
  for (const label of Object.keys(samples.at(-1)?.scores ?? {}).slice(0, 1)) sums.set(label, Infinity);
  return [...sums].filter(([label, sum]) => sum === Infinity || highest.get(label) >= NOTABLE)
    .sort((one, other) => other[1] - one[1]).slice(0, LINES).map(([label]) => label);
}

// A label keeps its color as long as it is drawn.
const given = new Map();
function coloredBy(labels) {
  for (const label of given.keys()) if (!labels.includes(label)) given.delete(label);
  for (const label of labels) {
    if (given.has(label)) continue;
    const used = new Set(given.values());
    given.set(label, [...Array(LINES).keys()].find((index) => !used.has(index)));
  }
  return given;
}

// ---- state

function showState() {
  const { status, events, notices, model } = told.state;
  showKept(told.state.kept);
  fillPairs($("model"), Object.entries(model));
  fillLog($("events"), events.toReversed().map((event) => [
    event.time,
    `${named(event) ? `${named(event)}: ` : ""}${event.label} ${event.kind === "entered" ? "entered" : `left after ${duration(event.duration_s)}`}, ${percent(event.score)}`,
    "",
  ]));
  fillLog($("notices"), notices.toReversed().map((notice) => [notice.time, `${notice.about}: ${notice.text}`, notice.level]));
  if (!status) return;
  const title = [status.camera, status.model].filter(Boolean).join(" · ");
  $("title").textContent = title || "edge-run";
  document.title = `${title} – edge-run`;
  const banners = [];
  if (status.fallback) banners.push(`On the CPU in place of the accelerator: ${status.fallback}`);
  if (status.throttled.length) banners.push(`The processor is held back: ${status.throttled.join(", ")}`);
  if ($("banners").textContent !== banners.join("")) {
    $("banners").replaceChildren(...banners.map((text) => make("p", text, { class: "banner" })));
  }
  const temperature = status.temperature_c === null ? "–" : `${number(status.temperature_c, 1)} °C`;
  const states = { open: "open", waiting: "lost, being reopened", frozen: "frozen", ended: "ended" };
  fillPairs($("figures"), [
    ["frames per second", number(status.fps, 1)],
    ["age at result, 95 %", `${number(status.age_p95_ms)} ms`],
    ["temperature", temperature],
    ["frames", number(status.frames)],
    ["dropped", number(status.frames_dropped)],
    ["unreadable", number(status.frames_unreadable)],
    ["still, not classified", number(status.frames_still)],
    ["memory", `${number(status.memory_mb)} MB`],
    ["running for", duration(status.uptime_s)],
    ["source", [
      status.source, status.source_mode, states[status.source_state],
      status.view === "clear" ? "" : `picture: ${status.view}`,
      status.source_losses ? `lost ${number(status.source_losses)}× so far` : "",
    ].filter(Boolean).join(" · "), true],
    ["runs on", `${status.device} · ${status.runtime} · ${status.threads} ${status.threads === 1 ? "thread" : "threads"}`, true],
    ["updates", status.update ? [status.update.phase, status.update.told].filter(Boolean).join(" · ") : "", true],
    ["model file", `${status.model_sha256.slice(0, 12)}${status.model_swaps ? ` · replaced ${status.model_swaps}×` : ""}`, true],
  ]);
  const took = status.latency;
  const parts = { capture: took.capture_ms, preprocess: took.preprocess_ms, invoke: took.invoke_ms };
  const sum = Object.values(parts).reduce((so_far, part) => so_far + part, 0);
  parts.other = Math.max(0, took.total_ms - sum);
  const whole = Math.max(took.total_ms, sum) || 1;
  for (const part of $("bar").children) part.style.width = `${(100 * parts[part.dataset.part]) / whole}%`;
  fillPairs($("latency"), [...Object.entries(parts), ["in all", took.total_ms]].map(([name, ms]) => [name, `${number(ms, 1)} ms`]));
  for (const name of $("latency").querySelectorAll("dt")) {
    if (name.textContent in parts) name.prepend(make("i", undefined, { "data-part": name.textContent }));
  }
  $("sinks").replaceChildren(...Object.entries(status.sinks).flatMap(([name, counts]) => {
    const row = make("tr");
    row.append(make("th", name, { scope: "row" }));
    for (const part of ["frames", "frames_dropped", "events", "events_lost", "failures"]) row.append(make("td", number(counts[part])));
    if (!counts.error) return [row];
    const why = make("tr");
    why.append(make("td", counts.error, { colspan: 6, class: "warning" }));
    return [row, why];
  }));
}

// ---- pictures that a person takes

const HOLD_MS = 500;

async function post(path) {
  const answer = await fetch(at(path), { method: "POST", headers: { "X-Requested-By": "live page" } });
  if (!answer.ok) $("kept-said").textContent = `not taken: the board answers ${answer.status}`;
  return answer.ok;
}

function showKept(kept) {
  const labels = kept?.labels ?? [];
  $("kept").hidden = !labels.length && !kept?.snapshots;
  $("kept-how").hidden = !labels.length;
  $("keep").hidden = !kept?.snapshots;
  const list = $("labels");
  while (list.children.length > labels.length) list.lastChild.remove();
  labels.forEach(({ label, count }, index) => {
    const button = list.children[index] ?? list.appendChild(newTaker());
    button.dataset.label = label;
    button.firstChild.textContent = label === "_nothing" ? "none of these" : label;
    button.lastChild.textContent = number(count);
  });
  if (kept) $("kept-said").textContent = kept.reason;
  showTeaching(kept?.teaching);
}

// Held by a finger, a mouse or a key: one picture at once, then one every HOLD_MS until it is let go.
function newTaker() {
  const button = make("button", undefined, { type: "button" });
  button.append(make("span"), make("span"));
  let timer = null;
  const take = () => post(`api/collect?label=${encodeURIComponent(button.dataset.label)}`).catch(letGo);
  const hold = () => {
    if (timer !== null) return;
    button.classList.add("held");
    timer = setInterval(take, HOLD_MS);
    take();
  };
  const letGo = () => {
    clearInterval(timer);
    timer = null;
    button.classList.remove("held");
  };
  button.addEventListener("pointerdown", (event) => { if (event.button === 0) { button.setPointerCapture(event.pointerId); hold(); } });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur", "keyup"]) button.addEventListener(end, letGo);
  button.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); hold(); } });
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press on a phone
  return button;
}

function fillLog(list, lines) {
  if (!lines.length) return list.replaceChildren(make("li", "none yet"));
  list.replaceChildren(...lines.map(([time, text, level]) => {
    const line = make("li", undefined, level === "warning" ? { class: "warning" } : {});
    line.append(make("time", clock(time), { datetime: new Date(1000 * time).toISOString() }), text);
    return line;
  }));
}

function announce(before, after) {
  if (!before) return;
  const last = before.events.at(-1)?.number ?? 0;
  const fresh = after.events.filter((event) => event.number > last);
  if (fresh.length) $("announce").textContent = fresh.map((event) => `${event.zone} ${event.label} ${event.kind}`).join(", ");
}

document.addEventListener("visibilitychange", follow);
$("keep").addEventListener("click", () => post("api/snapshots").then((kept) => kept && ($("kept-said").textContent = "kept")));
window.addEventListener("resize", () => { drawPicture(); drawChart(); });
$("zone").addEventListener("change", drawChart);
setInterval(() => { showHealth(); drawChart(); }, 500);
follow();
