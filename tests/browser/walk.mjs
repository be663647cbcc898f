// The walk: who may see the console, every view at two widths in two themes, then what a person does there.
// Ends with 1 when something did not hold.
import {
  ask, browser, clickThrough, context, expectRefusal, failed, goto, link, look, origin, page, shown, step, tell,
} from "./browser.mjs";
import { doubled, lowContrast, sideways, unnamed } from "./checks.mjs";

const VIEWS = ["markets", "decisions", "positions", "latency", "configuration", "health"];
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 390, height: 844 };
/** Each of them is checked, and two of them are looked at: every width and every theme is among these. */
const SCREENS = [
  ["wide-dark", WIDE, "dark", true], ["wide-light", WIDE, "light", false],
  ["narrow-dark", NARROW, "dark", false], ["narrow-light", NARROW, "light", true],
];
const PROCESSES = ["nats", "recorder", "feeder", "worker-1", "schedule", "console"];
const FIRST_ORDER_MS = 60_000;
const RECORDING_MS = 60_000;
const DOCTOR_MS = 60_000;
const STALE_WITHIN_MS = 3_000;
const NUMBER = /^\s*-?[\d,.]+\s*$/;

const missing = (text, wanted) => wanted.filter((each) => !text.includes(each)).map((each) => `not shown: ${each}`);
const checkPage = async (where) => {
  const by = await page.evaluate(sideways);
  return [
    by > 0 && `${where}: scrolls sideways by ${by} px`,
    ...(await page.evaluate(lowContrast)).map((each) => `${where}: contrast ${each}`),
    ...(await page.evaluate(unnamed)).map((each) => `${where}: no name: ${each}`),
    ...(await page.evaluate(doubled)).map((each) => `${where}: id twice: ${each}`),
  ].filter(Boolean);
};
/** The open page in every screen; what does not hold. */
const onEveryScreen = async (name) => {
  const problems = [];
  for (const [screen, size, theme, pictured] of SCREENS) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: theme });
    problems.push(...(await checkPage(screen)));
    if (pictured) await look(`${name}-${screen}`);
  }
  await page.setViewportSize(WIDE);
  await page.emulateMedia({ colorScheme: "dark" });
  return problems;
};

// -- who may see it -------------------------------------------------------------------------------

await step("the one-time link opens the console", async () => {
  await page.goto(link);
  await shown("main h1");
  const [cookie] = await context.cookies();
  return [
    !(cookie?.httpOnly && cookie.sameSite === "Strict") && "the cookie is not HttpOnly and SameSite=Strict",
    page.url().includes(new URL(link).pathname) && "the link stays in the address bar",
  ];
});
if (failed) process.exit(1); // nothing else could be seen
for (const [what, url, wanted] of [["the link opens it once", link, 403], ["without the cookie there is nothing to see", `${origin}/markets`, 401]]) {
  await step(what, async () => {
    const stranger = await browser.newContext();
    const answer = await (await stranger.newPage()).goto(url);
    await stranger.close();
    return answer.status() !== wanted && `answered ${answer.status()}, not ${wanted}`;
  });
}

// -- what it shows --------------------------------------------------------------------------------

