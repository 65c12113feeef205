// Two methods beside each other: what they did, and fact by fact what came back.

const NUMBERS = [
  "verdict",
  "recovered",
  "kept",
  "worst",
  "rank",
  "forget_before",
  "retain_before",
  "utility_before",
  "seconds",
  "steps",
];

// The two that are compared: the chosen ones, or the first and the last of those that are ranked.
function pair(target) {
  const methods = target.methods.filter((m) => m.before || m.attacks.size);
  const own = methods.filter((m) => !m.control);
  const ranked = own.filter((m) => !missing(m.any.rank));
  const among = ranked.length > 1 ? ranked : own;
  const find = (name, other) => methods.find((m) => m.name === name) ?? other;
  return [find(state.a, among[0]), find(state.b, among.length > 1 ? among.at(-1) : undefined)];
}

function comparison(target) {
  const [a, b] = pair(target);
  if (!a || !b) return [el("p", { class: "empty" }, "There are not two methods here.")];
  const numbers = el(
    "table",
    { class: "pair" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("td"),
        [a, b].map((m) => el("th", { scope: "col", class: "number" }, methodLink(m))),
      ),
    ),
    el(
      "tbody",
      {},
      NUMBERS.map((name) => D.columns.find((c) => c.name === name)).map((column) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, column.title),
          [a, b].map((m) => {
            const row = rowFor(column, m);
            return el(
              "td",
              { class: "number" },
              el("span", {}, textOf(row, column.name, column.kind)),
              row && interval(row, column.name) && el("small", {}, interval(row, column.name)),
              ["recovered", "worst"].includes(column.name) &&
                row &&
                el("small", {}, row[`${column.name}_attack`]),
            );
          }),
        ),
      ),
    ),
  );
  const [under, rowsOf] = rowsCompared(target, a, b);
  return [
    el(
      "div",
      { class: "panels" },
      el(
        "div",
        { class: "narrow" },
        scroller(`pair-${target.index}`, `${a.name} and ${b.name} in numbers`, numbers),
      ),
      el("div", { class: "wide" }, factByFact(target, [a, b], rowsOf, under)),
    ),
  ];
}

// Both under one attack: the chosen one, or the strongest under which both were scored fact by fact.
function rowsCompared(target, a, b) {
  const labels = state.attack ? [state.attack] : attacksOf(target);
  const both = (label) => [a.attacks.get(label), b.attacks.get(label)];
  const under = labels.find((label) => both(label).every((row) => valuesOf(row).length));
  return [under, under ? both(under) : []];
}

function factByFact(target, methods, rowsOf, under) {
  if (!under)
    return el(
      "p",
      { class: "empty" },
      "No values of single facts are here: build the leaderboard again from results.",
    );
  const [a, b] = rowsOf.map(valuesOf);
  const [a0, b0] = methods.map((m) => valuesOf(m.before));
  const both = a.map((_, i) => i).filter((i) => !missing(a[i]) && !missing(b[i]));
  const count = (test) => both.filter(test).length;
  const [first, second] = [methods[0].name, methods[1].name];
  return [
    el(
      "p",
      {},
      "Fact by fact under ",
      attackLink(rowsOf[0]),
      ", the largest differences first. ",
      `Of ${plural(both.length, "fact")} more comes back with ${first} on ${count((i) => a[i] > b[i])}, with ${second} on ${count((i) => b[i] > a[i])}, and the same on ${count((i) => a[i] === b[i])}.`,
    ),
    factTable(
      target,
      [
        [`${first}, before`, a0, answersOf(methods[0].before)],
        ["after", a, answersOf(rowsOf[0])],
        [`${second}, before`, b0, answersOf(methods[1].before)],
        ["after", b, answersOf(rowsOf[1])],
      ],
      (i) => (missing(a[i]) || missing(b[i]) ? -1 : Math.abs(a[i] - b[i])),
      `${first} and ${second} fact by fact on ${target.benchmark}`,
      10,
    ),
  ];
}
