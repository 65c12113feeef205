// Filters, and drawing everything anew from the state.

const FILTERS = ["benchmark", "model", "protocol"];
const visible = () =>
  targets.filter((target) => FILTERS.every((name) => !state[name] || target[name] === state[name]));
// A section shows so many targets at first: over hundreds of tables a browser takes a minute.
const FEW = 12;
let most = FEW;
function partsOf(id, section) {
  const fit = visible().filter((target) => id === "failed" || shownMethods(target).length);
  const parts = [];
  let drawn = 0;
  for (const [place, target] of fit.entries()) {
    if (drawn === most && id !== "failed") return [...parts, others(id, fit.length - place)];
    const own = section(target).filter(Boolean);
    drawn += own.length > 0;
    parts.push(...own);
  }
  return parts;
}
function others(id, count) {
  const more = () => {
    most += FEW;
    draw();
  };
  return el(
    "p",
    { class: "others" },
    `${plural(count, "more target")}: choose a benchmark or a model above, or `,
    el(
      "button",
      { type: "button", "data-key": `others-${id}`, onclick: more },
      `show ${Math.min(FEW, count)} more`,
    ),
  );
}
const titleOf = (target) =>
  `${target.benchmark}: ${target.model}${target.settings ? ` (${target.settings})` : ""}${target.dtype === "float32" ? "" : `, ${target.dtype}`}`;

function facts(target) {
  const code = (name, value) => [`${name} `, el("code", { title: value }, value.slice(0, 12))];
  return el(
    "p",
    { class: "facts" },
    documented("protocol", "protocol"),
    ` ${target.protocol}, `,
    code("data", target.data),
    ", ",
    code("target", target.target),
    ", ",
    target.dtype,
    ", forget metric ",
    missing(target.metric) ? DASH : metricLink(target.metric),
    `, chance ${target.chances.map((v) => text(v)).join(" or ") || DASH}`,
    target.tasks.map((t) => `, ${t}`),
    target.computed ? `, ${target.computed}` : "",
    ".",
  );
}

const legendOf = (id, ...parts) =>
  document.getElementById(`${id}-legend`).replaceChildren(...parts.flat(Infinity));
const key = (children, words) =>
  el(
    "span",
    { class: "key" },
    svg("svg", { class: "forest", viewBox: "0 0 24 20", "aria-hidden": "true" }, children),
    words,
  );
const upright = (className) => svg("line", { class: className, x1: 12, x2: 12, y1: 2, y2: 18 });
const dot = (kind) =>
  svg("g", { class: `point ${kind}` }, kind === "control" ? shapes[1](12, 10, 5) : shapes[0](12, 10, 5.5));

const list = (sentences, className) =>
  sentences.length
    ? el(
        "ul",
        { class: className },
        sentences.map((sentence) => el("li", {}, sentence)),
      )
    : null;
const heading = (target) => el("h3", {}, documented(`benchmarks/${target.benchmark}`, titleOf(target)));

const SECTIONS = {
  verdicts(target) {
    return [
      heading(target),
      verdictTable(target),
      attacksOf(target).length ? attackTable(target) : null,
      list(target.findings, "findings"),
      facts(target),
    ];
  },
  tradeoff(target) {
    const available = room("tradeoff");
    const across = available > 700 && visible().length > 1 ? 2 : 1;
    return [scatter(target, Math.min(760, Math.floor((available - 24 * (across - 1)) / across)))];
  },
  curves(target) {
    const panels = curvePanels(target);
    return panels.length ? [heading(target), el("div", { class: "panels" }, panels)] : [];
  },
  compare(target) {
    return [heading(target), ...comparison(target)];
  },
  neurons: neuronView,
  standing(target) {
    return [heading(target), standingTable(target), list(target.compared, "compared")];
  },
  failed(target) {
    const own = target.failed.filter(
      (f) =>
        (!state.attack || f.attack === state.attack) &&
        f.method.toLowerCase().includes(state.q.trim().toLowerCase()),
    );
    return own.length
      ? [
          heading(target),
          el(
            "ul",
            {},
            own.map((f) => el("li", {}, el("b", {}, `${f.method}, ${f.attack}, `), f.error)),
          ),
        ]
      : [];
  },
};
const NONE_FITS = "No method fits these filters.";
const EMPTY = {
  verdicts: NONE_FITS,
  standing: NONE_FITS,
  tradeoff: NONE_FITS,
  compare: NONE_FITS,
  neurons:
    "No analysis was run here. `harness run` with `--analyses all` looks into each model, and a leaderboard that is built from such results shows it.",
  curves: "No attack that trains was scored here, so there are no curves.",
  failed: "None.",
};