await step("health: all processes run, and the doctor finds no fault", async () => {
  await goto("/health");
  await page.waitForFunction(
    (names) => names.every((name) => [...document.querySelectorAll("#health-processes tr")]
      .some((row) => row.cells[0].innerText === name && row.innerText.includes("running"))), PROCESSES);
  await clickThrough(page.locator("form[action='/health/doctor'] button"));
  await shown("#health-doctor tbody tr", DOCTOR_MS);
  const faults = await page.locator("#health-doctor tr", { hasText: "FAIL" }).allInnerTexts();
  return [...faults, ...(await onEveryScreen("health"))];
});
await step("markets change by themselves", async () => {
  await goto("/markets");
  const before = await page.locator("#markets-rows").innerText();
  await page.waitForFunction((text) => document.querySelector("#markets-rows").innerText !== text, before);
});
await step("a market opens: both books, and each number against what is wanted of it", async () => {
  // The one that has the longest to go, so that it does not end meanwhile.
  const rows = page.locator("#markets-rows tr", { hasNotText: "ended" });
  await rows.last().waitFor();
  await clickThrough(rows.last().locator("a"));
  await shown("#markets-open-why .checks");
  const ladders = page.locator("#markets-open-books .ladder");
  const why = await page.locator("#markets-open-why").innerText();
  return [
    (await ladders.count()) !== 2 && `${await ladders.count()} ladders`,
    !(await ladders.first().locator(".share-bar").count()) && "no bars",
    ...missing(await page.locator("#markets-open-facts").innerText(), ["Proof", "Age of the book", "Imbalance"]),
    ...missing(why, ["proof", "age", "positions", "spent today"]),
    ...(await onEveryScreen("market")),
  ];
});
await step("an executed decision: its book, numbers, order step by step, and what came later", async () => {
  await goto("/decisions?result=executed");
  await shown("#decisions-table a[href^='/decisions/']", FIRST_ORDER_MS);
  await clickThrough(page.locator("#decisions-table a[href^='/decisions/']").last());
  await shown("section[aria-labelledby=decision-book] .ladders tbody tr", RECORDING_MS);
  await shown("#decision-later-scroll", RECORDING_MS);
  const numbers = await page.locator("section[aria-labelledby=decision-strategy] td.num").allInnerTexts();
  const order = await page.locator(".timeline li").allInnerTexts();
  return [
    !numbers.length && "no number of the strategy",
    order.length < 3 && `the order has only ${order.length} steps`,
    !order.some((each) => /bought/.test(each)) && "no step says what was bought",
    !(await page.locator("section[aria-labelledby=decision-gate] tbody tr").count()) && "no number of the gate",
    ...(await onEveryScreen("decision")),
  ];
});
await step("positions: marked at the bid, or unknown and why", async () => {
  await goto("/positions");
  await shown("#positions-scroll tbody tr", FIRST_ORDER_MS);
  const rows = await page.locator("#positions-scroll tbody tr").evaluateAll((all) => all.map((row) =>
    Object.fromEntries([...row.cells].map((cell) => [cell.dataset.label, cell.innerText]))));
  return rows
    .filter((row) => !(NUMBER.test(row.Bid) && /\d/.test(row.Value)) && !/^unknown: ./.test(row.Unrealised))
    .map((row) => `neither marked nor unknown: ${JSON.stringify(row)}`);
});
await step("latency: p50 and p99 of every stage of an order", async () => {
  await goto("/latency");
  await page.waitForFunction(() => document.querySelector("#latency-stages tbody tr td:nth-last-child(1)")?.innerText.match(/\d/));
  const text = await page.locator("#latency-stages").innerText();
  return missing(text, ["p50", "p99", "ms"]);
});
for (const view of VIEWS.filter((each) => each !== "health")) {
  await step(`${view}: readable, named, in place, in two widths and two themes`, async () => {
    await goto(`/${view}`);
    return await onEveryScreen(view);
  });
}

// -- what a person does there ---------------------------------------------------------------------

const trading = async () => (await ask({ ask: "executor", arguments: ["status"] })).trading;
const version = async () => (await ask({ ask: "executor", arguments: ["config", "show"] })).version;
const isHalted = () => shown("#console-accounts .state-bad");
const isTrading = () => shown("#console-accounts .state-good");

