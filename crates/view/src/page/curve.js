// The curves of a trace: answer entropy with its interval, and the information gained, along the steps.

const WIDTH = 440;
const LEFT = 40;
const RIGHT = 12;
const PANELS = [
  { key: "entropy", name: "answer entropy H (nats)", height: 150 },
  { key: "gain", name: "information gained g (nats)", height: 110 },
];

/** A line of a figure: what it is called, how it is drawn, its points by depth. */
function lines(trace) {
  const [own, ...others] = trace.curves;
  if (!own) return [];
  return [own, ...others].map((curve) => ({
    curve,
    name: curveName(curve, own),
    style: curve === own ? "own" : curve.beside && curve.control === "none" ? "beside" : "control",
    dash: { swapped: "5 4", shuffled: "1.5 3.5", unstated: "8 3 2 3" }[curve.control] ?? (curve.cue > 0 ? "2 2" : null),
    shown: curve === own || (!(curve.beside && curve.control !== "none") && curve.cue === 0),
  }));
}

function curveName(curve, own) {
  const parts = [];
  if (curve.control !== "none") parts.push(curve.control);
  if (curve.estimator !== own.estimator) parts.push(curve.estimator + "s");
  if (curve.cue > 0) parts.push("cue " + (curve.cue + 1));
  return parts.join(", ") || "this trace";
}

/** Round numbers from low to high. */
function ticks(low, high, most = 4) {
  const rough = (high - low) / most;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((candidate) => candidate >= rough);
  const all = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) all.push(Math.abs(at) < step * 1e-6 ? 0 : at);
  return all;
}

/** The figure of a trace. `onstep` hears of the step under the pointer. */
function figure(trace, onstep) {
  const all = lines(trace);
  const own = all[0]?.curve;
  if (!own) return { element: h("p", { class: "note" }, "No belief was measured along this trace."), show() {} };
  const x = (depth) => LEFT + depth * (WIDTH - LEFT - RIGHT);
  const holder = h("div", { class: "panels" });
  const cursors = [];
  const draw = () => {
    holder.replaceChildren();
    cursors.length = 0;
    for (const panel of PANELS) {
      if (own.points.some((point) => isNumber(point[panel.key]))) holder.append(drawPanel(panel));
    }
  };
  const drawPanel = (panel) => {
    const shown = all.filter((line) => line.shown);
    const [low, high] = range(panel, shown, own);
    const top = 14;
    const bottom = panel.height - 20;
    const y = (value) => bottom - ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * (bottom - top);
    const image = s("svg", { viewBox: `0 0 ${WIDTH} ${panel.height}`, role: "img", "aria-label": described(panel, own, all) });
    image.append(s("text", { x: LEFT, y: 9, class: "title" }, panel.name));
    for (const value of ticks(low, high)) {
      image.append(s("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: value === 0 && low < 0 ? "zero" : "ruled" }));
      image.append(s("text", { x: LEFT - 6, y: y(value) + 3.5, class: "tick end" }, decimal(value, high - low < 2 ? 1 : 0)));
    }
    stepTicks(own).forEach((point) => image.append(s("text", { x: x(point.depth), y: panel.height - 5, class: "tick middle" }, String(point.step))));
    events(trace, own).forEach(([name, depth], row) => {
      image.append(s("line", { x1: x(depth), x2: x(depth), y1: top, y2: bottom, class: "event" }));
      if (panel === PANELS[0]) image.append(s("text", { x: x(depth) + (depth > 0.8 ? -4 : 4), y: top + 8 + 11 * row, class: depth > 0.8 ? "tick end" : "tick" }, name));
    });
    if (panel.key === "entropy") image.append(s("path", { d: band(own.points, x, y), class: "band" }));
    for (const line of [...shown].reverse()) image.append(...drawLine(line, panel, x, y, trace.target));
    const cursor = s("line", { y1: top - 4, y2: bottom, class: "cursor", visibility: "hidden" });
    image.append(cursor);
    cursors.push(cursor);
    const heard = (event) => {
      const box = image.getBoundingClientRect();
      const depth = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT);
      const nearest = own.points.reduce((best, point) => (Math.abs(point.depth - depth) < Math.abs(best.depth - depth) ? point : best));
      onstep(nearest.step, event.type === "click");
    };
    image.addEventListener("pointermove", heard);
    image.addEventListener("click", heard);
    return image;
  };
  const legend = h("ul", { class: "legend" }, all.map((line) => h("li", {}, key(line, draw))));
  draw();
  let step;
  const show = (now) => {
    step = now;
    const point = own.points.find((candidate) => candidate.step === step);
    for (const cursor of cursors) {
      cursor.setAttribute("visibility", point ? "visible" : "hidden");
      if (point) for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(point.depth));
    }
  };
  const redraw = draw;
  legend.addEventListener("click", () => { redraw(); show(step); });
  return { element: h("figure", { class: "curves" }, holder, all.length > 1 && legend, clipped(own, all) && h("figcaption", {}, "The interval reaches beyond the figure and is cut at its edge.")), show };
}

