// Relearning curves: a panel for each attack that trains.

const styleOf = (place) => ({
  colour: place % COLOURS,
  shape: shapes[Math.floor(place / COLOURS) % shapes.length],
  dash: DASHES[Math.floor(place / COLOURS) % DASHES.length],
});
const REFERENCES = ["none", "retrain"];

// The methods of all targets that have curves, by the order in which they first come.
const drawable = [
  ...new Set(
    targets
      .flatMap((t) => t.curves)
      .filter((c) => !REFERENCES.includes(c.row.control))
      .map((c) => c.row.method),
  ),
];

function chosenMethods() {
  if (state.methods === "-") return [];
  // The first, the middle and the last of the leaderboard, unless some were chosen.
  if (state.methods)
    return state.methods
      .split(",")
      .map((told) => drawable.find((name) => encodeURIComponent(name) === told))
      .filter(Boolean);
  const names = [
    ...new Set(
      visible()
        .flatMap(shownMethods)
        .filter((m) => !m.control)
        .map((m) => m.name),
    ),
  ].filter((name) => drawable.includes(name));
  return [...new Set([names[0], names[names.length >> 1], names.at(-1)])].filter(Boolean);
}

function curvePanels(target) {
  const own = target.curves;
  const labels = attacksOf(target).filter(
    (name) => own.some((c) => c.row.label === name) && (!state.attack || name === state.attack),
  );
  if (!labels.length) return [];
  const available = room("curves");
  const lines = Math.ceil(labels.length / Math.max(1, Math.floor((available + 16) / 316)));
  const across = Math.ceil(labels.length / lines);
  const width = Math.min(
    labels.length === 1 ? 720 : 460,
    Math.floor((available - 16 * (across - 1)) / across),
  );
  return labels.map((name) =>
    panel(
      target,
      name,
      own.filter((c) => c.row.label === name),
      width,
      labels.length === 1,
    ),
  );
}

function panel(target, name, own, width, alone, chosen = chosenMethods()) {
  const drawn = own.filter((c) => REFERENCES.includes(c.row.control) || chosen.includes(c.row.method));
  const ends = own.flatMap((c) => [...c.low, ...c.high, ...c.value]).filter((v) => !missing(v));
  const steps = [...new Set(own.flatMap((c) => c.step))].sort((a, b) => a - b);
  const chart = frame({
    width,
    height: alone ? Math.min(440, Math.max(260, 0.6 * width)) : 250,
    xs: [0, steps.at(-1)],
    ys: [Math.min(0, ...ends), Math.max(1, ...ends)],
    xTicks: ticks(0, steps.at(-1), 4),
    xTitle: "steps of the attack",
    yTitle: own[0].row.forget_metric,
    label: `${target.benchmark}, ${name}`,
  });
  const chance = target.chances.length === 1 ? target.chances[0] : null;
  if (!missing(chance)) {
    chart.node.append(
      svg("line", {
        class: "chance",
        x1: chart.left,
        x2: chart.right,
        y1: chart.y(chance),
        y2: chart.y(chance),
      }),
    );
  }
  const marks = [];
  for (const curve of drawn) chart.node.append(line(curve, chosen, chart, marks));
  const hint = (words, x, y, anchor) =>
    chart.node.append(svg("text", { class: "hint", x, y, "text-anchor": anchor }, words));
  if (!missing(chance)) hint("chance", chart.left + 4, chart.y(chance) - 4, "start");
  for (const curve of drawn.filter((c) => REFERENCES.includes(c.row.control)))
    hint(curve.row.control, chart.right - 4, chart.y(curve.value.at(-1)) + 14, "end");
  roving(chart.node, marks);
  return el("figure", { "data-attack": name }, el("figcaption", {}, attackLink(own[0].row)), chart.node);
}

function line(curve, chosen, chart, marks) {
  const reference = REFERENCES.includes(curve.row.control) && curve.row.control;
  const { colour, shape, dash } = reference
    ? { shape: shapes[0] }
    : styleOf(chosen.indexOf(curve.row.method));
  const at = (values) =>
    curve.step
      .map((step, i) =>
        missing(values[i]) ? null : `${chart.x(step).toFixed(1)} ${chart.y(values[i]).toFixed(1)}`,
      )
      .filter(Boolean);
  const group = svg("g", {
    class: reference ? `curve reference ${reference}` : `curve colour-${colour}`,
    "data-method": curve.row.method,
  });
  if (!reference && curve.low.some((v) => !missing(v)))
    group.append(
      svg("path", { class: "band", d: `M${[...at(curve.low), ...at(curve.high).reverse()].join("L")}Z` }),
    );
  group.append(svg("path", { class: "line", d: `M${at(curve.value).join("L")}`, "stroke-dasharray": dash }));
  curve.step.forEach((step, i) => {
    const range = missing(curve.low[i])
      ? ""
      : `95 % interval ${text(curve.low[i])} to ${text(curve.high[i])}`;
    const point = shape(chart.x(step), chart.y(curve.value[i]), reference ? 2.2 : 3.2);
    fill(
      point,
      {
        class: "mark",
        role: "img",
        "aria-label": `${curve.row.method}, step ${step}: ${text(curve.value[i])}`,
        "data-column": step,
        "data-value": curve.value[i],
        tip: () => ({
          title: `${curve.row.method}, step ${step}: ${text(curve.value[i])}`,
          lines: [
            range,
            `${curve.row.forget_metric} under ${curve.row.label}, mean over ${plural(curve.seeds[i], "seed")}`,
            rates("the attack's", curve.row.attack_learning_rates),
          ],
        }),
        onclick: () => openCell(curve.row),
      },
      [],
    );
    group.append(point);
    marks.push(point);
  });
  return group;
}

// Styles go by the place among the chosen: up to five differ in colour, and all in shape and dashes, too.
function swatch(place) {
  const { colour, shape, dash } = styleOf(place);
  return svg(
    "svg",
    { class: `swatch colour-${colour}`, viewBox: "0 0 26 12", "aria-hidden": "true" },
    svg("path", { class: "line", d: "M1 6H25", "stroke-dasharray": dash }),
    fill(shape(13, 6, 3.4), { class: "mark" }, []),
  );
}