function legends() {
  const twin = targets.some((t) => t.methods.some((m) => m.control === "retrain"));
  legendOf(
    "verdicts",
    key(
      [
        svg("line", { class: "interval", x1: 1, x2: 23, y1: 10, y2: 10 }),
        svg("circle", { class: "dot", cx: 12, cy: 10, r: 4 }),
      ],
      "what came back at most, 95 % interval, from nothing (0) to all of it (1)",
    ),
    key(upright("chance"), "up to 0.1 erased, up to 0.5 partly hidden"),
    el("span", {}, "Click a number for its curve, its facts with the model's answers, and its signature."),
  );
  legendOf(
    "standing",
    key(
      [
        svg("line", { class: "interval", x1: 1, x2: 23, y1: 10, y2: 10 }),
        svg("circle", { class: "dot", cx: 12, cy: 10, r: 4 }),
      ],
      "worst score, 95 % interval",
    ),
    key(upright("chance"), "chance"),
    twin ? key(upright("twin"), "the retrain twin's worst") : [],
    el(
      "span",
      {},
      "A bar at the left joins a tie group (=); controls and methods that a guard holds back have no rank. In brackets: share of the original's.",
    ),
  );
  legendOf(
    "tradeoff",
    key(dot("ranked"), "ranked"),
    key(dot("guarded"), "not ranked"),
    key(dot("control"), "control"),
    el(
      "span",
      {},
      "Bars are 95 % intervals of the upright axis. Down and to the right is better; click a point to highlight its row.",
    ),
  );
  const [title] = HEAT[state.cells];
  const step = (i) => el("i", { class: `heat-${i}` });
  legendOf(
    "attacks",
    el(
      "span",
      { class: "key" },
      HEAT[state.cells][1] === "interval" ? `${title}: 0` : `${title}: less`,
      el("span", { class: "ramp", "aria-hidden": "true" }, [0, 1, 2, 3, 4, 5, 6, 7, 8].map(step)),
      HEAT[state.cells][1] === "interval" ? "1" : "more",
    ),
    el("span", {}, "The strongest attack comes first."),
    el("span", {}, "A frame marks the attack that counts as a method's worst."),
    el(
      "span",
      {},
      "† measures something else than the forget metric does before attacks, and does not count.",
    ),
  );
  legendOf(
    "curves",
    el(
      "span",
      {},
      "Mean over seeds at each seed's best learning rate, with a 95 % band. Grey: none (the original) and retrain (never knew); dotted: chance.",
    ),
  );
}

function chips() {
  const chosen = chosenMethods();
  const choose = (names) => set({ methods: names.length ? names.map(encodeURIComponent).join(",") : "-" });
  const chip = (name) =>
    el(
      "label",
      { class: "chip" },
      el("input", {
        type: "checkbox",
        checked: chosen.includes(name),
        value: name,
        "data-key": `chip-${name}`,
        onchange: (event) =>
          choose(event.target.checked ? [...chosen, name] : chosen.filter((other) => other !== name)),
      }),
      chosen.includes(name) && swatch(chosen.indexOf(name)),
      name,
    );
  const there = new Set(visible().flatMap((t) => t.methods.map((m) => m.name)));
  const shown = drawable.filter((name) => there.has(name));
  document
    .getElementById("chips")
    .replaceChildren(
      ...shown.map(chip),
      el("button", { type: "button", "data-key": "chips-all", onclick: () => choose(shown) }, "All"),
      el("button", { type: "button", "data-key": "chips-none", onclick: () => choose([]) }, "None"),
    );
}

