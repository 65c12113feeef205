// The first table (a line for each method) and the second (what each attack brought back).

const shownMethods = (target) => target.methods.filter((m) => m.name.toLowerCase().includes(state.q.trim().toLowerCase()));

// The attack a method is shown under: the chosen one, or its worst.
const shownRow = (method) => method.attacks.get(state.attack || method.any.worst_attack);
// What it cost belongs to the model before attacks; how a method stands is said in all of its rows.
function rowFor(column, method) {
  if (column.row === "attack") return shownRow(method);
  if (column.row === "worst") return method.attacks.get(method.any.worst_attack) ?? method.any;
  return method.before ?? (column.kind === "cost" ? undefined : method.any);
}
const valueOf = (column, method) => rowFor(column, method)?.[column.name] ?? null;

const columnsNow = () => D.columns.filter((column) => column.name !== "score" || state.attack);
const groupTitle = (column) => (column.row === "attack" && state.attack ? `under ${state.attack}` : column.group);

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
  const next = { [`${column.name}.${turns[0]}`]: `${column.name}.${turns[1]}`, [`${column.name}.${turns[1]}`]: "" };
  set({ sort: next[state.sort] ?? `${column.name}.${turns[0]}` });
}

function headerTip(column, target) {
  const own = target.methods.map((m) => rowFor(column, m)).filter(Boolean);
  const metric = column.within === "of the forget metric";
  const ranges = metric ? `${target.metric}: ${target.definition ?? "defined by its benchmark"}. Range ${target.range ?? DASH}.` : column.within && `Range: ${column.within}.`;
  return {
    title: column.title,
    lines: [
      `${D.help[column.name]}.`,
      ranges,
      column.better && `Good: ${column.better}.`,
      ["interval", "headline", "share"].includes(column.kind) &&
        `Over ${spread(own.map((r) => r.n_scored))} facts and ${spread(own.map((r) => r.seeds))} seeds${column.name === "lm_eval" ? "; the tasks stand above the table" : ""}.`,
    ],
  };
}

function numberTip(row, name, kind, title) {
  const range = interval(row, name, kind);
  return () => ({
    title: `${title}: ${text(row[name], kind)}`,
    lines: [
      range && `95 % interval ${range}`,
      `${row.method}, ${row.attack === "none" ? "before any attack" : `under ${row.label}`}: ${behind(row)}`,
      row.attack !== "none" && name === "score" && `of ${row.forget_metric}${row.counts ? "" : "; does not count in worst"}`,
      row.attack === "none" ? rates("the method's", row.learning_rates) : rates("the attack's", row.attack_learning_rates),
    ],
    signature: row.signature,
  });
}
const rates = (whose, values) => values?.length && `${whose} learning ${values.length > 1 ? "rates" : "rate"}: ${values.join(", ")}`;

// The worst score with its interval on a line, and where chance and the retrain twin are.
function forest(method, target) {
  const row = method.any;
  if (missing(row.worst)) return null;
  const [low, high] = scale(target);
  const at = (value) => 4 + 112 * ((value - low) / (high - low));
  const twin = target.methods.find((m) => m.control === "retrain")?.any.worst;
  const chance = target.chances.length === 1 ? target.chances[0] : null;
  return svg("svg", { class: "forest", viewBox: "0 0 120 20", "aria-hidden": "true" },
    svg("line", { class: "axis", x1: 4, x2: 116, y1: 10, y2: 10 }),
    !missing(chance) && svg("line", { class: "chance", x1: at(chance), x2: at(chance), y1: 2, y2: 18 }),
    !missing(twin) && svg("line", { class: "twin", x1: at(twin), x2: at(twin), y1: 2, y2: 18 }),
    !missing(row.worst_low) && svg("line", { class: "interval", x1: at(row.worst_low), x2: at(row.worst_high), y1: 10, y2: 10 }),
    svg("circle", { class: "dot", cx: at(row.worst), cy: 10, r: 4 }));
}

// From 0 to 1 unless a metric goes further.
function scale(target) {
  const seen = rows.filter((r) => r.target === target.index).flatMap((r) => [r.worst, r.worst_low, r.worst_high]).filter((v) => !missing(v));
  return [Math.min(0, ...seen), Math.max(1, ...seen)];
}

// What a guard looks at: how much of the original's is left.
function share(name, row, target) {
  const original = name === "lm_eval" ? row?.lm_eval_original : target.methods.find((m) => m.control === "none")?.before?.[name];
  return name === "forgotten" || missing(row?.[name]) || !original ? "" : `${Math.round((100 * row[name]) / original)} %`;
}

const kindOf = (method) => (method.control ? "control" : missing(method.any.rank) ? "guarded" : "ranked");

const CONTROLS = { none: "the original model: what there is to recover", retrain: "the twin that never knew the facts", refusal: "trained to decline: it hides by construction" };

function methodCell(method) {
  const picked = state.pick === pickOf(method);
  const tag = method.control ? "control" : missing(method.any.rank) && "not ranked";
  const about = () => ({ title: method.name, lines: [method.control ? `Control, ${CONTROLS[method.control]}.` : method.any.guard ? `Not ranked: ${method.any.guard}.`
    : !missing(method.any.rank) && `Rank ${method.any.rank} of ${targets[method.target].methods.filter((m) => !missing(m.any.rank)).length} ranked methods.`, "Click to highlight it in tables and charts."] });
  return el("th", { scope: "row" },
    el("button", { type: "button", class: "name", "aria-pressed": String(picked), "data-key": `pick-${pickOf(method)}`,
      tip: about, onclick: () => set({ pick: picked ? "" : pickOf(method) }) }, method.name),
    tag && el("small", { class: "tag" }, tag));
}
const pickOf = (method) => `${targets[method.target].benchmark}/${method.target}/${method.name}`;

