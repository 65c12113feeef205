// The first table, to be read in ten seconds: what each method did, what came back, what it kept and cost.

const BRIEF = [
  ...(D.columns.some((c) => c.name === "badge") ? [["badge", "badge"]] : []),
  ["verdict", "verdict"],
  ["recovered", "came back"],
  ["recovered_attack", "most under"],
  ["kept", "kept"],
  ["forget_before", "forget score"],
  ["worst", "worst score"],
  ["seconds", "seconds"],
];
const MARKS = [
  "erased",
  "partly hidden",
  "hidden",
  "not forgotten",
  "damaged",
  "below the twin",
  "undecided",
];

function verdictTable(target) {
  const cells = [];
  const lines = sorted(shownMethods(target)).map((method) => {
    const line = BRIEF.map(([name]) => briefCell(name, method));
    cells.push(...line.filter((cell) => cell.hasAttribute("data-tip")));
    return el(
      "tr",
      {
        class: `${kindOf(method)} ${state.pick === pickOf(method) ? "picked" : ""}`,
        "data-method": method.name,
      },
      el(
        "th",
        { scope: "row" },
        methodLink(method),
        method.control && el("small", {}, CONTROLS[method.control]),
      ),
      line,
    );
  });
  const tbody = el("tbody", {}, lines);
  roving(tbody, cells);
  const header = ([name, title]) =>
    el(
      "th",
      {
        scope: "col",
        class: ["kept", "forget_before", "worst", "seconds"].includes(name) ? "number" : "",
        tip: () => ({ title, lines: [`${D.help[name]}.`] }),
      },
      title,
    );
  return scroller(
    `verdicts-${target.index}`,
    `Verdicts on ${target.benchmark}`,
    el(
      "table",
      { class: "brief" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "method"), BRIEF.map(header))),
      tbody,
    ),
  );
}

function briefCell(name, method) {
  const column = D.columns.find((c) => c.name === name);
  const row = rowFor(column, method);
  const value = row?.[name] ?? null;
  const words = textOf(row, name, column.kind);
  const about = {
    verdict: () => [el("span", { class: `mark-${MARKS.indexOf(row?.verdict)}` }, words)],
    recovered: () => [
      el(
        "div",
        { class: "bar" },
        el("span", {}, words),
        el("small", {}, row && interval(row, name)),
        recoveryBar(row),
      ),
    ],
    recovered_attack: () => [
      missing(value) ? DASH : attackLink(method.attacks.get(value) ?? { attack: "", label: value }),
    ],
    kept: () => [el("span", {}, words), row?.kept_of && el("small", {}, `of ${row.kept_of}`)],
  };
  return el(
    "td",
    {
      class: ["kept", "forget_before", "worst", "seconds"].includes(name) ? "number" : "",
      "data-column": name,
      "data-value": value,
      "data-signature": row?.signature,
      tip: row && name !== "recovered_attack" && numberTip(row, name, column.kind, column.title),
      onclick: row && name !== "recovered_attack" && (() => openCell(row)),
    },
    (about[name] ?? (() => [el("span", {}, words)]))(),
  );
}

// What came back between nothing and all of it, and the shares up to which it counts as erased and as partly hidden.
function recoveryBar(row) {
  if (missing(row?.recovered)) return null;
  const at = (value) => 4 + 112 * Math.min(1, Math.max(0, value));
  return svg(
    "svg",
    { class: "forest", viewBox: "0 0 120 20", "aria-hidden": "true" },
    svg("line", { class: "axis", x1: 4, x2: 116, y1: 10, y2: 10 }),
    [0.1, 0.5].map((share) => svg("line", { class: "chance", x1: at(share), x2: at(share), y1: 3, y2: 17 })),
    !missing(row.recovered_low) &&
      svg("line", {
        class: "interval",
        x1: at(row.recovered_low),
        x2: at(row.recovered_high),
        y1: 10,
        y2: 10,
      }),
    svg("circle", { class: "dot", cx: at(row.recovered), cy: 10, r: 4 }),
  );
}
