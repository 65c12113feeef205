// What both kinds of charts are made of.

const COLOURS = 5; // of the palette in page.css; beyond them the shape and the dashes change

const shapes = [
  (x, y, r) => svg("circle", { cx: x, cy: y, r }),
  (x, y, r) => svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
  (x, y, r) => svg("path", { d: `M${x} ${y - 1.3 * r}L${x + 1.2 * r} ${y + r}L${x - 1.2 * r} ${y + r}Z` }),
  (x, y, r) =>
    svg("path", { d: `M${x} ${y - 1.4 * r}L${x + 1.4 * r} ${y}L${x} ${y + 1.4 * r}L${x - 1.4 * r} ${y}Z` }),
];
const DASHES = [null, "7 3", "2 3", "9 3 2 3"];

// Round values that part a range into about `count`.
function ticks(low, high, count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9; i += 1)
    found.push(Number((i * step).toPrecision(12)));
  return found;
}

// A frame with axes; `x` and `y` turn values into places.
function frame({ width, height, xs, ys, xTitle, yTitle, label, xTicks, xLabel = String }) {
  const [left, right, top, bottom] = [50, 12, 10, 38];
  const x = (v) => left + ((v - xs[0]) / (xs[1] - xs[0])) * (width - left - right);
  const y = (v) => height - bottom - ((v - ys[0]) / (ys[1] - ys[0])) * (height - top - bottom);
  const node = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": label, class: "chart" },
    ticks(...ys).map((v) => [
      svg("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      svg("text", { class: "tick", x: left - 6, y: y(v) + 4, "text-anchor": "end" }, `${v}`),
    ]),
    (xTicks ?? ticks(...xs)).map((v) => [
      svg("line", { class: "grid", x1: x(v), x2: x(v), y1: top, y2: height - bottom }),
      svg("text", { class: "tick", x: x(v), y: height - bottom + 15, "text-anchor": "middle" }, xLabel(v)),
    ]),
    svg(
      "text",
      { class: "title", x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" },
      xTitle,
    ),
    svg(
      "text",
      {
        class: "title",
        transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`,
        "text-anchor": "middle",
      },
      yTitle,
    ),
  );
  return { node, x, y, left, right: width - right, top, bottom: height - bottom };
}

// How wide the charts of a section may be.
const room = (id) => Math.max(260, document.querySelector(`#${id} [data-body]`).clientWidth);

const padded = (values, from, to) => {
  const [low, high] = [Math.min(from, ...values), Math.max(to, ...values)];
  const beyond = 0.04 * (high - low || 1);
  return [low - beyond, high + beyond];
};
