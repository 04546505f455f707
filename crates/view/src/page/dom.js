// Elements, texts and numbers. Whatever comes from models or files becomes a text node, never markup.

const MINUS = "\u2212";
const NONE = "\u2013";

/** Spells out what would turn or hide text: control characters and marks of direction. */
function clean(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return "\u27e8U+" + code.toString(16).toUpperCase().padStart(4, "0") + "\u27e9";
  });
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, set] of Object.entries(value)) element.style.setProperty(key, set);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : clean(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(clean(child)));
  }
  return element;
}

/** An HTML element with attributes, listeners (`onclick`) and children. */
function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An SVG element. */
function s(tag, properties, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function byId(id) {
  return document.getElementById(id);
}

/** Tells a screen reader what changed. */
function say(text) {
  byId("say").textContent = clean(text);
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** A number with so many decimals; infinities come as text, what is undefined is a dash. */
function decimal(value, digits = 2) {
  if (value === null || value === undefined) return NONE;
  if (!isNumber(value)) return String(value).replace("-", MINUS);
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? MINUS : "") + text;
}

/** The same with a sign in front. */
function signed(value, digits = 2) {
  const text = decimal(value, digits);
  return isNumber(value) && Number(value.toFixed(digits)) > 0 ? "+" + text : text;
}

function probability(value) {
  if (isNumber(value) && value > 0 && value < 0.001) return "<.001";
  return decimal(value, 3);
}

function count(n, word) {
  return thousands(n) + " " + word + (n === 1 ? "" : "s");
}

function thousands(n) {
  return String(n).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** Right, wrong, or neither, as a mark with its word. */
function mark(correct) {
  if (correct === true) return h("span", { class: "mark right", title: "right" }, h("span", { "aria-hidden": "true" }, "\u2713"), h("span", { class: "unseen" }, "right"));
  if (correct === false) return h("span", { class: "mark wrong", title: "wrong" }, h("span", { "aria-hidden": "true" }, "\u2717"), h("span", { class: "unseen" }, "wrong"));
  return h("span", { class: "mark none", title: "no verdict" }, h("span", { "aria-hidden": "true" }, NONE), h("span", { class: "unseen" }, "no verdict"));
}

function tag(correct) {
  if (correct === true) return h("span", { class: "tag right" }, "right");
  if (correct === false) return h("span", { class: "tag wrong" }, "wrong");
  return h("span", { class: "tag" }, "no verdict");
}

const STILL = matchMedia("(prefers-reduced-motion: reduce)");

function reveal(element) {
  element.scrollIntoView({ block: "nearest", behavior: STILL.matches ? "auto" : "smooth" });
}

