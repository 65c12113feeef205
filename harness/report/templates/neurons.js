// The neuron view: what analyses found about one unlearned model. What a figure looks like follows from its numbers:
// a line or a cloud where they have an x, a map where they have a layer and a linear map, or else a list.

const TITLES = {
  "influence/cumulated": [
    "Influence lost (D+) and turned against the answer (D-), over the top units",
    "units, by their own D",
    "sum, in probability",
  ],
  "influence/top100": ["Over the top 100 units", "", "sum, in probability"],
  "influence/map": ["Where it changed: mean D of each map's top 100 units"],
  "influence/share": ["Share that hides, D- / (D+ + D-)"],
  "influence/spurious": ["Share of units that turned against the answer"],
  "lens/accuracy": ["Where the answer is read: preferred over a distractor", "layer", "share of facts"],
  "weights/relative": ["Where weights changed: relative change of each map"],
  "weights/change": ["Change of each map, Frobenius norm"],
  "weights/stable-rank": ["Stable rank of the change"],
  "weights/attention": ["Share of the change that lies in attention"],
  "weights/matrices": ["Share of the change that lies in these maps"],
  "stability/scatter": ["Attribution of units before and after the attack", "before the attack", "after"],
  "stability/pearson": ["Correlation before and after the attack (Pearson)"],
  "stability/spearman": ["Correlation before and after the attack (Spearman)"],
  "stability/spread": ["Spread of the difference"],
  "steps/cosine": ["Cosine of the attack's step and the unlearning step"],
  "steps/undone": ["Share of the unlearning step that the attack takes back"],
  "steps/norm": ["Length of the step"],
};
const MEANS = { "D+": "D+: lost, erasing", "D-": "D-: grown, hiding" };
const FOLDED = ["weights/change", "weights/stable-rank", "influence/spurious"]; // maps that few look at

const digits = (value) =>
  missing(value)
    ? DASH
    : Math.abs(value) >= 1e4
      ? value.toExponential(2)
      : String(Number(value.toPrecision(3)));

function neuronView(target) {
  const own = target.analyses;
  if (!own.length) return [];
  const methods = target.methods.filter(
    (m) => own.some((a) => a.row.method === m.name) && shownMethods(target).includes(m),
  );
  if (!methods.length) return [];
  const chosen =
    methods.find((m) => m.name === state.neurons) ?? methods.find((m) => !m.control) ?? methods[0];
  const id = `neurons-${target.index}`;
  const tabs = methods.map((method) =>
    el(
      "button",
      {
        type: "button",
        role: "tab",
        id: method === chosen ? `${id}-tab` : null,
        "aria-selected": String(method === chosen),
        "aria-controls": `${id}-panel`,
        "data-key": `${id}-${method.name}`,
        onclick: () => set({ neurons: method.name }),
      },
      method.name,
    ),
  );
  const list = el(
    "div",
    { role: "tablist", class: "tabs", "aria-label": `Models on ${target.benchmark}` },
    tabs,
  );
  roving(list, tabs, tabs[methods.indexOf(chosen)]);
  const before = own.filter((a) => a.row.method === chosen.name && a.row.attack === "none");
  const after = own.filter((a) => a.row.method === chosen.name && a.row.attack !== "none");
  return [
    el("h3", {}, titleOf(target)),
    list,
    el(
      "div",
      { role: "tabpanel", id: `${id}-panel`, "aria-labelledby": `${id}-tab`, class: "panels neurons" },
      before
        .flatMap((a) => figuresOf(a, `${chosen.name} on ${target.benchmark}`))
        .sort((p, q) => FOLDED.includes(p.dataset.figure) - FOLDED.includes(q.dataset.figure)),
      after.flatMap((a) =>
        figuresOf(a, `${chosen.name} under ${a.row.label}`).filter(
          (f) => !f.dataset.figure.endsWith("/numbers"),
        ),
      ),
      afterTable(after, chosen),
    ),
  ];
}

