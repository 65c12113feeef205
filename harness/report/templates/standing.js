// All numbers: a line for each method.

const shownMethods = (target) =>
  target.methods.filter(
    (m) =>
      m.name.toLowerCase().includes(state.q.trim().toLowerCase()) &&
      (!state.verdict || m.any.verdict === state.verdict),
  );

// The attack a method is shown under: the chosen one, or its worst.
const shownRow = (method) => method.attacks.get(state.attack || method.any.worst_attack);
// What it cost belongs to the model before attacks; how a method stands is said in all of its rows.
function rowFor(column, method) {
  if (column.row === "attack") return shownRow(method);
  if (column.row === "worst") return method.attacks.get(method.any.worst_attack) ?? method.any;
  if (column.row === "recovered") return method.attacks.get(method.any.recovered_attack) ?? method.any;
  return method.before ?? (column.kind === "cost" ? undefined : method.any);
}
const valueOf = (column, method) => rowFor(column, method)?.[column.name] ?? null;

const columnsNow = () => D.columns.filter((column) => column.name !== "score" || state.attack);
const groupTitle = (column) =>
  column.row === "attack" && state.attack ? `under ${state.attack}` : column.group;

function sorted(methods) {
  const [name, direction] = state.sort.split(".");
  const column = D.columns.find((c) => c.name === name);
  if (!column) return methods;
  const sign = direction === "desc" ? -1 : 1;
  return [...methods].sort((a, b) => {
    const [x, y] = [valueOf(column, a), valueOf(column, b)];
    if (missing(x) || missing(y)) return missing(x) - missing(y) || a.place - b.place;
    return sign * (typeof x === "string" ? x.localeCompare(y, "en") : x - y) || a.place - b.place;
  });
}

// First click: good values first. Then the other way, then the order of the leaderboard.
function sortBy(column) {
  const turns = column.better === "higher" ? ["desc", "asc"] : ["asc", "desc"];
  const next = {
    [`${column.name}.${turns[0]}`]: `${column.name}.${turns[1]}`,
    [`${column.name}.${turns[1]}`]: "",
  };
  set({ sort: next[state.sort] ?? `${column.name}.${turns[0]}` });
}

// What the forget facts decide; the number of other facts is not in the table.
const overFacts = (kind) => ["interval", "headline", "count"].includes(kind);
const behind = (row, kind) =>
  [
    overFacts(kind) && !missing(row.n_scored) && plural(row.n_scored, "fact"),
    plural(row.seeds, "seed"),
    row.targets > 1 && plural(row.targets, "target"),
  ]
    .filter(Boolean)
    .join(" × ");

function headerTip(column, target) {
  const own = target.methods.map((m) => rowFor(column, m)).filter(Boolean);
  const metric = column.within === "of the forget metric";
  const ranges = metric
    ? `${target.metric}: ${target.definition ?? "defined by its benchmark"}. Range ${target.range ?? DASH}.`
    : column.within && `Range: ${column.within}.`;
  return {
    title: column.title,
    lines: [
      `${D.help[column.name]}.`,
      ranges,
      column.better && `Good: ${column.better}.`,
      overFacts(column.kind)
        ? `Over ${spread(own.map((r) => r.n_scored))} facts and ${spread(own.map((r) => r.seeds))} seeds.`
        : column.kind !== "text" && `Over ${spread(own.map((r) => r.seeds))} seeds.`,
      column.name === "lm_eval" && "Tasks and their items stand above the table.",
    ],
  };
}

// A control has no verdict: it is what verdicts are made from.
const textOf = (row, name, kind) =>
  row?.control && ["verdict", "forgotten"].includes(name) && missing(row[name])
    ? NOT_APPLICABLE
    : text(row?.[name], kind);

