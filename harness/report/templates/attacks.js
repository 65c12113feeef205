// The heat map: what each attack brought back, or what it took, the strongest attack first.

const HEAT = {
  recovery: ["recovery", "interval"],
  score: ["score", "interval"],
  exact_match: ["exact match", "interval"],
  n_scored: ["facts scored", "count"],
  seconds: ["seconds", "cost"],
  steps: ["steps", "cost"],
  peak_memory_mib: ["peak memory, MiB", "cost"],
};

function attackTable(target) {
  const name = state.cells;
  const [title, kind] = HEAT[name];
  const labels = attacksOf(target).filter((label) => !state.attack || label === state.attack);
  const methods = sorted(shownMethods(target));
  const own = target.methods
    .flatMap((m) => [...m.attacks.values()])
    .map((r) => r[name])
    .filter((v) => !missing(v));
  const most = kind === "interval" ? 1 : Math.max(...own, 0) || 1;
  const cells = [];
  const body = methods.map((method) =>
    el(
      "tr",
      {
        class: `${kindOf(method)} ${state.pick === pickOf(method) ? "picked" : ""}`,
        "data-method": method.name,
      },
      el("th", { scope: "row" }, methodLink(method)),
      labels.map((label) => {
        const row = method.attacks.get(label);
        const value = row?.[name] ?? null;
        const heat = missing(value) ? "" : `heat-${Math.round(8 * Math.min(1, Math.max(0, value / most)))}`;
        const worst = row && row.label === row.worst_attack && row.counts;
        const cell = el(
          "td",
          {
            class: `number ${heat} ${worst ? "worst" : ""}`,
            "data-column": label,
            "data-value": value,
            "data-signature": row?.signature,
            tip: row && numberTip(row, name, kind, title),
            onclick: row && (() => openCell(row)),
          },
          el("span", {}, missing(value) && row?.failed ? "failed" : short(value, kind)),
          row && kind === "interval" && el("small", {}, shortInterval(row, name)),
        );
        if (row) cells.push(cell);
        return cell;
      }),
    ),
  );
  const tbody = el("tbody", {}, body);
  roving(tbody, cells);
  const aside = (label) => !target.methods.some((m) => m.attacks.get(label)?.counts);
  return scroller(
    `attacks-${target.index}`,
    `${title} under each attack on ${target.benchmark}`,
    el(
      "table",
      { class: "heat" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col" }, "method"),
          labels.map((label) =>
            el("th", { scope: "col" }, attackLink(anyUnder(target, label)), aside(label) && " †"),
          ),
        ),
      ),
      tbody,
    ),
  );
}

const attacksOf = (target) => target.attacks;
const anyUnder = (target, label) => target.rows.find((row) => row.label === label);

// Two decimals: many columns stand beside each other here, and the tooltip has the third.
const short = (value, kind) =>
  kind === "interval" && !missing(value) ? value.toFixed(2).replace("-0.00", "0.00") : text(value, kind);
const shortInterval = (row, name) =>
  missing(row[`${name}_low`])
    ? ""
    : `${short(row[`${name}_low`], "interval")} to ${short(row[`${name}_high`], "interval")}`;
