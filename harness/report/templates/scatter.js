// What a method left of the model against what came back.

const X = { utility_before: "utility", retain_before: "retain", lm_eval: "lm-eval" };
const Y = { recovery: "recovery", score: "score", exact_match: "exact match" };

function scatter(target, width) {
  const { x: xName, y: yName } = state;
  const points = shownMethods(target)
    .map((method) => {
      const after = shownRow(method);
      const [low, high] = [after?.[`${yName}_low`], after?.[`${yName}_high`]];
      return { method, after, x: method.before?.[xName], y: after?.[yName], low, high };
    })
    .filter((p) => !missing(p.x) && !missing(p.y));
  const where = state.attack ? `under ${state.attack}` : "under the worst attack";
  if (!points.length)
    return el("p", { class: "empty" }, `${target.benchmark}: nothing measured ${where} that could be drawn.`);
  const original = target.methods.find((m) => m.control === "none")?.before?.[xName];
  const height = Math.max(280, Math.min(420, width * 0.72));
  const ends = points.flatMap((p) => [p.y, p.low ?? p.y, p.high ?? p.y]);
  const xs = padded(
    points.map((p) => p.x),
    Math.min(...points.map((p) => p.x)),
    Math.max(...points.map((p) => p.x)),
  );
  const chart = frame({
    width,
    height,
    xs,
    ys: padded(ends, 0, 1),
    xTitle: `${X[xName]} before any attack (higher is better)`,
    yTitle: `${Y[yName]} (lower is better)`,
    label: `${target.benchmark}: ${Y[yName]} against ${X[xName]}`,
  });
  if (!missing(original)) {
    const limit = D.kept * original;
    if (limit > xs[0] && limit < xs[1]) {
      chart.node.append(
        svg("rect", {
          class: "guard",
          x: chart.left,
          y: chart.top,
          width: chart.x(limit) - chart.left,
          height: chart.bottom - chart.top,
        }),
        svg(
          "text",
          { class: "hint", x: chart.left + 5, y: chart.top + 13 },
          `under ${Math.round(100 * D.kept)} % of the original's`,
        ),
      );
    }
  }
  const taken = points.map((p) => ({
    x0: chart.x(p.x) - 6,
    x1: chart.x(p.x) + 6,
    y0: chart.y(p.y) - 6,
    y1: chart.y(p.y) + 6,
  }));
  const marks = points.map((p) => {
    const [px, py] = [chart.x(p.x), chart.y(p.y)];
    const about = () => {
      const tip = numberTip(p.after, yName, "interval", Y[yName])();
      tip.lines.push(`${X[xName]} before any attack: ${text(p.x)}`);
      return { ...tip, title: `${p.method.name}: ${tip.title}` };
    };
    const shape = kindOf(p.method) === "control" ? shapes[1](px, py, 5) : shapes[0](px, py, 5.5);
    return svg(
      "g",
      {
        class: `point ${kindOf(p.method)} ${state.pick === pickOf(p.method) ? "picked" : ""}`,
        role: "button",
        tip: about,
        "aria-label": `${p.method.name}, ${X[xName]} ${text(p.x)}, ${Y[yName]} ${text(p.y)}`,
        "aria-pressed": String(state.pick === pickOf(p.method)),
        "data-method": p.method.name,
        "data-key": `point-${pickOf(p.method)}`,
        onclick: () => set({ pick: state.pick === pickOf(p.method) ? "" : pickOf(p.method) }, true),
      },
      !missing(p.low) &&
        svg("line", { class: "whisker", x1: px, x2: px, y1: chart.y(p.low), y2: chart.y(p.high) }),
      shape,
      label(p.method.name, px, py, taken, chart),
    );
  });
  chart.node.append(...marks);
  roving(chart.node, marks);
  return el("figure", {}, el("figcaption", {}, `${titleOf(target)}, ${where}`), chart.node);
}

// Beside its point where there is room; left out where there is none (the point still says it).
function label(name, px, py, taken, chart) {
  const width = 6.4 * name.length;
  for (const [dx, dy, anchor] of [
    [9, 4, "start"],
    [-9, 4, "end"],
    [0, -10, "middle"],
    [0, 18, "middle"],
    [9, -7, "start"],
    [9, 15, "start"],
    [-9, -7, "end"],
    [-9, 15, "end"],
  ]) {
    const x0 = px + dx - { start: 0, end: width, middle: width / 2 }[anchor];
    const spot = { x0, x1: x0 + width, y0: py + dy - 10, y1: py + dy + 3 };
    const free = taken.every(
      (t) =>
        (t.x0 === px - 6 && t.y0 === py - 6) ||
        spot.x1 < t.x0 ||
        spot.x0 > t.x1 ||
        spot.y1 < t.y0 ||
        spot.y0 > t.y1,
    );
    if (
      free &&
      spot.x0 > chart.left &&
      spot.x1 < chart.right + 8 &&
      spot.y0 > chart.top - 4 &&
      spot.y1 < chart.bottom
    ) {
      taken.push(spot);
      return svg("text", { class: "label", x: px + dx, y: py + dy, "text-anchor": anchor }, name);
    }
  }
  return null;
}