function figuresOf(analysis, model) {
  const found = new Map();
  for (const series of analysis.figures) {
    if (!found.has(series.figure)) found.set(series.figure, []);
    found.get(series.figure).push(series);
  }
  const single = [];
  const drawn = [];
  for (const [figure, all] of found) {
    const [title, x, y] = TITLES[`${analysis.analysis}/${figure}`] ?? [
      `${analysis.analysis}: ${figure}`,
      "x",
      "value",
    ];
    const of = { title, x, y, model, key: `${analysis.analysis}/${figure}`, link: analysis.analysis };
    const maps = all.filter((s) => s.layer && s.module && !s.x);
    const points = all.filter((s) => s.x && s.value.length > 1);
    const alone = all.filter((s) => !maps.includes(s) && !points.includes(s));
    if (points.length) drawn.push(points[0].module ? cloud(points, of) : lines(points, of, alone));
    if (maps.length) drawn.push(mapsOf(maps, of));
    if (alone.length && !points.length) single.push(...alone.map((s) => [figure, title, s]));
  }
  if (single.length) drawn.push(listOf(single, analysis, model));
  return drawn;
}

const figureOf = (of, ...parts) =>
  el(
    "figure",
    { "data-figure": of.key },
    el("figcaption", {}, documented(`analyses/${of.link}`, of.title)),
    parts,
  );

// ---- single numbers ----

function listOf(single, analysis, model) {
  const bars = single.filter(([figure]) => figure === "top100");
  const most = Math.max(...bars.map(([, , s]) => s.value[0]), 0) || 1;
  const line = ([figure, title, s]) => [
    el(
      "dt",
      {},
      figure === "top100" ? `${MEANS[s.series] ?? s.series}, top 100 units` : title,
      !["", "all"].includes(s.series) && figure !== "top100" && `, ${s.series}`,
    ),
    el(
      "dd",
      {},
      digits(s.value[0]),
      figure === "top100" &&
        svg(
          "svg",
          { class: `bar-${s.series === "D-" ? 1 : 0}`, viewBox: "0 0 120 12", "aria-hidden": "true" },
          svg("rect", { x: 0, y: 1, width: (120 * s.value[0]) / most, height: 10 }),
        ),
    ),
  ];
  return figureOf(
    {
      title: `In numbers: ${analysis.analysis}`,
      key: `${analysis.analysis}/numbers`,
      link: analysis.analysis,
      model,
    },
    el("dl", { class: "numbers" }, single.map(line)),
  );
}

// What analyses of attacked models found, a line for each attack.
function afterTable(after, method) {
  const columns = new Map(); // by name of the number
  const lines = new Map(); // by attack
  for (const analysis of after)
    for (const s of analysis.figures.filter((one) => !one.x && one.value.length === 1)) {
      const name = [
        TITLES[`${analysis.analysis}/${s.figure}`]?.[0] ?? `${analysis.analysis}: ${s.figure}`,
        s.series,
      ]
        .filter(Boolean)
        .join(", ");
      columns.set(name, analysis.analysis);
      const row = analysis.row;
      if (!lines.has(row)) lines.set(row, new Map());
      lines.get(row).set(name, s.value[0]);
    }
  if (!lines.size) return null;
  const names = [...columns.keys()];
  return el(
    "figure",
    { "data-figure": "after", class: "broad" },
    el("figcaption", {}, "What each attack did to it"),
    scroller(
      `after-${method.target}`,
      `What each attack did to ${method.name}, in numbers`,
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "attack"),
            names.map((name) =>
              el(
                "th",
                { scope: "col", class: "number wraps" },
                documented(`analyses/${columns.get(name)}`, name),
              ),
            ),
          ),
        ),
        el(
          "tbody",
          {},
          [...lines].map(([row, values]) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, attackLink(row)),
              names.map((name) => el("td", { class: "number" }, digits(values.get(name)))),
            ),
          ),
        ),
      ),
    ),
  );
}
