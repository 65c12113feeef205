// The scatter of what a method left of the model against what came back, and the relearning curves.

const COLOURS = 5; // of the palette in page.css; beyond them the shape and the dashes change

const shapes = [
  (x, y, r) => svg("circle", { cx: x, cy: y, r }),
  (x, y, r) => svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
  (x, y, r) => svg("path", { d: `M${x} ${y - 1.3 * r}L${x + 1.2 * r} ${y + r}L${x - 1.2 * r} ${y + r}Z` }),
  (x, y, r) => svg("path", { d: `M${x} ${y - 1.4 * r}L${x + 1.4 * r} ${y}L${x} ${y + 1.4 * r}L${x - 1.4 * r} ${y}Z` }),
];
const DASHES = [null, "7 3", "2 3", "9 3 2 3"];

// Round values that part a range into about `count`.
function ticks(low, high, count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9; i += 1) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// A frame with axes; `x` and `y` turn values into places.
function frame({ width, height, xs, ys, xTitle, yTitle, label, xTicks }) {
  const [left, right, top, bottom] = [50, 12, 10, 38];
  const x = (v) => left + ((v - xs[0]) / (xs[1] - xs[0])) * (width - left - right);
  const y = (v) => height - bottom - ((v - ys[0]) / (ys[1] - ys[0])) * (height - top - bottom);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label, class: "chart" },
    ticks(...ys).map((v) => [
      svg("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      svg("text", { class: "tick", x: left - 6, y: y(v) + 4, "text-anchor": "end" }, `${v}`)]),
    (xTicks ?? ticks(...xs)).map((v) => [
      svg("line", { class: "grid", x1: x(v), x2: x(v), y1: top, y2: height - bottom }),
      svg("text", { class: "tick", x: x(v), y: height - bottom + 15, "text-anchor": "middle" }, `${v}`)]),
    svg("text", { class: "title", x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, xTitle),
    svg("text", { class: "title", transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yTitle));
  return { node, x, y, left, right: width - right, top, bottom: height - bottom };
}

// How wide the charts of a section may be.
const room = (id) => Math.max(260, document.querySelector(`#${id} [data-body]`).clientWidth);

const padded = (values, from, to) => {
  const [low, high] = [Math.min(from, ...values), Math.max(to, ...values)];
  const beyond = 0.04 * (high - low || 1);
  return [low - beyond, high + beyond];
};

// ---- scatter ----

const X = { utility_before: "utility", retain_before: "retain", lm_eval: "lm-eval" };
const Y = { recovery: "recovery", worst: "worst score", exact_match: "exact match" };

function scatter(target, width) {
  const xName = X[state.x] ? state.x : FIRST.x;
  const yName = Y[state.y] ? state.y : FIRST.y;
  const points = shownMethods(target).flatMap((method) => {
    const after = yName === "worst" && !state.attack ? rowFor({ row: "worst" }, method) : shownRow(method);
    const name = yName === "worst" && state.attack ? "score" : yName;
    const left = method.before?.[xName];
    return missing(left) || missing(after?.[name]) ? [] : [{ method, after, name, x: left, y: after[name], low: after[`${name}_low`], high: after[`${name}_high`] }];
  });
  const where = state.attack ? `under ${state.attack}` : "under the worst attack";
  if (!points.length) return el("p", { class: "empty" }, `${target.benchmark}: nothing measured ${where} that could be drawn.`);
  const original = target.methods.find((m) => m.control === "none")?.before?.[xName];
  const height = Math.max(280, Math.min(420, width * 0.72));
  const ends = points.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]);
  const xs = padded(points.map((p) => p.x), Math.min(...points.map((p) => p.x)), Math.max(...points.map((p) => p.x)));
  const chart = frame({ width, height, xs, ys: padded(ends, 0, 1), xTitle: `${X[xName]} before any attack (higher is better)`,
    yTitle: `${yName === "worst" && state.attack ? "score" : Y[yName]} (lower is better)`, label: `${target.benchmark}: ${Y[yName]} against ${X[xName]}` });
  if (!missing(original)) {
    const limit = D.kept * original;
    if (limit > xs[0] && limit < xs[1]) {
      chart.node.append(
        svg("rect", { class: "guard", x: chart.left, y: chart.top, width: chart.x(limit) - chart.left, height: chart.bottom - chart.top }),
        svg("text", { class: "hint", x: chart.x(limit) - 5, y: chart.top + 13, "text-anchor": "end" }, `under ${Math.round(100 * D.kept)} % of the original's`));
    }
  }
  const taken = points.map((p) => ({ x0: chart.x(p.x) - 6, x1: chart.x(p.x) + 6, y0: chart.y(p.y) - 6, y1: chart.y(p.y) + 6 }));
  const marks = points.map((p) => {
    const [px, py] = [chart.x(p.x), chart.y(p.y)];
    const column = D.columns.find((c) => c.name === xName);
    const about = () => {
      const tip = numberTip(p.after, p.name, "interval", yName === "worst" ? "score" : Y[yName])();
      tip.lines.unshift(`${column.title} ${text(p.x)}`);
      return { ...tip, title: `${p.method.name}: ${tip.title}` };
    };
    const shape = kindOf(p.method) === "control" ? shapes[1](px, py, 5) : shapes[0](px, py, 5.5);
    return svg("g", { class: `point ${kindOf(p.method)} ${state.pick === pickOf(p.method) ? "picked" : ""}`, role: "button", tip: about,
      "aria-label": `${p.method.name}, ${X[xName]} ${text(p.x)}, ${Y[yName]} ${text(p.y)}`, "aria-pressed": String(state.pick === pickOf(p.method)),
      "data-method": p.method.name, "data-key": `point-${pickOf(p.method)}`, onclick: () => set({ pick: state.pick === pickOf(p.method) ? "" : pickOf(p.method) }, true) },
    !missing(p.low) && svg("line", { class: "whisker", x1: px, x2: px, y1: chart.y(p.low), y2: chart.y(p.high) }),
    shape, label(p.method.name, px, py, taken, chart));
  });
  chart.node.append(...marks);
  roving(chart.node, marks);
  return el("figure", {}, el("figcaption", {}, `${titleOf(target)}, ${where}`), chart.node);
}

// Beside its point where there is room; left out where there is none (the point still says it).
function label(name, px, py, taken, chart) {
  const width = 6.4 * name.length;
  for (const [dx, dy, anchor] of [[9, 4, "start"], [-9, 4, "end"], [0, -10, "middle"], [0, 18, "middle"], [9, -7, "start"], [9, 15, "start"], [-9, -7, "end"], [-9, 15, "end"]]) {
    const x0 = px + dx - { start: 0, end: width, middle: width / 2 }[anchor];
    const spot = { x0, x1: x0 + width, y0: py + dy - 10, y1: py + dy + 3 };
    const free = taken.every((t) => (t.x0 === px - 6 && t.y0 === py - 6) || spot.x1 < t.x0 || spot.x0 > t.x1 || spot.y1 < t.y0 || spot.y0 > t.y1);
    if (free && spot.x0 > chart.left && spot.x1 < chart.right + 8 && spot.y0 > chart.top - 4 && spot.y1 < chart.bottom) {
      taken.push(spot);
      return svg("text", { class: "label", x: px + dx, y: py + dy, "text-anchor": anchor }, name);
    }
  }
  return null;
}

// ---- curves ----

const styleOf = (place) => ({ colour: place % COLOURS, shape: shapes[Math.floor(place / COLOURS) % shapes.length], dash: DASHES[Math.floor(place / COLOURS) % DASHES.length] });
const REFERENCES = ["none", "retrain"];

// The methods of all targets that have curves, by the order in which they first come.
const drawable = [...new Set(curves.filter((c) => !REFERENCES.includes(c.row.control)).map((c) => c.row.method))];

function chosenMethods() {
  if (state.methods === "-") return [];
  // The first, the middle and the last of the leaderboard, unless some were chosen.
  if (state.methods) return state.methods.split(",").map(decodeURIComponent).filter((name) => drawable.includes(name));
  const ranked = visible().flatMap((t) => t.methods).filter((m) => !m.control && drawable.includes(m.name));
  const names = [...new Set(ranked.map((m) => m.name))];
  return [...new Set([names[0], names[names.length >> 1], names.at(-1)])].filter(Boolean);
}

function curvePanels(target) {
  const own = curves.filter((c) => c.row.target === target.index);
  const labels = [...new Set(own.map((c) => c.row.label))].sort().filter((name) => !state.attack || name === state.attack);
  if (!labels.length) return [];
  const available = room("curves");
  const lines = Math.ceil(labels.length / Math.max(1, Math.floor((available + 16) / 316)));
  const across = Math.ceil(labels.length / lines);
  const width = Math.min(labels.length === 1 ? 720 : 460, Math.floor((available - 16 * (across - 1)) / across));
  return labels.map((name) => panel(target, name, own.filter((c) => c.row.label === name), width, labels.length === 1));
}

function panel(target, name, own, width, alone) {
  const chosen = chosenMethods();
  const drawn = own.filter((c) => REFERENCES.includes(c.row.control) || chosen.includes(c.row.method));
  const ends = own.flatMap((c) => [...c.low, ...c.high, ...c.value]).filter((v) => !missing(v));
  const steps = [...new Set(own.flatMap((c) => c.step))].sort((a, b) => a - b);
  const chart = frame({ width, height: alone ? Math.min(440, Math.max(260, 0.6 * width)) : 250, xs: [0, steps.at(-1)], ys: [Math.min(0, ...ends), Math.max(1, ...ends)],
    xTicks: ticks(0, steps.at(-1), 4), xTitle: "steps of the attack", yTitle: own[0].row.forget_metric, label: `${target.benchmark}, ${name}` });
  const chance = target.chances.length === 1 ? target.chances[0] : null;
  if (!missing(chance)) {
    chart.node.append(svg("line", { class: "chance", x1: chart.left, x2: chart.right, y1: chart.y(chance), y2: chart.y(chance) }));
  }
  const marks = [];
  for (const curve of drawn) chart.node.append(line(curve, chosen, chart, marks));
  const hint = (words, x, y, anchor) => chart.node.append(svg("text", { class: "hint", x, y, "text-anchor": anchor }, words));
  if (!missing(chance)) hint("chance", chart.left + 4, chart.y(chance) - 4, "start");
  for (const curve of drawn.filter((c) => REFERENCES.includes(c.row.control))) hint(curve.row.control, chart.right - 4, chart.y(curve.value.at(-1)) + 14, "end");
  roving(chart.node, marks);
  return el("figure", { "data-attack": name }, el("figcaption", {}, name), chart.node);
}

function line(curve, chosen, chart, marks) {
  const reference = REFERENCES.includes(curve.row.control) && curve.row.control;
  const { colour, shape, dash } = reference ? { shape: shapes[0] } : styleOf(chosen.indexOf(curve.row.method));
  const at = (values) => curve.step.map((step, i) => (missing(values[i]) ? null : `${chart.x(step).toFixed(1)} ${chart.y(values[i]).toFixed(1)}`)).filter(Boolean);
  const group = svg("g", { class: reference ? `curve reference ${reference}` : `curve colour-${colour}`, "data-method": curve.row.method });
  if (!reference && curve.low.some((v) => !missing(v))) group.append(svg("path", { class: "band", d: `M${[...at(curve.low), ...at(curve.high).reverse()].join("L")}Z` }));
  group.append(svg("path", { class: "line", d: `M${at(curve.value).join("L")}`, "stroke-dasharray": dash }));
  curve.step.forEach((step, i) => {
    const range = missing(curve.low[i]) ? "" : `95 % interval ${text(curve.low[i])} to ${text(curve.high[i])}`;
    const point = shape(chart.x(step), chart.y(curve.value[i]), reference ? 2.2 : 3.2);
    fill(point, { class: "mark", role: "img", "aria-label": `${curve.row.method}, step ${step}: ${text(curve.value[i])}`, "data-column": step, "data-value": curve.value[i],
      tip: () => ({ title: `${curve.row.method}, step ${step}: ${text(curve.value[i])}`, lines: [range, `${curve.row.forget_metric} under ${curve.row.label}, mean over ${plural(curve.seeds[i], "seed")}`,
        rates("the attack's", curve.row.attack_learning_rates)], signature: curve.row.signature }) }, []);
    group.append(point);
    marks.push(point);
  });
  return group;
}

// Styles go by the place among the chosen: up to five differ in colour, and all in shape and dashes, too.
function swatch(place) {
  const { colour, shape, dash } = styleOf(place);
  return svg("svg", { class: `swatch colour-${colour}`, viewBox: "0 0 26 12", "aria-hidden": "true" },
    svg("path", { class: "line", d: "M1 6H25", "stroke-dasharray": dash }), fill(shape(13, 6, 3.4), { class: "mark" }, []));
}
