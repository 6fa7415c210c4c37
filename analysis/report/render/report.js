// Draws the figures of the report from their Vega-Lite specifications, filters, sorts, and answers pointer and keyboard.
const report = JSON.parse(document.getElementById("report-data").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const keys = ["condition", "target", "lang"];
const hidden = { condition: new Set(), target: new Set(), lang: new Set() };
const visible = (item) => keys.every((key) => !(item[key] !== undefined && hidden[key].has(item[key])));

// --- drawing ----------------------------------------------------------------------------------------------------

const font = getComputedStyle(document.body).fontFamily;
const measure = document.createElement("canvas").getContext("2d");
measure.font = `12px ${font}`;
const tip = document.body.appendChild(Object.assign(document.createElement("div"), { className: "tip", hidden: true }));
tip.setAttribute("aria-hidden", "true");

function point(handler, event, item, value) {
  tip.hidden = !value;
  if (!value) return;
  tip.textContent = typeof value === "object" ? Object.values(value).join(" ") : value;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 6))}px`;
  tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18}px`;
}

// The names of the rows of a panel.
function rowNames(panel, records) {
  const field = panel.encoding?.y?.field;
  return field ? [...new Set(records.flatMap((record) => record[field] ?? record.choices ?? []))] : [];
}

class Drawing {
  constructor(place) {
    this.place = place;
    this.spec = report.charts[place.dataset.chart];
    this.readout = place.closest("figure").querySelector(".readout");
    this.scales = this.spec.usermeta.scales;
    this.panel = 0;
    this.views = [];
    this.at = -1;
    this.grid = Boolean(this.spec.vconcat?.[0].width.step);
    if (this.scales.length > 1) this.offerScales();
    place.addEventListener("keydown", (event) => this.key(event));
    place.addEventListener("blur", () => this.select(-1));
  }

  get filtered() { return this.spec.datasets.records.some((record) => keys.some((key) => record[key] !== undefined)); }

  offerScales() {
    const bar = document.createElement("div");
    bar.className = "switch";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Scale");
    this.scales.forEach((scale, number) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: scale === "logit" ? "log-odds" : scale });
      button.setAttribute("aria-pressed", String(number === this.panel));
      button.addEventListener("click", () => {
        this.panel = number;
        all("button", bar).forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
        this.draw();
      });
      bar.append(button);
    });
    this.place.parentElement.prepend(bar);
  }

  async draw() {
    this.views.forEach((view) => view.finalize());
    this.views = [];
    this.place.parentElement.classList.add("drawn");
    const { hconcat, vconcat, datasets, ...shared } = this.spec;
    const [panels, width] = [hconcat ? [hconcat[this.panel]] : vconcat, this.place.clientWidth];
    this.records = datasets.records.filter(visible).map((record, i) => ({ ...record, i }));
    // Where the names of rows would leave the plot too little room they stand above each row.
    const longest = Math.max(0, ...panels.flatMap((panel) => rowNames(panel, this.records)).map((name) => measure.measureText(name).width));
    const narrow = longest > width * 0.42;
    const values = { live: true, narrow, columns: Math.max(1, Math.floor(width / 210)), current: -1 };
    const params = shared.params.map(({ name }) => ({ name, value: values[name] }));
    this.place.replaceChildren();
    for (const panel of panels) {
      const fitted = this.grid ? {} : { width: "container", autosize: { type: "fit-x", contains: "padding" } };
      if (!this.grid && panel.height.step) fitted.height = (narrow ? 40 : panel.height.step) * rowNames(panel, this.records).length;
      const inner = this.place.appendChild(document.createElement("div"));
      const { view } = await window.vegaEmbed(inner,
        { ...shared, ...panel, ...fitted, params, datasets: { records: this.records }, config: { ...shared.config, font } },
        { mode: "vega-lite", actions: false, renderer: "svg", ast: true, tooltip: point });
      view.addEventListener("click", (event, item) => { if (item?.datum?.text) this.choose(item.datum); });
      this.views.push(view);
    }
  }

  read(record) {
    const text = typeof record.text === "object" ? record.text[this.scales[this.panel]] : record.text;
    this.readout.textContent = text;
    this.readout.classList.remove("hint");
  }

  choose(record) {
    this.read(record);
    const { condition, target, lang } = record;
    if (condition && target && lang) document.dispatchEvent(new CustomEvent("xeval:cell", { detail: { condition, target, lang } }));
  }

  select(place) {
    this.at = place;
    this.views.forEach((view) => view.signal("current", place).run());
  }

  key(event) {
    if (event.key === "Enter" && this.at >= 0) this.choose(this.records[this.at]);
    const across = this.grid ? new Set(this.records.map((record) => record.target)).size : 1;
    const step = { ArrowDown: across, ArrowRight: 1, ArrowUp: -across, ArrowLeft: -1 }[event.key];
    if (!step || !this.records.length) return;
    event.preventDefault();
    this.select(this.at < 0 ? 0 : (this.at + step + this.records.length) % this.records.length);
    this.read(this.records[this.at]);
  }
}

