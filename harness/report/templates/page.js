// What the other parts share: the data, the state in the URL, elements, numbers, and the tooltip.

const D = JSON.parse(document.getElementById("data").textContent);

// A row reads the columns: there may be a hundred thousand. A column in which few values repeat holds these, and
// for each row the place of its own.
class Row {
  constructor(place) {
    this.place = place;
  }
}
for (const [name, column] of Object.entries(D.rows)) {
  const plain = Array.isArray(column);
  const get = function () {
    return plain ? column[this.place] : column.values[column.at[this.place]];
  };
  Object.defineProperty(Row.prototype, name, { get });
}
const { signature } = D.rows;
const rows = Array.from(Array.isArray(signature) ? signature : signature.at, (_, place) => new Row(place));
const targets = D.targets.map((target, index) => ({ ...target, index, rows: [], curves: [], analyses: [] }));
for (const row of rows) targets[row.target].rows.push(row);
for (const kind of ["curves", "analyses"])
  for (const one of D[kind]) targets[rows[one.row].target][kind].push({ ...one, row: rows[one.row] });
for (const target of targets) target.methods = methodsOf(target);

// The methods of a target in the order of the leaderboard, each with its row before attacks and those after.
function methodsOf({ index, rows }) {
  const found = new Map();
  for (const row of rows) {
    if (!found.has(row.method)) {
      found.set(row.method, {
        name: row.method,
        target: index,
        plugin: row.name,
        control: row.control,
        attacks: new Map(),
        place: found.size,
      });
    }
    const method = found.get(row.method);
    if (row.attack === "none") method.before = row;
    else method.attacks.set(row.label, row);
    method.any ??= row;
  }
  return [...found.values()];
}

// ---- state: everything a link to a view must hold, and nothing that is as at first ----

const FIRST = {
  benchmark: "",
  model: "",
  attack: "",
  verdict: "",
  protocol: "",
  q: "",
  sort: "",
  cells: "recovery",
  x: "utility_before",
  y: "recovery",
  methods: "",
  pick: "",
  a: "",
  b: "",
  neurons: "",
  cell: "",
};
let state = FIRST;

// What the address says. A choice that there is not (an old link, a slip of the pen) is as if it were not made;
// of filters the page says that they fit nothing.
function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const sorts = D.columns.flatMap(({ name }) => [[`${name}.asc`], [`${name}.desc`]]);
  const choices = { cells: HEAT, x: X, y: Y, sort: Object.fromEntries(sorts) };
  const known = ([name, value]) =>
    Object.hasOwn(FIRST, name) && (!Object.hasOwn(choices, name) || Object.hasOwn(choices[name], value));
  return { ...FIRST, ...Object.fromEntries([...given].filter(known)) };
}

function hash() {
  const changed = Object.entries(state).filter(([name, value]) => value !== FIRST[name]);
  return new URLSearchParams(changed).toString();
}

// ---- elements ----

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "tip") (tips.set(node, value), node.setAttribute("data-tip", ""));
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}
const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

// ---- the documentation: only pages of which the leaderboard says that they are there ----

// Where it is, is told by the leaderboard's table, and was looked at before it came here.
function address(page, anchor = "") {
  const known = D.documentation?.pages.includes(page);
  return known ? `${D.documentation.base}${page}${D.documentation.suffix}${anchor && `#${anchor}`}` : null;
}
function documented(page, words, anchor) {
  const at = address(page, anchor);
  if (!at) return words;
  const link = el("a", { class: "doc" }, words);
  link.href = at;
  return link;
}
// Of a composition, "gd+project", each part leads to its own page; what follows the names are settings.
function methodLink(method) {
  const [base, ...modifiers] = method.plugin.split("+");
  return [
    documented(`methods/${base}`, base),
    modifiers.map((name) => ["+", documented(`modifiers/${name}`, name)]),
    method.name.slice(method.plugin.length),
  ];
}
const attackLink = (row) => documented(`attacks/${row.attack}`, row.label);
const metricLink = (metric) =>
  documented(
    "reference/metrics",
    metric,
    `metric-${metric.toLowerCase().replaceAll("+", "-plus").replaceAll("_", "-")}`,
  );

// ---- numbers: what is missing is a dash ----

const DASH = "–";
const NOT_APPLICABLE = "n/a"; // in place of a verdict on a control
const missing = (value) => value === null || value === undefined;

