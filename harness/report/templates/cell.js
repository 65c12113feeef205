// What is behind one number: its curve, its facts one by one, and its signature. A dialog, with an address of its own.

const dialog = document.getElementById("cell");
const cellOf = (row) =>
  [targets[row.target].benchmark, targets[row.target].model, row.method, row.label || "none"].join("/");
const openCell = (row) => tell({ cell: cellOf(row) }, showCell);

function showCell() {
  const row = state.cell && rows.find((r) => cellOf(r) === state.cell);
  if (!row) {
    if (dialog.open) dialog.close();
    return;
  }
  const target = targets[row.target];
  const where = row.attack === "none" ? "before any attack" : ["under ", attackLink(row)];
  const method = target.methods.find((m) => m.name === row.method);
  const title = el("h2", { id: "cell-title", tabindex: "-1" }, methodLink(method), " ", where);
  dialog.replaceChildren(
    el(
      "button",
      { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() },
      "×",
    ),
    title,
    el("p", { class: "facts" }, documented(`benchmarks/${target.benchmark}`, titleOf(target))),
    numbersOf(row, method),
    curveOf(row, target),
    factsOf(row, method, target),
    signatureOf(row),
  );
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  title.focus();
}
dialog.addEventListener("close", () => tell({ cell: "" }));
// Beside the dialog is its backdrop, which is the dialog itself to a click.
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

function numbersOf(row, method) {
  const before = row.attack === "none";
  const shown = before
    ? ["forget_before", "retain_before", "utility_before", "kept", "recovered", "worst", "seconds"]
    : ["score", "recovery", "exact_match", "n_scored", "seconds"];
  const kinds = { n_scored: "count", seconds: "cost" };
  const line = (name, source) => [
    el("dt", {}, D.columns.find((c) => c.name === name)?.title ?? name),
    el(
      "dd",
      {},
      textOf(source, name, kinds[name]),
      source && interval(source, name) && ` [${interval(source, name)}]`,
    ),
  ];
  return el(
    "dl",
    { class: "numbers" },
    row.verdict && [
      el("dt", {}, "verdict"),
      el("dd", {}, row.verdict, row.verdict_why && `: ${row.verdict_why}`),
    ],
    el("dt", {}, "metric"),
    el("dd", {}, missing(row.forget_metric) ? DASH : metricLink(row.forget_metric)),
    shown.map((name) => line(name, row)),
    !before && method.before && [el("dt", {}, "before"), el("dd", {}, text(method.before.forget_before))],
    el("dt", {}, "over"),
    el("dd", {}, behind(row, "interval"), row.failed > 0 && `; ${plural(row.failed, "cell")} failed`),
  );
}

function curveOf(row, target) {
  const own = targets[row.target].curves.filter((c) => c.row.label === row.label);
  if (!own.some((c) => c.row === row)) return null;
  const chosen = row.control && REFERENCES.includes(row.control) ? [] : [row.method];
  const width = Math.max(260, Math.min(640, innerWidth - 90));
  return el("section", {}, el("h3", {}, "Its curve"), panel(target, row.label, own, width, false, chosen));
}

// ---- single facts ----

const valuesOf = (row) => (row && D.facts.values[row.place]) || [];
const answersOf = (row) => (row && D.facts.answers[row.place]) || [];
const hundredths = (value) => (missing(value) ? DASH : (value / 100).toFixed(2));
// A value and, below it, what the model wrote: in quotes, for that may be nothing.
const square = (value, text) =>
  el(
    "td",
    { class: `number heat-${missing(value) ? "" : Math.round(8 * Math.min(1, Math.max(0, value / 100)))}` },
    el("span", {}, hundredths(value)),
    !missing(text) && el("q", {}, D.facts.texts[text]),
  );

// A table of facts by columns of [title, values, answers], `most` of them at first.
function factTable(target, columns, order, label, most = 12) {
  const names = D.facts.names[target.index] ?? [];
  const scored = names.map((_, i) => i).filter((i) => columns.some(([, values]) => !missing(values[i])));
  const sortedFacts = scored.sort((a, b) => order(b) - order(a) || a - b);
  const line = (i) =>
    el(
      "tr",
      { "data-fact": names[i][0] },
      el("th", { scope: "row" }, names[i][0], names[i][1] && el("small", {}, names[i][1])),
      columns.map(([, values, answers]) => square(values[i], answers?.[i])),
    );
  const body = el("tbody", {}, sortedFacts.slice(0, most).map(line));
  const more =
    scored.length > most &&
    el(
      "button",
      {
        type: "button",
        onclick: () => {
          body.replaceChildren(...sortedFacts.map(line));
          more.remove();
        },
      },
      `Show all ${scored.length} facts`,
    );
  return [
    scroller(
      label,
      label,
      el(
        "table",
        { class: "heat facts" },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "fact"),
            columns.map(([title]) => el("th", { scope: "col", class: "number" }, title)),
          ),
        ),
        body,
      ),
    ),
    more,
  ];
}

function factsOf(row, method, target) {
  const control = (name) => target.methods.find((m) => m.control === name);
  const after = valuesOf(row);
  if (!after.length)
    return el(
      "p",
      { class: "empty" },
      "This leaderboard holds no values of single facts: build it again from results.",
    );
  const unlearned = valuesOf(method.before);
  const twin = control("retrain");
  const columns = [
    ["original", control("none")?.before],
    ["unlearned", method.before],
    row.attack !== "none" && ["attacked", row],
    ["never knew", row.attack === "none" ? twin?.before : twin?.attacks.get(row.label)],
  ]
    .filter(Boolean)
    .map(([title, source]) => [title, valuesOf(source), answersOf(source)])
    .filter(([, values]) => values.length);
  const told = D.facts.answered[row.place];
  const gained = (i) => (row.attack === "none" ? after[i] : after[i] - (unlearned[i] ?? 0));
  return el(
    "section",
    {},
    el(
      "h3",
      {},
      row.attack === "none" ? "Its facts, the best known first" : "Its facts, what came back most first",
    ),
    el(
      "p",
      { class: "legend" },
      `${row.forget_metric}, mean over seeds: in the original, after unlearning, ${row.attack === "none" ? "" : "after the attack, "}and in the twin that never knew.`,
      told
        ? ` In quotes what the model of the first seed wrote${told === row.forget_metric ? "" : `, which ${told} looks at`}.`
        : " The texts of these answers were not kept.",
    ),
    factTable(target, columns, gained, `Facts of ${cellOf(row)}`),
  );
}

function signatureOf(row) {
  const parts = row.signature.split("|").map((part) => {
    const at = part.indexOf(":");
    return [part.slice(0, at), part.slice(at + 1)];
  });
  const versions = {
    engine: "engine",
    benchmark_source: "benchmark's code",
    method_source: "method's code",
    attack_source: "attack's code",
    target_weights: "original's weights",
  };
  const told = Object.entries(versions)
    .filter(([name]) => row[name])
    .map(([name, words]) => [words, row[name]]);
  return el(
    "section",
    {},
    el("h3", {}, "Its signature"),
    el(
      "dl",
      { class: "numbers" },
      [...parts, ...told].map(([name, value]) => [el("dt", {}, name), el("dd", {}, el("code", {}, value))]),
    ),
    el("p", {}, el("code", { class: "signature" }, row.signature)),
    el(
      "p",
      { class: "buttons" },
      el("button", { type: "button", onclick: () => copy(row.signature, "signature") }, "Copy signature"),
      el("button", { type: "button", onclick: () => copy(location.href, "link") }, "Copy link to this"),
    ),
    el("p", { role: "status", class: "said" }),
  );
}
