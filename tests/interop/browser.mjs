// The unsubscribe page in Chromium. Run by browser.sh: node browser.mjs CHROMIUM LINK LINK LINK LINK
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [browser, ...links] = process.argv.slice(2);
const shots = process.env.SHOTS;
mkdirSync(shots, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
let checked = 0;

// One browser with a new, empty profile for each visit.
async function visit(options, walk) {
  const profile = mkdtempSync(join(tmpdir(), "sluis-browser-"));
  const context = await chromium.launchPersistentContext(profile,
    { executablePath: browser, args: flags, headless: true, ...options });
  const page = context.pages()[0] ?? await context.newPage();
  const asked = [];
  const complaints = [];
  page.on("request", (request) => asked.push(`${request.method()} ${request.url()}`));
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  try {
    await walk(page, asked);
    assert.deepEqual(complaints, [], "the browser has nothing to complain about");
    assert.deepEqual(await context.cookies(), [], "no cookie");
  } finally {
    await context.close();
  }
}

async function look(page, name) {
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wide <= 0, `${name}: nothing is wider than the window`);
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  const wrong = found.violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((n) => n.html)}`);
  assert.deepEqual(wrong, [], `${name}: axe-core`);
  checked += 1;
}

// Every language, on a telephone and a screen, by day and by night: the page with the button.
const languages = { nl: "Afmelden", en: "Unsubscribe", de: "Abmelden", fr: "Se désabonner" };
for (const [locale, button] of Object.entries(languages)) {
  for (const [width, colorScheme] of [[320, "light"], [1280, "dark"]]) {
    await visit({ locale, colorScheme, viewport: { width, height: 800 } }, async (page, asked) => {
      const answer = await page.goto(links[0]);
      assert.equal(answer.status(), 200);
      assert.equal(await page.getAttribute("html", "lang"), locale);
      assert.equal(await page.getByRole("button").count(), 1);
      assert.ok(await page.getByRole("button", { name: button }).isVisible());
      assert.deepEqual(asked, [`GET ${links[0]}`], "one request, and nothing from elsewhere");
      assert.ok((await answer.body()).length < 15 * 1024);
      await look(page, `ask-${locale}-${width}-${colorScheme}`);
    });
  }
}

// By mouse, with JavaScript: the button, a reason, the way back, and the button again.
await visit({ locale: "en", viewport: { width: 320, height: 800 } }, async (page) => {
  await page.goto(links[0]);
  await page.getByRole("button", { name: "Unsubscribe" }).click();
  await page.getByRole("heading", { name: "You are unsubscribed" }).waitFor();
  await look(page, "done-en-320");
  await page.getByLabel("There is too much email").check();
  await page.getByRole("button", { name: "Send reason" }).click();
  await page.getByText("Thank you.").waitFor();
  await look(page, "explained-en-320");
  await page.getByRole("button", { name: "Undo unsubscribing" }).click();
  await page.getByRole("heading", { name: "You are no longer unsubscribed" }).waitFor();
  await look(page, "undone-en-320");
  await page.getByRole("button", { name: "Unsubscribe" }).click();
  await page.getByRole("heading", { name: "You are unsubscribed" }).waitFor();
});

// By keyboard alone, without JavaScript, in Dutch.
await visit({ locale: "nl", javaScriptEnabled: false }, async (page) => {
  await page.goto(links[1]);
  await page.keyboard.press("Tab");
  assert.equal(await page.locator(":focus").innerText(), "Afmelden", "the first stop is the button");
  await page.screenshot({ path: join(shots, "focus-nl.png") });
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "U bent afgemeld" }).waitFor();
  // The reasons are one stop; arrows move within them.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.locator(":focus").getAttribute("value"), "too_often");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByText("Dank u.").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.locator(":focus").innerText(), "Afmelding ongedaan maken");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Uw afmelding is ongedaan gemaakt" }).waitFor();
});

// In the dark, when it is done; and a link that does not open.
await visit({ locale: "de", colorScheme: "dark" }, async (page) => {
  await page.goto(links[2]);
  await page.getByRole("button", { name: "Abmelden" }).click();
  await look(page, "done-de-dark");
});
await visit({ locale: "fr" }, async (page) => {
  const answer = await page.goto(links[3].slice(0, -1));
  assert.equal(answer.status(), 404);
  await page.screenshot({ path: join(shots, "unknown-fr.png") });
}).catch((error) => {
  // A 404 is worth a line to the console of the browser, and nothing else is.
  if (!String(error.message).includes("404")) throw error;
});

// At 200 % text and on paper.
await visit({ locale: "nl", viewport: { width: 640, height: 800 }, deviceScaleFactor: 2 }, async (page) => {
  await page.goto(links[3]);
  await page.evaluate(() => { document.documentElement.style.fontSize = "200%"; });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wide <= 0, "text at 200 % stays within the window");
  await page.emulateMedia({ media: "print" });
  await page.screenshot({ path: join(shots, "print-nl.png"), fullPage: true });
});
console.log(`ok: ${checked} states without a finding of axe-core; mouse, keyboard, no JavaScript, 320 px, dark, print`);