await step("halt is one click away, and holds", async () => {
  await goto("/markets");
  await clickThrough(page.locator(".halt-all button"));
  await isHalted();
  await look("halted-wide-dark", false);
  return (await trading()) && "the account still trades";
});
await step("resume wants the reason that it lifts, ticked", async () => {
  await page.locator("#console-accounts .resume summary").click();
  const reason = await page.locator("#console-accounts .resume label").innerText();
  await page.locator("#console-accounts .resume button").click();
  const halted = await page.locator("#console-accounts .state-bad").count();
  await page.locator("#console-accounts .resume input[name=lift]").check();
  await look("resume-wide-dark", false);
  await clickThrough(page.locator("#console-accounts .resume button"));
  await isTrading();
  return [
    !/console/.test(reason) && `the reason is not shown: ${reason}`,
    !halted && "resumed without the tick",
    !(await trading()) && "the account is still halted",
  ];
});
const focused = () => page.evaluate(() => {
  const at = document.activeElement;
  const seen = at === document.body || getComputedStyle(at).outlineStyle !== "none";
  return { text: (at.innerText || at.name || "").trim(), seen };
});
/** Tab to what says so. */
const tabTo = async (wanted, reached = []) => {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    const at = await focused();
    reached.push(at);
    if (wanted.test(at.text)) return;
  }
  throw new Error(`40 times Tab do not reach ${wanted}`);
};
await step("by keyboard alone: past the skip link and every view to halt, then resume", async () => {
  await goto("/health");
  const reached = [];
  await tabTo(/^Halt/, reached);
  const names = reached.map((each) => each.text.toLowerCase());
  await Promise.all([page.waitForEvent("domcontentloaded"), page.keyboard.press("Enter")]);
  await isHalted();
  await tabTo(/^Resume …/, reached);
  await page.keyboard.press("Enter");
  await tabTo(/^lift$/, reached);
  await page.keyboard.press("Space");
  await tabTo(/^Resume/, reached);
  await Promise.all([page.waitForEvent("domcontentloaded"), page.keyboard.press("Enter")]);
  await isTrading();
  return [
    ...["skip", ...VIEWS].filter((each) => !names.some((name) => name.includes(each))).map((each) => `not reached: ${each}`),
    ...reached.filter((each) => !each.seen).slice(0, 3).map((each) => `focus not seen: ${each.text}`),
    !(await trading()) && "the account is still halted",
  ];
});
const field = (name) => page.locator(`input[name='value.${name}']`);
const propose = () => clickThrough(page.locator("form[action='/configuration/preview'] button"));
await step("a wrong value comes back with a sentence, and nothing typed is lost", async () => {
  await goto("/configuration");
  await page.locator("form[action='/configuration/preview']").evaluate((form) => { form.noValidate = true; });
  await field("imbalance_min").fill("7");
  await field("cooldown_s").fill("31");
  await page.locator("#configuration-why").fill("tried in a browser");
  await propose();
  expectRefusal(422);
  const wrong = page.locator(".field-wrong");
  const sentence = await wrong.locator(".bad").innerText();
  await look("mistake-wide-dark", false);
  return [
    (await wrong.count()) !== 1 && `${await wrong.count()} fields are marked`,
    !/1/.test(sentence) && `the sentence says no bound: ${sentence}`,
    (await field("imbalance_min").inputValue()) !== "7" && "the wrong value is gone",
    (await field("cooldown_s").inputValue()) !== "31" && "the other value is gone",
    (await page.locator("#configuration-why").inputValue()) !== "tried in a browser" && "the reason is gone",
    ...(await checkPage("with a mistake")),
  ];
});
await step("a parameter is changed, after what it would mean was shown", async () => {
  const before = await version();
  await goto("/configuration");
  await field("imbalance_min").fill("0.55");
  await page.locator("#configuration-why").fill("tried in a browser");
  await propose();
  const meant = await page.locator(".proposal").innerText();
  await look("proposal-wide-dark", false);
  const between = await version();
  await clickThrough(page.locator(".proposal button"));
  await shown(".message");
  await page.locator("#configuration-history", { hasText: "tried in a browser" }).waitFor();
  const after = await version();
  return [
    ...missing(meant, ["imbalance_min", "0.55", "tried in a browser"]),
    between !== before && "the preview has changed it",
    after !== before + 1 && `version ${before}, then ${after}`,
    ...(await checkPage("after the change")),
  ];
});
await step("an earlier version is put in force again", async () => {
  const before = await version();
  await page.locator("#configuration-to").selectOption(String(before - 1));
  await page.locator("#configuration-rollback-why").fill("back again");
  await clickThrough(page.locator("form[action='/configuration/preview-rollback'] button"));
  await clickThrough(page.locator(".proposal button"));
  await shown(".message");
  const after = await version();
  return [
    after !== before + 1 && `version ${before}, then ${after}`,
    (await field("imbalance_min").inputValue()) === "0.55" && "the value is not the earlier one",
  ];
});
for (const [process, what] of [["feeder", "No new data"], ["console", "does not answer"]]) {
  await step(`stale within three seconds once the ${process} is stopped, and no longer when it goes on`, async () => {
    await goto("/markets");
    await page.locator("body:not(.stale)").waitFor({ state: "attached" });
    await ask({ ask: "suspend", process });
    const began = performance.now();
    const problems = [];
    try {
      await page.locator("body.stale #console-stale", { hasText: what }).waitFor();
      const took = performance.now() - began;
      if (took > STALE_WITHIN_MS) problems.push(`only after ${(took / 1000).toFixed(1)} s`);
      problems.push(...(await checkPage("stale")));
      await look(`stale-${process}-wide-dark`, false);
    } finally {
      await ask({ ask: "continue", process });
    }
    await page.locator("body:not(.stale)").waitFor({ state: "attached" });
    return problems;
  });
}

await browser.close();
tell({ say: failed ? `${failed} steps did not hold` : "all of it held" });
process.exit(failed ? 1 : 0);
