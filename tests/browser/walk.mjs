// The walk: every view at two widths in two themes, by keyboard, then halt, resume, a changed parameter, a
// stale page. Prints what held, and ends with 1 when something did not.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { doubled, lowContrast, sideways, unnamed } from "./checks.mjs";

const { BROWSER, LINK, PICTURES } = process.env;
const VIEWS = ["markets", "decisions", "positions", "latency", "configuration", "health"];
const SCREENS = [["wide", 1280, 900], ["narrow", 390, 844]];
const THEMES = ["dark", "light"];
const WAIT_MS = 20_000;

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = (said) => process.stdout.write(JSON.stringify(said) + "\n");
const ask = async (what) => {
  tell(what);
  return JSON.parse((await answers.next()).value).answer;
};

let failed = 0;
const hold = (what, problem) => {
  const bad = problem && !(Array.isArray(problem) && problem.length === 0);
  failed += bad ? 1 : 0;
  tell({ say: bad ? `FAILED  ${what}: ${Array.isArray(problem) ? problem.join("; ") : problem}` : `held    ${what}` });
};
/** Do it; what it throws is what did not hold. */
const step = async (what, doing) => {
  try {
    hold(what, await doing());
  } catch (error) {
    hold(what, String(error.message).split("\n")[0]);
  }
};

const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
const context = await browser.newContext();
const page = await context.newPage();
page.setDefaultTimeout(WAIT_MS);
const complaints = [];
page.on("console", (said) => said.type() === "error" && complaints.push(said.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
const origin = new URL(LINK).origin;
page.on("request", (request) => {
  const url = new URL(request.url());
  if (url.origin !== origin && url.protocol !== "data:") complaints.push(`asked another host: ${url.origin}`);
});
const goto = (path) => page.goto(origin + path, { waitUntil: "domcontentloaded" });
const shown = (selector) => page.locator(selector).first().waitFor({ state: "visible" });

await step("the one-time link opens the console", async () => {
  await page.goto(LINK);
  await shown("main h1");
  const [cookie] = await context.cookies();
  return [
    ...(cookie?.httpOnly && cookie.sameSite === "Strict" ? [] : ["the cookie is not HttpOnly and SameSite=Strict"]),
    ...(page.url().includes(new URL(LINK).pathname) ? ["the link stays in the address bar"] : []),
  ];
});
if (failed) process.exit(1); // nothing else could be seen
await step("it opens it once", async () => {
  const stranger = await browser.newContext();
  const answer = await (await stranger.newPage()).goto(LINK);
  await stranger.close();
  return answer.status() >= 400 ? "" : `answered ${answer.status()}`;
});
await step("without the cookie there is nothing to see", async () => {
  const stranger = await browser.newContext();
  const answer = await (await stranger.newPage()).goto(`${origin}/markets`);
  await stranger.close();
  return answer.status() === 401 ? "" : `answered ${answer.status()}`;
});

for (const view of VIEWS) {
  for (const [screen, width, height] of SCREENS) {
    for (const theme of THEMES) {
      await step(`${view}, ${screen}, ${theme}`, async () => {
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme: theme });
        await goto(`/${view}`);
        await shown("main h1");
        await page.waitForTimeout(1200); // as a person sees it: with its first updates
        await page.screenshot({ path: `${PICTURES}/${view}-${screen}-${theme}.png`, fullPage: true });
        const by = await page.evaluate(sideways);
        return [
          ...(by > 0 ? [`scrolls sideways by ${by} px`] : []),
          ...(await page.evaluate(lowContrast)).map((each) => `contrast ${each}`),
          ...(await page.evaluate(unnamed)).map((each) => `no name: ${each}`),
          ...(await page.evaluate(doubled)).map((each) => `id twice: ${each}`),
          ...complaints.splice(0),
        ];
      });
    }
  }
}
await page.setViewportSize({ width: 1280, height: 900 });

