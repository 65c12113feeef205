// What figures of analyses look like: lines, clouds and maps.

// ---- lines: over ranks on a log scale, or over layers ----

function lines(all, of, alone) {
  const values = all.flatMap((s) => s.value);
  const xs = all.flatMap((s) => s.x);
  const log = Math.min(...xs) > 0 && Math.max(...xs) / Math.min(...xs) > 100;
  const at = (x) => (log ? Math.log10(x) : x);
  const ends = [at(Math.min(...xs)), at(Math.max(...xs))];
  if (ends[0] === ends[1]) ends[1] += 1;
  const chance = alone.find((s) => s.series === "chance")?.value[0];
  const within = values.every((v) => v >= 0 && v <= 1) && !log;
  const chart = frame({
    width: Math.min(460, room("neurons")),
    height: 260,
    xs: ends,
    ys: [Math.min(0, ...values), within ? 1 : Math.max(...values) || 1],
    xTicks: log
      ? [0, 1, 2, 3, 4, 5, 6].filter((p) => p >= ends[0] && p <= ends[1])
      : ticks(...ends, 4).filter(Number.isInteger),
    xLabel: log ? (p) => String(10 ** p) : String,
    xTitle: of.x,
    yTitle: of.y,
    label: `${of.title}, ${of.model}. ${all.map((s) => `${s.series || "value"}: ${digits(s.value[0])} at ${s.x[0]}, ${digits(s.value.at(-1))} at ${s.x.at(-1)}`).join("; ")}`,
  });
  const across = (y) => svg("line", { class: "chance", x1: chart.left, x2: chart.right, y1: y, y2: y });
  if (!missing(chance))
    chart.node.append(
      across(chart.y(chance)),
      svg("text", { class: "hint", x: chart.left + 4, y: chart.y(chance) - 4 }, "chance"),
    );
  if (log && ends[1] > 2)
    chart.node.append(
      svg("line", { class: "chance", x1: chart.x(2), x2: chart.x(2), y1: chart.top, y2: chart.bottom }),
    );
  const marks = [];
  const looks = all.map((s, i) => ({ ...styleOf(i), grey: s.series.endsWith("original") }));
  all.forEach((s, i) => {
    const { colour, shape, dash, grey } = looks[i];
    const places = s.x.map((x, n) => [chart.x(at(x)), chart.y(s.value[n])]);
    const group = svg("g", {
      class: `curve ${grey ? "reference" : `colour-${colour}`}`,
      "data-series": s.series,
    });
    group.append(
      svg("path", {
        class: "line",
        d: `M${places.map((p) => p.map((v) => v.toFixed(1)).join(" ")).join("L")}`,
        "stroke-dasharray": grey ? DASHES[1 + (i % 2)] : dash,
      }),
    );
    places.forEach(([px, py], n) => {
      const said = `${s.series || of.title}, ${of.x} ${s.x[n]}: ${digits(s.value[n])}`;
      const point = fill(
        shape(px, py, s.x.length > 12 ? 1.6 : 3),
        {
          class: "mark",
          role: "img",
          "aria-label": said,
          "data-column": s.x[n],
          "data-value": s.value[n],
          tip: () => ({ title: said, lines: [of.model, `mean over ${plural(s.seeds, "seed")}`] }),
        },
        [],
      );
      group.append(point);
      marks.push(point);
    });
    chart.node.append(group);
  });
  roving(chart.node, marks);
  return figureOf(
    of,
    chart.node,
    all.length > 1 &&
      el(
        "p",
        { class: "legend" },
        all.map((s, i) => el("span", { class: "key" }, look(looks[i], i), MEANS[s.series] ?? s.series)),
      ),
  );
}

const look = ({ colour, shape, dash, grey }, i) =>
  svg(
    "svg",
    {
      class: `swatch ${grey ? "reference" : `colour-${colour}`}`,
      viewBox: "0 0 26 12",
      "aria-hidden": "true",
    },
    svg("path", { class: "line", d: "M1 6H25", "stroke-dasharray": grey ? DASHES[1 + (i % 2)] : dash }),
    fill(shape(13, 6, 3.4), { class: "mark" }, []),
  );

// ---- a cloud: each unit before against after ----

