// The browser, and what a step is. Prints what held, one JSON object a line, and counts what did not.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const { BROWSER, LINK, PICTURES } = process.env;
const WAIT_MS = 30_000;
const PICTURE_HEIGHT_MAX = 2_400;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
export const tell = (said) => process.stdout.write(JSON.stringify(said) + "\n");
/** What only the machine can do or see: see `Machine` in `__main__.py`. */
export const ask = async (what) => {
  tell(what);
  return JSON.parse((await answers.next()).value).answer;
};

export let failed = 0;
const hold = (what, problems, beganMs) => {
  failed += problems.length ? 1 : 0;
  const took = `${((performance.now() - beganMs) / 1000).toFixed(1)} s`;
  tell({ say: problems.length ? `FAILED  ${what} (${took}): ${problems.join("; ")}` : `held    ${what} (${took})` });
};
/** Do it; what it answers with or throws is what did not hold, as is whatever the browser complained of. */
export const step = async (what, doing) => {
  const began = performance.now();
  const problems = [];
  try {
    problems.push(...[(await doing()) ?? []].flat().filter(Boolean));
  } catch (error) {
    problems.push(String(error.message).split("\n").slice(0, 3).join(" "));
    await page.screenshot({ path: `${PICTURES}/failed-${failed}.png`, fullPage: true }).catch(() => {});
  }
  problems.push(...complaints.splice(0));
  hold(what, problems, began);
};

export const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
export const origin = new URL(LINK).origin;
export const link = LINK;
export const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "dark" });
// How many messages of the stream the page has taken: what a person waits for, too.
await context.addInitScript(() => {
  window.messagesTaken = 0;
  window.EventSource = class extends EventSource {
    set onmessage(taken) {
      super.onmessage = (event) => {
        taken(event);
        window.messagesTaken += 1;
      };
    }
  };
});
export const page = await context.newPage();
page.setDefaultTimeout(WAIT_MS);

const complaints = [];
/** A refusal that a step provokes is logged by the browser as an error. */
export const expectRefusal = (status) => {
  const at = complaints.findIndex((each) => each.includes(`status of ${status}`));
  if (at >= 0) complaints.splice(at, 1);
};
page.on("console", (said) => said.type() === "error" && complaints.push(said.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => {
  const url = new URL(request.url());
  if (url.origin !== origin && url.protocol !== "data:") complaints.push(`asked another host: ${url.origin}`);
});

/** Open a page of the console, with its first update. */
export const goto = async (path) => {
  await page.goto(origin + path, { waitUntil: "domcontentloaded" });
  await updated();
};
export const updated = () => page.waitForFunction(() => window.messagesTaken > 0);
export const shown = (selector, timeout = WAIT_MS) => page.locator(selector).first().waitFor({ state: "visible", timeout });
/** Click what goes to another page, and wait for that. */
export const clickThrough = async (locator) => {
  await Promise.all([page.waitForEvent("domcontentloaded"), locator.click()]);
  await updated();
};
export const look = async (name, whole = true) => {
  await page.evaluate(() => window.scrollTo(0, 0));
  const [width, height] = await page.evaluate(() => [innerWidth, document.documentElement.scrollHeight]);
  const clip = { x: 0, y: 0, width, height: Math.min(height, PICTURE_HEIGHT_MAX) };
  await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: whole, ...(whole ? { clip } : {}) });
};