function numberCell(column, method, target, ties) {
  const row = rowFor(column, method);
  const value = valueOf(column, method);
  const shared = column.name === "rank" && ties.get(value) > 1;
  const range = row && ["interval", "headline"].includes(column.kind) ? interval(row, column.name) : "";
  const kept = column.kind === "share" ? share(column.name, row, target) : "";
  const part = { rank: "tie", headline: "headline" }[column.kind] ?? "";
  return el("td", {
    class: `${["text", "headline"].includes(column.kind) ? "" : "number"} ${part}`, "data-column": column.name, "data-value": value,
    "data-signature": row?.signature, tip: row && numberTip(row, column.name, column.kind, column.title),
  },
  el("div", {},
    el("span", {}, shared ? `=${value}` : text(value, column.kind)),
    range && el("small", {}, range),
    kept && el("small", {}, `(${kept})`),
    column.kind === "headline" && forest(method, target)));
}

function standingTable(target) {
  const methods = sorted(shownMethods(target));
  const columns = columnsNow();
  const ties = new Map();
  for (const m of target.methods) if (!missing(m.any.rank)) ties.set(m.any.rank, (ties.get(m.any.rank) ?? 0) + 1);
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
    return el("tr", { class: `${kindOf(method)} ${place < 0 ? "" : `group-${place % 2}`} ${state.pick === pickOf(method) ? "picked" : ""}`,
      "data-method": method.name }, methodCell(method), line);
  });
  const header = (column) => {
    const [name, direction] = state.sort.split(".");
    const own = name === column.name ? { asc: "ascending", desc: "descending" }[direction] : "none";
    return el("th", { scope: "col", "aria-sort": own, class: ["text", "headline"].includes(column.kind) ? "" : "number", "data-column": column.name },
      el("button", { type: "button", "data-key": `sort-${target.index}-${column.name}`, tip: () => headerTip(column, target),
        onclick: () => sortBy(column) }, column.title));
  };
  const tbody = el("tbody", {}, body);
  roving(tbody, cells);
  return scroller(`standing-${target.index}`, `How methods stand on ${target.benchmark}`,
    el("table", { class: "standing" },
      el("thead", {},
        el("tr", { class: "groups" }, groups.map((g) => el(g.title ? "th" : "td", { colspan: g.span, scope: g.title && "colgroup" }, g.title))),
        el("tr", {}, columns.map(header))),
      tbody));
}

// The only places that may scroll sideways.
const scroller = (key, label, table) =>
  el("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0", "data-key": `scroll-${key}`, "data-scroll": key }, table);

const HEAT = {
  score: ["score", "interval"], recovery: ["recovery", "interval"], exact_match: ["exact match", "interval"],
  n_scored: ["facts scored", "count"], seconds: ["seconds", "cost"], steps: ["steps", "cost"], peak_memory_mib: ["peak memory, MiB", "cost"],
};

function attackTable(target) {
  const [title, kind] = HEAT[state.cells] ?? HEAT.score;
  const name = HEAT[state.cells] ? state.cells : "score";
  const labels = attacksOf(target).filter((label) => !state.attack || label === state.attack);
  const methods = sorted(shownMethods(target));
  const own = target.methods.flatMap((m) => [...m.attacks.values()]).map((r) => r[name]).filter((v) => !missing(v));
  const most = kind === "interval" ? 1 : Math.max(...own, 0) || 1;
  const cells = [];
  const body = methods.map((method) => el("tr", { class: `${kindOf(method)} ${state.pick === pickOf(method) ? "picked" : ""}`, "data-method": method.name },
    el("th", { scope: "row" }, method.name),
    labels.map((label) => {
      const row = method.attacks.get(label);
      const value = row?.[name] ?? null;
      const heat = missing(value) ? "" : `heat-${Math.round(8 * Math.min(1, Math.max(0, value / most)))}`;
      const worst = row && row.label === row.worst_attack && row.counts;
      const cell = el("td", { class: `number ${heat} ${worst ? "worst" : ""}`, "data-column": label, "data-value": value,
        "data-signature": row?.signature, tip: row && numberTip(row, name, kind, title) },
      el("span", {}, missing(value) && row?.failed ? "failed" : text(value, kind)),
      row && kind === "interval" && interval(row, name) && el("small", {}, interval(row, name)));
      if (row) cells.push(cell);
      return cell;
    })));
  const tbody = el("tbody", {}, body);
  roving(tbody, cells);
  const aside = (label) => !target.methods.some((m) => m.attacks.get(label)?.counts);
  return scroller(`attacks-${target.index}`, `${title} under each attack on ${target.benchmark}`,
    el("table", { class: "heat" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "method"),
        labels.map((label) => el("th", { scope: "col", class: "number" }, label, aside(label) && " †")))),
      tbody));
}

const attacksOf = (target) => [...new Set(target.methods.flatMap((m) => [...m.attacks.keys()]))].sort();