function cloud(all, of) {
  const values = all.flatMap((s) => [...s.x, ...s.value]);
  const ends = padded(values, Math.min(...values), Math.max(...values));
  const size = Math.min(360, room("neurons"));
  const chart = frame({
    width: size,
    height: size,
    xs: ends,
    ys: ends,
    xTicks: ticks(...ends, 4),
    xTitle: of.x,
    yTitle: of.y,
    label: `${of.title}, ${of.model}; on the diagonal nothing changed`,
  });
  chart.node.append(
    svg("line", {
      class: "chance",
      x1: chart.x(ends[0]),
      y1: chart.y(ends[0]),
      x2: chart.x(ends[1]),
      y2: chart.y(ends[1]),
    }),
  );
  const marks = [];
  all.forEach((s, i) => {
    const group = svg("g", { class: `curve colour-${i}`, "data-series": s.series });
    s.x.forEach((x, n) => {
      const said = `${s.series}, ${s.module[n]} of layer ${s.layer[n]}: ${digits(x)} before, ${digits(s.value[n])} after`;
      const point = fill(
        shapes[i % shapes.length](chart.x(x), chart.y(s.value[n]), 2.6),
        {
          class: "mark",
          role: "img",
          "aria-label": said,
          "data-value": s.value[n],
          tip: () => ({ title: said, lines: [of.model] }),
        },
        [],
      );
      group.append(point);
      marks.push(point);
    });
    chart.node.append(group);
  });
  roving(chart.node, marks);
  return figureOf(
    { ...of, title: `${of.title}: ${of.model}` },
    chart.node,
    el(
      "p",
      { class: "legend" },
      all.map((s, i) =>
        el(
          "span",
          { class: "key" },
          svg(
            "svg",
            { class: `swatch colour-${i}`, viewBox: "0 0 26 12", "aria-hidden": "true" },
            fill(shapes[i % shapes.length](13, 6, 3.4), { class: "mark" }, []),
          ),
          `${s.series} influence`,
        ),
      ),
    ),
  );
}

// ---- maps: linear maps by layers, all series of a figure on one scale ----

function mapsOf(all, of) {
  const most = Math.max(...all.flatMap((s) => s.value.map(Math.abs))) || 1;
  const power = most < 0.1 ? Math.floor(Math.log10(most)) : 0;
  const scaled = (value) =>
    missing(value) ? DASH : (value / 10 ** power).toFixed(power || most < 1 ? 2 : 1);
  const caption = (s) => [MEANS[s.series] ?? s.series, power && `in 1e${power}`].filter(Boolean).join(", ");
  const tables = all.map((s) => {
    const layers = [...new Set(s.layer)].sort((p, q) => p - q);
    const modules = [...new Set(s.module)];
    const held = new Map(s.value.map((v, i) => [`${s.module[i]} ${s.layer[i]}`, v]));
    const cells = [];
    const square = (module, layer) => {
      const value = held.get(`${module} ${layer}`);
      const said = `${module} of layer ${layer}: ${digits(value)}`;
      const cell = el(
        "td",
        {
          class: missing(value) ? "" : `heat-${Math.round(8 * Math.min(1, Math.abs(value) / most))}`,
          "data-column": layer,
          "data-value": value,
          tip: () => ({ title: said, lines: [MEANS[s.series] ?? s.series, of.model] }),
        },
        el("span", { class: layers.length > 8 ? "unseen" : "" }, scaled(value)),
      );
      cells.push(cell);
      return cell;
    };
    const tbody = el(
      "tbody",
      {},
      modules.map((module) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, module),
          layers.map((layer) => square(module, layer)),
        ),
      ),
    );
    roving(tbody, cells);
    return scroller(
      `${of.key}-${s.series}-${of.model}`,
      `${of.title}, ${s.series} by map and layer`,
      el(
        "table",
        { class: "heat map", "data-series": s.series },
        caption(s) && el("caption", {}, caption(s)),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "layer"),
            layers.map((layer) => el("th", { scope: "col" }, String(layer))),
          ),
        ),
        tbody,
      ),
    );
  });
  const beside = el("div", { class: "maps" }, tables);
  return figureOf(
    of,
    FOLDED.includes(of.key) ? el("details", {}, el("summary", {}, "Show the map"), beside) : beside,
  );
}
