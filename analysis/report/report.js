// Draws the figures of the report from its records with Vega-Lite, filters, sorts, and answers pointer and keyboard.
const report = JSON.parse(document.getElementById("report-data").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const keys = ["condition", "target", "lang"];
const hidden = { condition: new Set(), target: new Set(), lang: new Set() };
const colour = (name) => `var(--${name})`;
const visible = (item) => keys.every((key) => !(item[key] !== undefined && hidden[key].has(item[key])));

// --- Vega-Lite specifications, by kind of chart ---------------------------------------------------------------

const config = {
  background: null,
  font: getComputedStyle(document.body).fontFamily,
  view: { stroke: null },
  axis: {
    labelColor: colour("ink"), titleColor: colour("muted"), gridColor: colour("line"), domainColor: colour("line"),
    tickColor: colour("line"), gridOpacity: 0.55, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400,
  },
  legend: {
    labelColor: colour("ink"), titleColor: colour("muted"), labelFontSize: 12, orient: "top", title: null,
    symbolType: "circle", columnPadding: 14, rowPadding: 3, labelLimit: 220, offset: 6,
  },
};
const current = { name: "current", value: -1 };
const said = { field: "text", type: "nominal" };
const zero = (axis) => ({ mark: { type: "rule", color: colour("muted"), aria: false }, encoding: { [axis]: { datum: 0 } } });
const shade = (width) => ({
  data: { values: [{ from: -width, to: width }] },
  mark: { type: "rect", color: colour("band"), aria: false },
  encoding: { x: { field: "from", type: "quantitative" }, x2: { field: "to" } },
});

const measure = document.createElement("canvas").getContext("2d");
measure.font = `12px ${config.font}`;
const widest = (texts) => Math.max(0, ...texts.map((text) => measure.measureText(text).width));

// Where the names of rows stand: left of the plot, or above each row where they would leave it too little room.
function rowNames(field, names, width, share, step) {
  const rows = [...new Set(names)];
  const longest = widest(rows);
  const beside = longest <= width * share;
  const above = [{ stroke: colour("paper"), strokeWidth: 4, color: colour("paper") }, { color: colour("ink") }].map((look) => ({
    data: { values: rows.map((row) => ({ [field]: row })) },
    mark: { type: "text", align: "left", baseline: "middle", dy: -14, fontSize: 12, limit: width - 24, aria: false, ...look },
    encoding: { x: { value: 0 }, text: { field } },
  }));
  return { beside, longest, height: (beside ? step : 40) * rows.length, layers: beside ? [] : above };
}

// Colours of a field whose values each have one colour; with a legend where `shown`.
function paint(records, field, shown, width) {
  const found = new Map(records.map((record) => [record[field], colour(record.colour)]));
  const legend = shown ? { columns: Math.max(1, Math.floor(width / 210)) } : null;
  return { field, type: "nominal", scale: { domain: [...found.keys()], range: [...found.values()] }, legend };
}

function intervals(chart, records, scale, width) {
  const values = records.map((record, i) => {
    const [value, low, high, itemsLow, itemsHigh] = record[scale];
    const shape = record.diamond ? "diamond" : "circle";
    return { i, row: record.row, colour: record.colour, legend: record.legend ?? record.colour, hollow: record.hollow,
      value, low: low ?? itemsLow, high: high ?? itemsHigh, itemsLow, itemsHigh, shape, text: record.text[scale] };
  });
  const margin = chart.options.margin?.[scale];
  const names = rowNames("row", values.map((one) => one.row), width, 0.42, 24);
  const y = { field: "row", type: "nominal", sort: null,
    axis: { title: null, ticks: false, domain: false, grid: false, labelPadding: 8, labelLimit: 400,
      labels: values.length > 1 && names.beside } };
  const x = (field) => ({ field, type: "quantitative", scale: { zero: true, nice: false, padding: 10 },
    axis: { title: chart.options.axis[scale], tickCount: Math.max(3, width / 110), grid: values.length > 1 } });
  const stroke = paint(values, "legend", Boolean(chart.options.legend), width);
  const bar = (low, high, size) => ({ mark: { type: "rule", size, aria: false },
    encoding: { x: x(low), x2: { field: high }, stroke } });
  return {
    data: { values }, width: "container", height: values.length > 1 ? names.height : 34, params: [current],
    encoding: { y },
    layer: [
      ...(margin ? [{ ...shade(margin), encoding: { ...shade(margin).encoding, y: null } }] : []),
      { ...zero("x"), data: { values: [{}] }, encoding: { x: { datum: 0 }, y: null } },
      bar("low", "high", 1.4), bar("itemsLow", "itemsHigh", 4),
      { mark: { type: "point", filled: false, strokeWidth: 1.6, opacity: 1 },
        encoding: { x: x("value"), shape: { field: "shape", type: "nominal", scale: null }, stroke,
          fill: { condition: { test: "datum.hollow", value: colour("paper") }, ...stroke },
          size: { condition: { test: "datum.i === current", value: 220 }, value: 75 }, description: said } },
      ...(values.length > 1 ? names.layers : []),
      { mark: { type: "rect", opacity: 0, aria: false }, encoding: { tooltip: said } },
    ],
  };
}

function scatter(chart, records, scale, width) {
  const values = records.map((record, i) => ({ i, ...record }));
  const x = (field) => ({ field, type: "quantitative", scale: { zero: false, nice: false, padding: 8 },
    axis: { title: chart.options.axis.x, tickCount: Math.max(3, width / 110) } });
  const y = (field) => ({ field, type: "quantitative", axis: { title: chart.options.axis.y, tickCount: 6 } });
  const curves = [...new Set(chart.options.curves.map((one) => one.curve))];
  return {
    width: "container", height: Math.min(420, Math.max(280, width * 0.5)), params: [current],
    resolve: { scale: { strokeDash: "independent" } },
    layer: [
      { data: { values: chart.options.line }, mark: { type: "area", color: colour("band"), opacity: 1, aria: false, clip: true },
        encoding: { x: x("x"), y: y("low"), y2: { field: "high" } } },
      { data: { values: [{}] }, ...zero("y") },
      { data: { values: chart.options.line }, mark: { type: "line", color: colour("ink"), strokeWidth: 1.6, aria: false },
        encoding: { x: x("x"), y: y("y") } },
      { data: { values: chart.options.curves }, mark: { type: "line", color: colour("muted"), strokeWidth: 1.6, aria: false },
        encoding: { x: x("x"), y: y("y"), strokeDash: { field: "curve", type: "nominal",
          scale: { domain: curves, range: [[7, 4], [2, 3]] }, legend: { symbolType: "stroke", symbolStrokeColor: colour("muted"),
            columns: width < 500 ? 1 : 2 } } } },
      { data: { values }, mark: { type: "point", filled: true, opacity: 0.9, stroke: colour("paper"), strokeWidth: 0.8 },
        encoding: { x: x("x"), y: y("y"), fill: paint(values, "legend", true, width), tooltip: said, description: said,
          size: { condition: { test: "datum.i === current", value: 260 }, value: 80 } } },
    ],
  };
}

function histogram(chart, records, scale, width) {
  const values = records.map((record, i) => ({ i, ...record }));
  const [value, low, high] = chart.options.interval ?? [];
  const x = (field) => ({ field, type: "quantitative", scale: { zero: true, nice: false, padding: 6 },
    axis: { title: chart.options.axis.x, tickCount: Math.max(3, width / 90), grid: false } });
  const below = { value: { expr: "height + 3" } };
  return {
    width: "container", height: 200, params: [current], data: { values },
    layer: [
      shade(chart.options.margin),
      { mark: { type: "rect", color: colour("group-4"), aria: true },
        encoding: { x: x("low"), x2: { field: "high" }, y: { field: "count", type: "quantitative", axis: { title: chart.options.axis.y,
          tickCount: 4, tickMinStep: 1 } }, y2: { datum: 0 }, tooltip: said, description: said,
          opacity: { condition: { test: "datum.i === current", value: 1 }, value: 0.55 } } },
      { ...zero("x"), data: { values: [{}] } },
      ...(chart.options.interval ? [
        { data: { values: [{ value, low, high }] }, mark: { type: "rule", size: 2, color: colour("ink"), aria: false },
          encoding: { x: x("low"), x2: { field: "high" }, y: below } },
        { data: { values: [{ value }] }, mark: { type: "point", shape: "diamond", filled: true, opacity: 1, size: 70,
          color: colour("ink"), aria: false }, encoding: { x: x("value"), y: below } },
      ] : []),
    ],
  };
}

function choices(chart, records, scale, width) {
  const names = rowNames("made", chart.options.levels, width, 0.4, 19);
  const extent = names.beside ? Math.ceil(names.longest) + 14 : 44;
  const label = { minExtent: extent, maxExtent: extent, labelLimit: 400 };
  const values = records.map((record, i) => ({ i, ...record }));
  const dots = values.flatMap(({ place, choices: made, colour: own, text, i }) => made.map((one) => ({ i, place, made: one, colour: own, text })));
  const x = { field: "place", type: "quantitative", axis: null, scale: { domain: [-1, values.length], nice: false } };
  const size = Math.max(6, Math.min(60, (2600 / values.length) * (width / 1000)));
  const own = paint(values, "colour", false, width);
  const y = (field) => ({ field, type: "quantitative", axis: { ...label, title: null, tickCount: 6 } });
  return [
    { width: "container", height: 240, params: [current], data: { values },
      layer: [
        { data: { values: [{}] }, ...zero("y") },
        { mark: { type: "rule", size: Math.max(1, Math.min(4, 400 / values.length)), opacity: 0.5, aria: false },
          encoding: { x, y: y("low"), y2: { field: "high" }, color: own, tooltip: said } },
        { mark: { type: "point", filled: true, opacity: 1 },
          encoding: { x, y: y("value"), tooltip: said, description: said,
            color: { condition: { test: "datum.primary", value: colour("ink") }, ...own },
            shape: { condition: { test: "datum.primary", value: "diamond" }, value: "circle" },
            size: { condition: [{ test: "datum.i === current", value: 220 }, { test: "datum.primary", value: 150 }], value: size } } },
      ] },
    { width: "container", height: names.height, params: [current], data: { values: dots },
      encoding: { y: { field: "made", type: "nominal", sort: chart.options.levels,
        axis: { ...label, title: null, ticks: false, domain: false, grid: false, labels: names.beside } } },
      layer: [
        { mark: { type: "point", shape: "square", filled: true, opacity: 1, aria: false },
          encoding: { x, tooltip: said, color: own,
            size: { condition: { test: "datum.i === current", value: 120 }, value: size } } },
        ...names.layers,
      ] },
  ];
}

function shares(chart, records, scale, width) {
  const values = records.map((record, i) => ({ i, ...record }));
  const names = rowNames("row", values.map((one) => one.row), width, 0.45, 22);
  return {
    width: "container", height: names.height, params: [current], data: { values },
    encoding: { y: { field: "row", type: "nominal", sort: null, axis: { title: null, ticks: false, domain: false, labelPadding: 8,
      labelLimit: 400, labels: names.beside } } },
    layer: [
      { mark: { type: "bar", height: names.beside ? 14 : 12 },
        encoding: {
          x: { field: "share", type: "quantitative", stack: "zero", scale: { domain: [0, 100] }, axis: { title: chart.options.axis.x,
            tickCount: 4 } },
          color: { field: "part", type: "nominal", scale: { domain: ["new seeds", "new items"], range: [colour("group-4"), colour("group-0")] },
            legend: { symbolType: "square" } },
          order: { field: "i" }, tooltip: said, description: said,
          opacity: { condition: { test: "datum.i === current", value: 1 }, value: 0.85 },
        } },
      ...names.layers,
    ],
  };
}

const kinds = { intervals, scatter, histogram, choices, shares };

// --- drawing ----------------------------------------------------------------------------------------------------

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

class Drawing {
  constructor(place) {
    this.place = place;
    this.holder = place.parentElement;
    this.chart = report.charts[place.dataset.chart];
    this.readout = place.closest("figure").querySelector(".readout");
    this.scale = this.chart.options.scales?.[0];
    this.views = [];
    this.at = -1;
    if (this.chart.options.scales?.length > 1) this.offerScales();
    place.addEventListener("keydown", (event) => this.key(event));
    place.addEventListener("blur", () => this.select(-1));
  }

  offerScales() {
    const bar = document.createElement("div");
    bar.className = "switch";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Scale");
    for (const scale of this.chart.options.scales) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: scale === "logit" ? "log-odds" : scale });
      button.setAttribute("aria-pressed", String(scale === this.scale));
      button.addEventListener("click", () => {
        this.scale = scale;
        all("button", bar).forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
        this.draw();
      });
      bar.append(button);
    }
    this.holder.prepend(bar);
  }

  async draw() {
    this.views.forEach((view) => view.finalize());
    this.views = [];
    this.records = this.chart.records.filter(visible);
    this.holder.classList.add("drawn");
    const made = kinds[this.chart.kind](this.chart, this.records, this.scale, this.place.clientWidth);
    this.place.replaceChildren();
    for (const spec of [made].flat()) {
      const inner = this.place.appendChild(document.createElement("div"));
      const found = await window.vegaEmbed(inner, { autosize: { type: "fit-x", contains: "padding" }, ...spec, config },
        { mode: "vega-lite", actions: false, renderer: "svg", ast: true, tooltip: point });
      found.view.addEventListener("click", (event, item) => { if (item?.datum?.text) this.say(item.datum.text); });
      this.views.push(found.view);
    }
  }

  say(text) { this.readout.textContent = text; this.readout.classList.remove("hint"); }

  select(place) {
    this.at = place;
    this.views.forEach((view) => view.signal("current", place).run());
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || !this.records.length) return;
    event.preventDefault();
    this.select((this.at + step + this.records.length) % this.records.length);
    const { text } = this.records[this.at];
    this.say(typeof text === "object" ? text[this.scale] : text);
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
  drawings.filter((drawing) => drawing.chart.records.some((record) => keys.some((key) => record[key] !== undefined)))
    .forEach((drawing) => drawing.draw());
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

// --- heat map, menus, theme, print ------------------------------------------------------------------------------

for (const map of all(".heat")) {
  const readout = map.closest("figure").querySelector(".readout");
  map.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-cell]");
    if (!cell) return;
    readout.textContent = cell.getAttribute("aria-label");
    const [condition, target, lang] = [cell.dataset.condition, cell.dataset.target, cell.dataset.lang];
    document.dispatchEvent(new CustomEvent("xeval:cell", { detail: { condition, target, lang } }));
  });
  map.addEventListener("pointermove", (event) => point(null, event, null, event.target.closest("[data-cell]")?.getAttribute("aria-label")));
  map.addEventListener("pointerleave", () => point());
}

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