/** A button that shows and hides a line. */
function key(line) {
  const sample = s("svg", { viewBox: "0 0 26 8", width: 26, height: 8, "aria-hidden": "true" }, s("line", { x1: 0, x2: 26, y1: 4, y2: 4, class: "line " + line.style, "stroke-dasharray": line.dash }));
  const button = h("button", { type: "button", class: "quiet", "aria-pressed": String(line.shown), onclick() {
    line.shown = !line.shown;
    button.setAttribute("aria-pressed", String(line.shown));
  } }, sample, line.name);
  return button;
}

function range(panel, shown, own) {
  const values = shown.flatMap((line) => line.curve.points.map((point) => point[panel.key])).filter(isNumber);
  let [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  if (panel.key === "entropy") {
    low = 0;
    const uppers = own.points.map((point) => point.upper).filter(isNumber);
    high = Math.max(high, Math.min(Math.max(0, ...uppers), 1.35 * high));
  }
  const span = Math.max(high - low, panel.key === "entropy" ? 0.7 : 1);
  return [low < 0 ? low - 0.06 * span : 0, Math.max(high, low + span) + 0.04 * span];
}

function clipped(own, all) {
  const [, high] = range(PANELS[0], all.filter((line) => line.shown), own);
  return own.points.some((point) => isNumber(point.upper) && point.upper > high);
}

function stepTicks(own) {
  const every = Math.ceil(own.points.length / 12);
  return own.points.filter((_, i) => i % every === 0 || i === own.points.length - 1).filter((point, i, all) => i !== all.length - 2 || all.at(-1).depth - point.depth > 0.04 || all.length < 3);
}

/** Where the answer is first stated, and where the leader locks in. */
function events(trace, own) {
  const stated = own.points.find((point) => point.answer_stated);
  const locked = own.points.find((point) => point.step === trace.lock_in_step);
  const found = [];
  if (stated && locked && stated.step === locked.step) return [["stated, locked in", stated.depth]];
  if (stated) found.push(["stated", stated.depth]);
  if (locked) found.push(["locked in", locked.depth]);
  return found;
}

function band(points, x, y) {
  const known = points.filter((point) => isNumber(point.lower) && (isNumber(point.upper) || point.upper === "\u221e"));
  if (known.length === 0) return "";
  const upper = (point) => y(isNumber(point.upper) ? point.upper : 1e9);
  const there = known.map((point) => `${x(point.depth)} ${upper(point)}`);
  const back = known.map((point) => `${x(point.depth)} ${y(point.lower)}`).reverse();
  return "M" + [...there, ...back].join("L") + "Z";
}

function drawLine(line, panel, x, y, target) {
  const points = line.curve.points.filter((point) => isNumber(point[panel.key]));
  const path = points.map((point) => `${x(point.depth)} ${y(point[panel.key])}`).join("L");
  const drawn = [s("path", { d: points.length > 1 ? "M" + path : "", class: "line " + line.style, "stroke-dasharray": line.dash })];
  if (line.style === "beside" && panel.key === "entropy") {
    for (const point of points) if (isNumber(point.lower) && isNumber(point.upper)) drawn.push(s("line", { x1: x(point.depth), x2: x(point.depth), y1: y(point.lower), y2: y(point.upper), class: "whisker" }));
  }
  if (line.style !== "control") {
    for (const point of points) drawn.push(s("circle", { cx: x(point.depth), cy: y(point[panel.key]), r: 3.2, class: "dot " + line.style + (target !== null && point.leader === target ? " target" : "") }));
  }
  return drawn;
}

function described(panel, own, all) {
  const [first, last] = [own.points[0], own.points.at(-1)];
  const others = all.slice(1).filter((line) => line.shown).map((line) => line.name);
  return `${panel.name}: ${decimal(first[panel.key])} before step 1, ${decimal(last[panel.key])} after step ${last.step}` + (others.length ? `; also ${others.join(", ")}` : "") + ". The table of numbers below has all of it.";
}

/** The small curve of a row in the list. */
function spark(curve) {
  const known = (curve ?? []).map((value, i) => [i, value]).filter(([, value]) => value !== null);
  const image = s("svg", { viewBox: "0 0 64 20", class: "spark", "aria-hidden": "true" });
  if (known.length === 0) return image;
  const high = Math.max(1.5, ...known.map(([, value]) => value));
  const points = known.map(([i, value]) => `${(2 + (i / (curve.length - 1)) * 60).toFixed(1)} ${(18 - (value / high) * 16).toFixed(1)}`);
  image.append(s("path", { d: `M${points.join("L")}L${2 + (known.at(-1)[0] / (curve.length - 1)) * 60} 19L${2 + (known[0][0] / (curve.length - 1)) * 60} 19Z`, class: "area" }));
  image.append(s("path", { d: "M" + points.join("L"), class: "line own" }));
  return image;
}