await step("markets change by themselves", async () => {
  await goto("/markets");
  const before = await page.locator("main").innerText();
  await page.waitForFunction((text) => document.querySelector("main").innerText !== text, before);
});
await step("a market opens, with both ladders", async () => {
  await page.locator("main a[href*='market=']").first().click();
  await shown("[id^=markets-ladder]");
  await page.waitForTimeout(1200);
  await page.screenshot({ path: `${PICTURES}/market-wide-light.png`, fullPage: true });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${PICTURES}/market-wide-dark.png`, fullPage: true });
});
await step("by keyboard alone: skip link, every view, halt", async () => {
  await goto("/markets");
  const names = [];
  for (let i = 0; i < 40; i += 1) {
    await page.keyboard.press("Tab");
    names.push(await page.evaluate(() => {
      const at = document.activeElement;
      const outline = getComputedStyle(at).outlineStyle;
      return `${at.textContent.trim().toLowerCase()}${outline === "none" && at !== document.body ? " (focus not seen)" : ""}`;
    }));
  }
  const wanted = ["skip", ...VIEWS.slice(0, 5).map((each) => each.split("-")[0]), "halt"];
  return [
    ...wanted.filter((each) => !names.some((name) => name.includes(each))).map((each) => `not reached: ${each}`),
    ...names.filter((name) => name.includes("focus not seen")).slice(0, 3),
  ];
});

const trading = async () => {
  const told = await ask({ ask: "executor", arguments: ["status"] });
  return (told.accounts ?? [told]).every((each) => each.trading);
};
await step("halt is one click away, and holds", async () => {
  await goto("/markets");
  await page.locator("button", { hasText: /halt/i }).first().click();
  await page.getByText(/halted/i).first().waitFor();
  await page.screenshot({ path: `${PICTURES}/halted-wide-dark.png` });
  return (await trading()) ? "the account still trades" : "";
});
await step("resume asks for the reason that it lifts", async () => {
  await page.locator("input[name=reason]").first().fill("console");
  await page.locator("button", { hasText: /resume/i }).first().click();
  await page.waitForLoadState("domcontentloaded");
  await page.waitForTimeout(1500);
  return (await trading()) ? "" : "the account is still halted";
});
await step("a parameter is changed", async () => {
  const before = await ask({ ask: "executor", arguments: ["config", "show"] });
  await goto("/configuration");
  await page.locator("input[name=imbalance_min]").first().fill("0.55");
  await page.locator("[name=why]").first().fill("tried in a browser");
  await page.locator("main form button[type=submit]").first().click();
  await page.locator("button", { hasText: /confirm|put in force|set/i }).first().click();
  await page.waitForLoadState("domcontentloaded");
  await page.screenshot({ path: `${PICTURES}/changed-wide-dark.png`, fullPage: true });
  const after = await ask({ ask: "executor", arguments: ["config", "show"] });
  return after.version === before.version + 1 ? "" : `version ${before.version}, then ${after.version}`;
});
await step("a decision opens, with its numbers", async () => {
  await goto("/decisions");
  await page.locator("main table a[href^='/decisions/']").first().click();
  await shown("main h1");
  await page.waitForTimeout(3000);
  await page.screenshot({ path: `${PICTURES}/decision-wide-dark.png`, fullPage: true });
  return await page.evaluate(lowContrast);
});
await step("without books for two seconds the page says that it is stale", async () => {
  await goto("/markets");
  await ask({ ask: "suspend", process: "feeder" });
  try {
    await page.locator("body.stale").waitFor({ state: "attached" });
    await page.screenshot({ path: `${PICTURES}/stale-wide-dark.png` });
  } finally {
    await ask({ ask: "continue", process: "feeder" });
  }
  await page.locator("body:not(.stale)").waitFor({ state: "attached" });
});
await step("without the console the page says so, too", async () => {
  await ask({ ask: "suspend", process: "console" });
  try {
    await page.locator("body.stale").waitFor({ state: "attached" });
  } finally {
    await ask({ ask: "continue", process: "console" });
  }
  await page.locator("body:not(.stale)").waitFor({ state: "attached" });
});
hold("nothing was said on the browser's console", complaints);

await browser.close();
tell({ say: failed ? `${failed} steps did not hold` : "all of it held" });
process.exit(failed ? 1 : 0);
