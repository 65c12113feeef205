// What the other parts share: the data, the state in the URL, elements, numbers, and the tooltip.

const D = JSON.parse(document.getElementById("data").textContent);

const rows = D.rows.signature.map((_, i) =>
  Object.fromEntries(Object.entries(D.rows).map(([name, values]) => [name, values[i]])),
);
const curves = D.curves.map((curve) => ({ ...curve, row: rows[curve.row] }));
const targets = D.targets.map((target, index) => ({ ...target, index, methods: methodsOf(index) }));

// The methods of a target in the order of the leaderboard, each with its row before attacks and those after.
function methodsOf(index) {
  const found = new Map();
  for (const row of rows.filter((r) => r.target === index)) {
    if (!found.has(row.method)) {
      found.set(row.method, {
        name: row.method,
        target: index,
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
  cells: "score",
  x: "utility_before",
  y: "recovery",
  methods: "",
  pick: "",
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
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "tip") (tips.set(node, value), node.setAttribute("data-tip", ""));
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}
const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

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

// ---- the tooltip: over anything with `tip`, by mouse, by keyboard, and pinned by a click ----

const tips = new WeakMap(); // element -> () => { title, lines, signature }
const box = document.getElementById("tip");
let tipped = null;
let pinned = false;
let leaving = 0;

function showTip(node, pin = false) {
  clearTimeout(leaving);
  if (pinned && !pin) return;
  const { title, lines, signature } = tips.get(node)();
  box.replaceChildren(
    el("strong", {}, title),
    ...lines.filter(Boolean).map((line) => el("p", {}, line)),
    ...(signature
      ? [
          el("code", {}, signature),
          el("button", { type: "button", onclick: () => copy(signature, "signature") }, "Copy signature"),
        ]
      : []),
  );
  hideTip();
  [tipped, pinned] = [node, pin];
  box.hidden = false;
  box.setAttribute("role", pin ? "dialog" : "tooltip");
  if (pin) box.setAttribute("aria-label", title);
  else box.removeAttribute("aria-label");
  node.setAttribute("aria-describedby", "tip");
  place(node);
  if (pin) box.querySelector("button")?.focus();
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
  [tipped, pinned, box.hidden] = [null, false, true];
}

const tipOf = (event) => event.target.closest?.("[data-tip]");
const leave = () => {
  if (!pinned) {
    clearTimeout(leaving);
    leaving = setTimeout(hideTip, 150);
  }
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
  () => (tipped && (pinned || tipped === document.activeElement) ? place(tipped) : hideTip()),
  true,
);
document.addEventListener("click", (event) => {
  if (box.contains(event.target)) return;
  const node = tipOf(event);
  if (node?.isConnected && tips.get(node)().signature) showTip(node, true);
  else if (pinned) hideTip();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && tipped) {
    const back = tipped;
    const inside = box.contains(document.activeElement);
    hideTip();
    if (inside) back.focus();
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
const said = document.getElementById("said");
function say(sentence) {
  said.textContent = sentence;
}

// ---- one tab stop for many cells or points: the arrow keys go from one to the next ----

function roving(container, items) {
  items.forEach((item, i) => item.setAttribute("tabindex", i ? "-1" : "0"));
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