function numberTip(row, name, kind, title) {
  const range = interval(row, name, kind);
  return () => ({
    title: `${title}: ${textOf(row, name, kind)}`,
    lines: [
      range && `95 % interval ${range}`,
      name !== "verdict" &&
        `${row.method}, ${row.attack === "none" ? "before any attack" : `under ${row.label}`}: ${behind(row, kind)}`,
      ...more(row, name),
      row.attack !== "none" &&
        name === "score" &&
        `of ${row.forget_metric}${row.counts ? "" : "; does not count in worst"}`,
      row.attack === "none"
        ? rates("the method's", row.learning_rates)
        : rates("the attack's", row.attack_learning_rates),
    ],
  });
}

// What else is to be said of one number of a row.
function more(row, name) {
  if (name === "verdict") return [row.verdict_why && `${row.verdict_why}.`];
  if (name === "recovered" || name === "recovery")
    return [row.baseline && `measured from ${row.baseline === "chance" ? "chance" : "the retrain twin"}`];
  if (name === "kept") return [row.kept_of && `of the original's ${row.kept_of}`];
  if (name === "rank") return [row.ranked_over?.length && `over ${row.ranked_over.join(", ")}`];
  if (name === "worst") return [row.few_facts && "few facts decided it"];
  if (name !== "forget_before") return [];
  const above = [text(row.above_twin), interval(row, "above_twin")].filter(Boolean).join(", ");
  return [
    !missing(row.threshold) &&
      `unlearning stops at ${text(row.threshold)} (${row.threshold_rule}), and ${text(row.threshold_high)} counts as forgotten`,
    !missing(row.above_twin) && `above one that never knew: ${above}`,
  ];
}
const rates = (whose, values) =>
  values?.length && `${whose} learning ${values.length > 1 ? "rates" : "rate"}: ${values.join(", ")}`;

// The worst score with its interval on a line, and where chance and the retrain twin are.
function forest(method, target) {
  const row = method.any;
  if (missing(row.worst)) return null;
  const [low, high] = scale(target);
  const at = (value) => 4 + 112 * ((value - low) / (high - low));
  const twin = target.methods.find((m) => m.control === "retrain")?.any.worst;
  const chance = target.chances.length === 1 ? target.chances[0] : null;
  return svg(
    "svg",
    { class: "forest", viewBox: "0 0 120 20", "aria-hidden": "true" },
    svg("line", { class: "axis", x1: 4, x2: 116, y1: 10, y2: 10 }),
    !missing(chance) && svg("line", { class: "chance", x1: at(chance), x2: at(chance), y1: 2, y2: 18 }),
    !missing(twin) && svg("line", { class: "twin", x1: at(twin), x2: at(twin), y1: 2, y2: 18 }),
    !missing(row.worst_low) &&
      svg("line", { class: "interval", x1: at(row.worst_low), x2: at(row.worst_high), y1: 10, y2: 10 }),
    svg("circle", { class: "dot", cx: at(row.worst), cy: 10, r: 4 }),
  );
}

// From 0 to 1 unless a metric goes further.
function scale(target) {
  const seen = target.rows
    .flatMap((r) => [r.worst, r.worst_low, r.worst_high])
    .filter((v) => !missing(v));
  return [Math.min(0, ...seen), Math.max(1, ...seen)];
}

const kindOf = (method) => (method.control ? "control" : missing(method.any.rank) ? "guarded" : "ranked");

const CONTROLS = {
  none: "the original model: what there is to recover",
  retrain: "the twin that never knew the facts",
  refusal: "trained to decline: it hides by construction",
};

function methodCell(method) {
  const picked = state.pick === pickOf(method);
  const tag = method.control ? "control" : missing(method.any.rank) && "not ranked";
  const about = () => ({
    title: method.name,
    lines: [
      method.control
        ? `Control, ${CONTROLS[method.control]}.`
        : method.any.guard
          ? `Not ranked: ${method.any.guard}.`
          : !missing(method.any.rank) && `Rank ${method.any.rank}.`,
      method.any.verdict &&
        `${[`Verdict: ${method.any.verdict}`, method.any.verdict_why].filter(Boolean).join("; ")}.`,
      "Click to highlight it in tables and charts.",
    ],
  });
  return el(
    "th",
    { scope: "row" },
    el(
      "button",
      {
        type: "button",
        class: "name",
        "aria-pressed": String(picked),
        "data-key": `pick-${pickOf(method)}`,
        tip: about,
        onclick: () => set({ pick: picked ? "" : pickOf(method) }),
      },
      method.name,
    ),
    tag && el("small", { class: "tag" }, tag),
  );
}
const pickOf = (method) =>
  [targets[method.target].benchmark, targets[method.target].model, method.name].join("/");