const drawings = all("[data-chart]").map((place) => new Drawing(place));
const drawAll = async () => { for (const drawing of drawings) await drawing.draw(); };

// --- filters ----------------------------------------------------------------------------------------------------

const boxes = all(".filters input");
const status = document.querySelector(".status");

function applyFilters() {
  for (const key of keys) hidden[key] = new Set(boxes.filter((box) => box.name === key && !box.checked).map((box) => box.value));
  for (const element of all("[data-filter]")) element.hidden = !visible(element.dataset);
  const left = keys.filter((key) => hidden[key].size).map((key) => {
    const listed = boxes.filter((box) => box.name === key);
    const noun = { condition: "conditions", target: "targets", lang: "languages" }[key];
    return `${listed.filter((box) => box.checked).length} of ${listed.length} ${noun}`;
  });
  status.textContent = left.length ? `Shown: ${left.join(", ")}. Means and contrasts are of all.` : "";
  drawings.filter((drawing) => drawing.filtered).forEach((drawing) => drawing.draw());
}

boxes.forEach((box) => box.addEventListener("change", applyFilters));
all(".filters [data-all]").forEach((button) => button.addEventListener("click", () => {
  boxes.filter((box) => !button.dataset.all || box.name === button.dataset.all).forEach((box) => { box.checked = true; });
  applyFilters();
}));

// --- sortable tables --------------------------------------------------------------------------------------------

function amount(text) {
  const found = text.replaceAll("−", "-").match(/[-+]?\d[\d,]*\.?\d*/);
  return found ? Number(found[0].replaceAll(",", "")) : null;
}

function compare(one, other, numeric) {
  const [a, b] = numeric ? [amount(one), amount(other)] : [null, null];
  return a !== null && b !== null ? a - b : one.localeCompare(other, "en", { numeric: true });
}

for (const table of all("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headers = all("thead th", table);
  headers.forEach((header, column) => {
    if (!header.textContent) return;
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: header.textContent });
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[header.getAttribute("aria-sort")] ?? (header.hasAttribute("aria-sort") ? null : "ascending");
      headers.forEach((one) => one.removeAttribute("aria-sort"));
      if (next) header.setAttribute("aria-sort", next);
      const factor = next === "descending" ? -1 : 1;
      const rows = next ? [...original].sort((a, b) => factor * compare(a.cells[column].textContent, b.cells[column].textContent, header.classList.contains("n"))) : original;
      body.replaceChildren(...rows);
    });
  });
}

// --- menus, theme, print ----------------------------------------------------------------------------------------

const menus = all(".bar details");
document.addEventListener("click", (event) => menus.forEach((menu) => { if (!menu.contains(event.target) || event.target.closest(".panel a")) menu.open = false; }));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  point();
  menus.filter((menu) => menu.open).forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
});

const theme = document.querySelector("[data-theme-switch]");
const themes = ["auto", "dark", "light"];
theme.addEventListener("click", () => {
  const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % themes.length];
  document.documentElement.dataset.theme = next;
  theme.textContent = `Theme: ${next}`;
});

let folded = [];
addEventListener("beforeprint", () => { folded = all("main details:not([open])"); folded.forEach((one) => { one.open = true; }); });
addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));

let drawnAt = innerWidth;
let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => { if (innerWidth !== drawnAt) { drawnAt = innerWidth; drawAll(); } }, 200);
});

document.querySelector(".bar").hidden = false;
await drawAll();
document.documentElement.dataset.drawn = String(drawings.length);
