// Checks of the page in Chromium: `node checks.mjs NAME LINK`. A check that fails ends with 1 and says what was seen.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** A page that fails the check when anything is loaded from elsewhere, a script fails, or the policy is broken. */
async function open(browser, link, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, ...options });
  const page = await context.newPage();
  const faults = [];
  const own = new URL(link);
  page.on("pageerror", (error) => faults.push(`error: ${error}`));
  page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
  page.on("dialog", (dialog) => { faults.push("dialog"); dialog.dismiss(); });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && (url.protocol !== own.protocol || url.host !== own.host)) faults.push(`request: ${url}`);
  });
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error("policy: " + event.violatedDirective + " " + event.blockedURI)));
  await page.goto(link);
  return { page, faults };
}

const rows = (page) => page.locator(".rows .row .c-mark");

async function ready(page) {
  await rows(page).first().waitFor();
  await page.waitForFunction(() => document.getElementById("progress").textContent === "" && !document.querySelector(".head").textContent.includes("\u2026"));
}

const found = (page) => page.locator("#count").textContent();

async function explore(browser, link) {
  const { page, faults } = await open(browser, link);
  await ready(page);
  await page.selectOption("label:has-text('Verdict') select", "wrong");
  await page.waitForFunction(() => / of /.test(document.getElementById("count").textContent));
  assert.ok((await page.locator(".rows .c-mark .mark.wrong").count()) > 5);
  assert.equal(await page.locator(".rows .c-mark .mark.right").count(), 0);
  await page.getByRole("button", { name: "Gain" }).click();
  assert.match(page.url(), /sort=-gain/);
  // By keys: to the third trace, along its steps, to the next trace, back.
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("j");
  const third = await page.locator(".row.active .id").textContent();
  await page.keyboard.press("Enter");
  await page.locator(".trace h1").waitFor();
  assert.ok((await page.locator(".trace h1").textContent()).startsWith(third.trim()));
  await page.keyboard.press("Home");
  await page.keyboard.press("j");
  assert.equal(await page.locator(".step.now .k").textContent(), "1");
  assert.match(await page.locator("#say").textContent(), /Step 1 of \d+: entropy .* leading answer/);
  assert.equal(await page.locator(".belief h2").textContent(), "After step 1");
  assert.ok((await page.locator(".belief .bar").count()) >= 3);
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains("step")));
  await page.waitForURL(/step=1/);
  assert.ok((await page.locator(".step.brings, .step.takes").count()) > 0);
  await page.keyboard.press("t");
  assert.ok((await page.locator(".token").count()) > 5);
  await page.keyboard.press("e");
  await page.waitForURL(/shade=drop/);
  await page.keyboard.press("n");
  await page.waitForFunction((title) => !document.querySelector(".trace h1").textContent.startsWith(title), third.trim());
  await page.waitForURL(/step=/);
  const address = page.url();
  const other = await page.locator(".trace h1").textContent();
  // By pointer: the curve follows.
  const curve = await page.locator(".panels svg").first().boundingBox();
  await page.mouse.move(curve.x + curve.width * 0.1, curve.y + curve.height / 2);
  assert.equal(await page.locator(".belief h2").textContent(), "Before any step");
  await page.locator(".step").nth(2).hover();
  assert.equal(await page.locator(".belief h2").textContent(), "After step 2");
  await page.keyboard.press("?");
  assert.ok(await page.locator("#keys").isVisible());
  await page.keyboard.press("Escape");
  assert.ok(!(await page.locator("#keys").isVisible()));
  await page.keyboard.press("Escape");
  await rows(page).first().waitFor();
  assert.match(page.url(), /verdict=wrong/);
  assert.match(await found(page), / of /);
  // The link leads there again, and the browser's own way back works.
  const { page: again, faults: more } = await open(browser, address);
  await again.locator(".trace h1").waitFor();
  assert.equal(await again.locator(".trace h1").textContent(), other);
  await page.keyboard.press("/");
  await page.keyboard.type("q00001");
  await page.waitForFunction(() => Number(document.getElementById("count").textContent.split(" ")[0]) <= 10);
  await page.keyboard.press("Enter");
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await page.locator(".trace h1").waitFor();
  await page.goBack();
  await rows(page).first().waitFor();
  await page.getByRole("button", { name: "Reset" }).click();
  await page.waitForFunction(() => !/ of /.test(document.getElementById("count").textContent));
  // A trace that is not there.
  await page.goto(link.replace(/#.*/, "") + "#/trace?run=0&task=sums&id=nothing&sample=0");
  await page.getByRole("alert").filter({ hasText: "no such trace" }).waitFor();
  const expected = (fault) => !/status of 404/.test(fault);
  assert.deepEqual([...faults.filter(expected), ...more], []);
}

async function pair(browser, link) {
  const { page, faults } = await open(browser, link);
  await ready(page);
  await page.selectOption("label:has-text('Verdict there') select", "better");
  await page.waitForFunction(() => / of /.test(document.getElementById("count").textContent));
  assert.equal(await page.locator(".rows .c-mark .mark.right").count(), 0);
  await rows(page).first().waitFor();
  await page.locator(".rows .row").nth(1).click();
  await page.locator(".pair .panel").nth(1).waitFor();
  assert.deepEqual(await page.locator(".panel h2 .tag").allTextContents(), ["wrong", "right"]);
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.locator(".step.now").count(), 2);
  await page.keyboard.press("b");
  await page.waitForFunction(() => document.querySelectorAll(".panel").length === 1);
  await page.keyboard.press("b");
  await page.locator(".pair .panel").nth(1).waitFor();
  assert.deepEqual(faults, []);
}

