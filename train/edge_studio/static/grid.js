// A grid of any number of photos, of which only the rows in view are there. Rows are fetched as they are needed.
import { api, get, segment, element } from "./studio.js";

const PAGE = 200;
const GAP = 6;
const OVERSCAN_ROWS = 3;

export const thumbnail = (photo) => api(`thumbnail?path=${segment(photo.path)}&version=${photo.version}`);

export class Grid {
  /** Shows photos in the element `box`; `changed` is called when the selection or the photo in focus is another. */
  constructor(box, { changed, opened, loaded }) {
    this.box = box;
    this.changed = changed;
    this.opened = opened;
    this.loaded = loaded;
    this.query = { label: "", flag: "" };
    this.total = 0;
    this.focus = 0;
    this.anchor = 0;
    this.selected = new Map();
    this.pages = new Map();
    this.before = new Map();
    this.tiles = new Map();
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("click", (event) => this.click(event));
    box.addEventListener("dblclick", () => this.opened());
    box.addEventListener("focus", () => this.draw());
    addEventListener("scroll", () => this.draw(), { passive: true });
    addEventListener("resize", () => this.draw());
  }

  /** Shows another class or flag, from its first photo. */
  async show(query) {
    this.query = { ...this.query, ...query };
    this.focus = this.anchor = 0;
    this.selected.clear();
    this.pages.clear();
    await this.reload();
  }

  /** Fetches anew what is in view, after something has changed. */
  async reload() {
    // Keys go on meaning the photos in view until the new ones have come.
    for (const [page, photos] of this.pages) if (Array.isArray(photos)) this.before.set(page, photos);
    this.pages.clear();
    const first = await this.fetch(Math.floor(this.focus / PAGE));
    this.before.clear();
    this.focus = Math.max(0, Math.min(this.focus, this.total - 1));
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
    this.draw();
    this.loaded(first);
    this.changed();
  }

  async fetch(page) {
    if (!this.pages.has(page)) {
      const query = `label=${segment(this.query.label)}&flag=${segment(this.query.flag)}&start=${page * PAGE}&count=${PAGE}`;
      const asked = get(api(`photos?${query}`)).then((answer) => {
        if (this.pages.get(page) === asked) {
          this.pages.set(page, answer.photos);
          this.total = answer.total;
          this.draw();
        }
        return answer;
      });
      this.pages.set(page, asked);
    }
    return this.pages.get(page);
  }

  /** The photo at a place; undefined while it has not been fetched. */
  at(place) {
    const number = Math.floor(place / PAGE);
    const page = this.pages.get(number);
    return (Array.isArray(page) ? page : this.before.get(number))?.[place % PAGE];
  }

  get columns() {
    const least = this.box.clientWidth < 500 ? 88 : 124;
    return Math.max(1, Math.floor((this.box.clientWidth + GAP) / (least + GAP)));
  }

  get step() {
    return (this.box.clientWidth + GAP) / this.columns;
  }

  draw() {
    const { columns, step } = this;
    this.box.style.height = `${Math.ceil(this.total / columns) * step}px`;
    const top = -this.box.getBoundingClientRect().top;
    const firstRow = Math.max(0, Math.floor(top / step) - OVERSCAN_ROWS);
    const lastRow = Math.ceil((top + innerHeight) / step) + OVERSCAN_ROWS;
    const first = firstRow * columns;
    const last = Math.min(this.total, lastRow * columns);
    for (const [place, tile] of this.tiles) {
      if (place < first || place >= last) { tile.remove(); this.tiles.delete(place); }
    }
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page++) this.fetch(page).catch?.(() => {});
    for (let place = first; place < last; place++) this.drawTile(place, columns, step);
    const active = this.tiles.get(this.focus);
    if (active) this.box.setAttribute("aria-activedescendant", active.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  drawTile(place, columns, step) {
    const photo = this.at(place);
    if (!photo) return;
    let tile = this.tiles.get(place);
    if (!tile) {
      tile = this.makeTile(place, photo);
      this.tiles.set(place, tile);
      this.box.append(tile);
    }
    Object.assign(tile.style, {
      left: `${(place % columns) * step}px`, top: `${Math.floor(place / columns) * step}px`,
      width: `${step - GAP}px`, height: `${step - GAP}px`,
    });
    tile.setAttribute("aria-selected", this.selected.has(photo.path));
    tile.classList.toggle("active", place === this.focus);
  }

  makeTile(place, photo) {
    const words = photo.flags.map((flag) => (flag.kind === "suspect" ? `${flag.detail}?` : flag.kind));
    const name = [photo.label, photo.path.split("/").pop(), ...words].join(", ");
    const image = element("img", { src: thumbnail(photo), alt: "", decoding: "async", draggable: false });
    image.addEventListener("error", () => tile.classList.add("broken"));
    const tile = element("div", {
      className: "tile", id: `photo-${place}`, role: "option", title: photo.path, data: { place },
      aria: { label: name, setsize: this.total, posinset: place + 1 },
    }, image);
    if (words.length) tile.append(element("span", { className: "badge", ariaHidden: "true" }, words[0]));
    return tile;
  }

  click(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const place = Number(tile.dataset.place);
    if (event.shiftKey) this.extend(place);
    else { this.anchor = place; this.toggle(place); }
    this.focusOn(place);
  }

  toggle(place) {
    const photo = this.at(place);
    if (!photo) return;
    if (!this.selected.delete(photo.path)) this.selected.set(photo.path, photo);
  }

  extend(place) {
    const [low, high] = [Math.min(place, this.anchor), Math.max(place, this.anchor)];
    for (let each = low; each <= high; each++) {
      const photo = this.at(each);
      if (photo) this.selected.set(photo.path, photo);
    }
  }

  /** Selects every photo of the class or flag that is shown. */
  async selectAll() {
    for (let page = 0; page * PAGE < this.total; page++) await this.fetch(page);
    for (let place = 0; place < this.total; place++) {
      const photo = this.at(place);
      if (photo) this.selected.set(photo.path, photo);
    }
    this.draw();
    this.changed();
  }

  clear() {
    this.selected.clear();
    this.draw();
    this.changed();
  }

  /** What a key acts on: the selected photos, or else the one in focus. */
  chosen() {
    if (this.selected.size) return [...this.selected.keys()];
    const photo = this.at(this.focus);
    return photo ? [photo.path] : [];
  }

  focusOn(place) {
    this.focus = Math.max(0, Math.min(place, this.total - 1));
    const row = Math.floor(this.focus / this.columns);
    const top = this.box.getBoundingClientRect().top + row * this.step;
    const bar = document.getElementById("selection").offsetHeight + 8;
    if (top < bar) scrollBy(0, top - bar);
    else if (top + this.step > innerHeight) scrollBy(0, top + this.step - innerHeight);
    this.draw();
    this.changed();
  }

  key(event) {
    const { columns } = this;
    const page = columns * Math.max(1, Math.floor(innerHeight / this.step) - 1);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -page, PageDown: page,
      Home: -this.total, End: this.total };
    if (event.key in steps) {
      const place = this.focus + steps[event.key];
      if (event.shiftKey) this.extend(Math.max(0, Math.min(place, this.total - 1)));
      else this.anchor = Math.max(0, Math.min(place, this.total - 1));
      this.focusOn(place);
    } else if (event.key === " ") {
      this.anchor = this.focus;
      this.toggle(this.focus);
      this.draw();
      this.changed();
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      this.selectAll();
    } else if (event.key === "Enter") {
      this.opened();
    } else if (event.key === "Escape") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
  }
}