function numberCell(column, method, target, ties) {
  const row = rowFor(column, method);
  const value = valueOf(column, method);
  const shared = column.name === "rank" && ties.get(value) > 1;
  const ranged = row && ["interval", "estimate", "headline"].includes(column.kind);
  const range = ranged ? interval(row, column.name) : "";
  const kept = row?.[`${column.name}_kept`]; // what a guard looks at
  const part = { rank: "tie", headline: "headline" }[column.kind] ?? "";
  return el(
    "td",
    {
      class: `${["text", "headline"].includes(column.kind) ? "" : "number"} ${part}`,
      "data-column": column.name,
      "data-value": value,
      "data-signature": row?.signature,
      tip: row && numberTip(row, column.name, column.kind, column.title),
      onclick: row && (() => openCell(row)),
    },
    el(
      "div",
      {},
      el("span", {}, shared ? `=${value}` : textOf(row, column.name, column.kind)),
      range && el("small", {}, range),
      column.kind === "headline" && row?.few_facts && el("small", {}, "few facts"),
      !missing(kept) && el("small", {}, `(${kept} %)`),
      column.kind === "headline" && forest(method, target),
    ),
  );
}

function standingTable(target) {
  const methods = sorted(shownMethods(target));
  const columns = columnsNow();
  const ties = new Map();
  for (const m of target.methods)
    if (!missing(m.any.rank)) ties.set(m.any.rank, (ties.get(m.any.rank) ?? 0) + 1);
  const groups = [];
  for (const column of columns) {
    if (groups.at(-1)?.title === groupTitle(column)) groups.at(-1).span += 1;
    else groups.push({ title: groupTitle(column), span: 1 });
  }
  const cells = [];
  const body = methods.map((method) => {
    const line = columns.slice(1).map((column) => numberCell(column, method, target, ties));
    cells.push(...line.filter((cell) => cell.hasAttribute("data-tip")));
    const place = [...ties.keys()].indexOf(method.any.rank);
    return el(
      "tr",
      {
        class: `${kindOf(method)} ${place < 0 ? "" : `group-${place % 2}`} ${state.pick === pickOf(method) ? "picked" : ""}`,
        "data-method": method.name,
      },
      methodCell(method),
      line,
    );
  });
  const header = (column) => {
    const [name, direction] = state.sort.split(".");
    const own = name === column.name ? { asc: "ascending", desc: "descending" }[direction] : "none";
    return el(
      "th",
      {
        scope: "col",
        "aria-sort": own,
        class: ["text", "headline"].includes(column.kind) ? "" : "number",
        "data-column": column.name,
      },
      el(
        "button",
        {
          type: "button",
          "data-key": `sort-${target.index}-${column.name}`,
          tip: () => headerTip(column, target),
          onclick: () => sortBy(column),
        },
        column.title,
      ),
    );
  };
  const tbody = el("tbody", {}, body);
  roving(tbody, cells);
  return scroller(
    `standing-${target.index}`,
    `How methods stand on ${target.benchmark}`,
    el(
      "table",
      { class: "standing" },
      el(
        "thead",
        {},
        el(
          "tr",
          { class: "groups" },
          groups.map((g) =>
            el(g.title ? "th" : "td", { colspan: g.span, scope: g.title && "colgroup" }, g.title),
          ),
        ),
        el("tr", {}, columns.map(header)),
      ),
      tbody,
    ),
  );
}

// The only places that may scroll sideways.
const scroller = (key, label, table) =>
  el(
    "div",
    {
      class: "scroll",
      role: "region",
      "aria-label": label,
      tabindex: "0",
      "data-key": `scroll-${key}`,
      "data-scroll": key,
    },
    table,
  );