function text(value, kind) {
  if (missing(value)) return DASH;
  if (typeof value === "string") return value;
  if (kind === "rank" || kind === "count") return String(value);
  if (kind === "cost") return Number.isInteger(value) ? String(value) : value.toFixed(value < 100 ? 1 : 0);
  return value.toFixed(3);
}
const interval = (row, name, kind) =>
  missing(row[`${name}_low`])
    ? ""
    : `${text(row[`${name}_low`], kind)} to ${text(row[`${name}_high`], kind)}`;
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const spread = (values) => {
  const found = [...new Set(values.filter((v) => !missing(v)))].sort((a, b) => a - b);
  return found.length ? (found.length === 1 ? `${found[0]}` : `${found[0]} to ${found.at(-1)}`) : DASH;
};

// ---- the tooltip: over anything with `tip`, by mouse and by keyboard ----

const tips = new WeakMap(); // element -> () => { title, lines }
const box = document.getElementById("tip");
let tipped = null;
let leaving = 0;

function showTip(node) {
  clearTimeout(leaving);
  const { title, lines } = tips.get(node)();
  box.replaceChildren(el("strong", {}, title), ...lines.filter(Boolean).map((line) => el("p", {}, line)));
  hideTip();
  tipped = node;
  box.hidden = false;
  node.setAttribute("aria-describedby", "tip");
  // A dialog lies above everything but what is in it.
  (node.closest("dialog") ?? document.body).append(box);
  place(node);
}

// Below its element, or above where there is no room.
function place(node) {
  const at = node.getBoundingClientRect();
  const own = box.getBoundingClientRect();
  const room = document.documentElement.clientWidth - own.width - 8;
  box.style.left = `${Math.max(8, Math.min(at.left + at.width / 2 - own.width / 2, room))}px`;
  const below = at.bottom + 6 + own.height < innerHeight || at.top < own.height + 6;
  box.style.top = `${below ? at.bottom + 6 : at.top - own.height - 6}px`;
}

function hideTip() {
  tipped?.removeAttribute("aria-describedby");
  [tipped, box.hidden] = [null, true];
}

const tipOf = (event) => event.target.closest?.("[data-tip]");
const leave = () => {
  clearTimeout(leaving);
  leaving = setTimeout(hideTip, 150);
};
document.addEventListener("pointerover", (event) => {
  if (box.contains(event.target)) clearTimeout(leaving);
  else if (tipOf(event)) showTip(tipOf(event));
  else if (tipped) leave();
});
document.addEventListener("focusin", (event) => {
  if (box.contains(event.target)) return;
  if (tipOf(event)) showTip(tipOf(event));
  else hideTip();
});
document.addEventListener("focusout", leave);
// Going to an element scrolls to it, too.
document.addEventListener(
  "scroll",
  () => (tipped && tipped === document.activeElement ? place(tipped) : hideTip()),
  true,
);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && tipped) {
    // The tooltip first, and what it stands in with the next press.
    event.preventDefault();
    hideTip();
  }
});

async function copy(what, name) {
  try {
    await navigator.clipboard.writeText(what);
    say(`Copied the ${name}.`);
  } catch {
    say(`The browser does not let the page copy; here is the ${name}: ${what}`);
  }
}
function say(sentence) {
  // What is beside an open dialog cannot be reached.
  const said = document.querySelector("dialog[open] .said") ?? document.getElementById("said");
  said.textContent = sentence;
}

// ---- one tab stop for many cells or points: the arrow keys go from one to the next ----

function roving(container, items, first = items[0]) {
  for (const item of items) item.setAttribute("tabindex", item === first ? "0" : "-1");
  container.addEventListener("focusin", (event) => {
    if (!items.includes(event.target)) return;
    for (const item of items) item.setAttribute("tabindex", item === event.target ? "0" : "-1");
  });
  container.addEventListener("keydown", (event) => {
    const here = items.indexOf(event.target);
    if (here < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.target.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      return;
    }
    const next = neighbour(items, here, event.key);
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
}

function neighbour(items, here, pressed) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[pressed];
  if (step) return items[here + step];
  const turn = { ArrowDown: 1, ArrowUp: -1 }[pressed];
  if (!turn) return { Home: items[0], End: items.at(-1) }[pressed];
  // In a table to the same column of the next line, in a chart to the next of the same step or method.
  const column = items[here].dataset.column;
  for (let i = here + turn; i >= 0 && i < items.length; i += turn)
    if (items[i].dataset.column === column) return items[i];
  return null;
}