function controls() {
  const options = (select, pairs, all) => {
    const wanted = select.dataset.filter ?? select.dataset.state;
    const known = [...(all ? [["", all]] : []), ...pairs];
    // A link may name what this leaderboard has not; say so instead of showing everything.
    if (state[wanted] && !known.some(([value]) => value === state[wanted]))
      known.push([state[wanted], `${state[wanted]} (not here)`]);
    select.replaceChildren(
      ...known.map(([value, words]) => el("option", { value, selected: value === state[wanted] }, words)),
    );
    select.value = state[wanted];
  };
  const values = (list) => [...new Set(list)].sort().map((v) => [v, v]);
  for (const name of FILTERS)
    options(document.querySelector(`[data-filter=${name}]`), values(targets.map((t) => t[name])), "all");
  options(
    document.querySelector("[data-filter=verdict]"),
    D.verdicts.filter((v) => rows.some((row) => row.verdict === v)).map((v) => [v, v]),
    "all",
  );
  options(
    document.querySelector("[data-filter=attack]"),
    values(targets.flatMap(attacksOf)),
    "all: the worst",
  );
  options(
    document.querySelector("[data-state=cells]"),
    Object.entries(HEAT).map(([name, [title]]) => [name, title]),
  );
  const methods = values(targets.flatMap((t) => t.methods.map((m) => m.name)));
  for (const name of ["a", "b"])
    options(
      document.querySelector(`[data-state=${name}]`),
      methods,
      name === "a" ? "the first ranked" : "the last ranked",
    );
  options(document.querySelector("[data-state=x]"), Object.entries(X));
  options(document.querySelector("[data-state=y]"), Object.entries(Y));
  const search = document.querySelector("[data-filter=q]");
  if (search.value !== state.q) search.value = state.q;
}

function draw() {
  const focused = document.activeElement?.dataset?.key;
  const scrolled = Object.fromEntries(
    [...document.querySelectorAll("[data-scroll]")].map((node) => [node.dataset.scroll, node.scrollLeft]),
  );
  hideTip();
  controls();
  legends();
  chips();
  for (const [id, section] of Object.entries(SECTIONS)) {
    const body = document.querySelector(`#${id} [data-body]`);
    const parts = partsOf(id, section);
    body.replaceChildren(...(parts.length ? parts : [el("p", { class: "empty" }, EMPTY[id])]));
  }
  for (const [name, left] of Object.entries(scrolled)) {
    const node = document.querySelector(`[data-scroll="${CSS.escape(name)}"]`);
    if (node) node.scrollLeft = left;
  }
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

// Change the state and the address, and then draw what follows from it.
function tell(change, then = () => {}) {
  state = { ...state, ...change };
  const told = hash();
  history.replaceState(null, "", told ? `#${told}` : location.href.split("#")[0]);
  then();
}
// Change the whole page; `bring` brings the highlighted row into sight.
function set(change, bring = false) {
  tell(change, draw);
  if (bring) document.querySelector("#verdicts tr.picked")?.scrollIntoView({ block: "center" });
}

for (const input of document.querySelectorAll("[data-filter], [data-state]")) {
  input.addEventListener("input", () => set({ [input.dataset.filter ?? input.dataset.state]: input.value }));
}
document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("reset").addEventListener("click", () => set({ ...FIRST }));
document.getElementById("link").addEventListener("click", () => copy(location.href, "link"));
addEventListener("hashchange", () => {
  state = read();
  draw();
  showCell();
});
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) {
    width = innerWidth;
    draw();
  }
});
state = read();
draw();
showCell();
document.documentElement.dataset.ready = "";