async function hostile(browser, link) {
  const { page, faults } = await open(browser, link);
  await ready(page);
  const n = await rows(page).count();
  assert.ok(n > 0);
  for (let at = 0; at < n; at++) {
    await page.locator(".rows .row").nth(at).click();
    await page.locator(".trace h1").waitFor();
    await page.keyboard.press("t");
    for (const summary of await page.locator("summary").all()) await summary.click();
    await page.keyboard.press("Home");
    await page.keyboard.press("j");
    const text = await page.locator(".trace").textContent();
    assert.ok(!/[\u202a-\u202e\u0000-\u0008\u001b]/.test(text), "a mark that turns or hides text");
    await page.keyboard.press("Escape");
    await rows(page).first().waitFor();
  }
  assert.equal(await page.evaluate(() => window.owned), undefined);
  assert.equal(await page.locator("iframe, img, textarea, main script").count(), 0);
  assert.deepEqual(faults, []);
}

async function many(browser, link, opened) {
  const begun = Date.now();
  const { page, faults } = await open(browser, link);
  await rows(page).first().waitFor();
  const total = Number(opened) + Date.now() - begun;
  console.log(`opens in ${total} ms, ${opened} of it the server`);
  assert.ok(total < 2000, `opens in ${total} ms`);
  await ready(page);
  // From the change in the page to the rows of the answer.
  const filter = (change) => page.evaluate(async (change) => {
    const count = document.getElementById("count");
    const before = count.textContent;
    const begun = performance.now();
    const seen = new Promise((resolve) => new MutationObserver(() => count.textContent !== before && resolve()).observe(count, { childList: true, subtree: true, characterData: true }));
    const field = document.querySelector(change.field);
    field.value = change.value;
    field.dispatchEvent(new Event(change.event, { bubbles: true }));
    await seen;
    return performance.now() - begun;
  }, change);
  const changes = [
    { field: ".filters select", value: "wrong", event: "change" },
    { field: "input[type=search]", value: "Igor has 1", event: "input" },
    { field: "input[type=search]", value: "", event: "input" },
    { field: ".range input", value: "0", event: "input" },
    { field: ".filters select", value: "", event: "change" },
  ];
  for (const change of changes) {
    const took = await filter(change);
    console.log(`${change.field} ${JSON.stringify(change.value)}: ${Math.round(took)} ms`);
    assert.ok(took < 200, `${change.field} took ${took} ms`);
  }
  const sort = async (name) => {
    const answered = page.waitForResponse((response) => response.url().includes("sort="));
    const begun = Date.now();
    await page.locator(".head .sort", { hasText: name }).click();
    await answered;
    return Date.now() - begun;
  };
  console.log(`sort: ${await sort("H end")} ms`);
  // To the end and back: only what is in sight is in the page.
  await page.locator(".grid").focus();
  await page.keyboard.press("End");
  await page.waitForFunction(() => document.querySelector(".row.active .id"));
  assert.ok((await page.locator(".rows .row").count()) < 80);
  await page.keyboard.press("Enter");
  await page.locator(".trace h1").waitFor();
  assert.deepEqual(faults, []);
}

async function accessible(browser, link) {
  for (const colorScheme of ["light", "dark"]) {
    const { page, faults } = await open(browser, link, { colorScheme, reducedMotion: "reduce" });
    const audit = async (where) => {
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      const told = grave.map(({ id, nodes }) => `${where}, ${colorScheme}: ${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + " " + node.any.map((any) => any.message).join("; ")).join("\n  ")}`);
      assert.deepEqual(told, []);
      console.log(`${where}, ${colorScheme}: ${violations.length} lesser findings ${violations.map(({ id }) => id).join(", ")}`);
    };
    await ready(page);
    await audit("list");
    await page.locator(".rows .row").first().click();
    await page.locator(".trace h1").waitFor();
    await page.keyboard.press("t");
    for (const summary of await page.locator("summary").all()) await summary.click();
    await audit("trace");
    await page.keyboard.press("?");
    await audit("keys");
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 380, height: 740 });
    await audit("narrow trace");
    await page.keyboard.press("Escape");
    await rows(page).first().waitFor();
    await audit("narrow list");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `the page is ${wide} px too wide`);
    assert.deepEqual(faults, []);
  }
}

const CHECKS = { explore, pair, hostile, many, accessible };
const [name, link, ...rest] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.ENTRACE_BROWSER, args: ["--no-sandbox", "--disable-gpu"] });
try {
  await CHECKS[name](browser, link, ...rest);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
