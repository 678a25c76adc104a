// A demo of the real binary, and a real Chromium that looks at it.
//
// From the environment: BEARWARD, the binary; BROWSER_TOOLS, where `install` put its packages;
// SHOTS, where screenshots go.
import { spawn } from "node:child_process";
import { accessSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";
import assert from "node:assert/strict";

export const tools = createRequire(join(process.env.BROWSER_TOOLS, "tools.js"));
const { chromium } = tools("playwright-core");
const axe = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.SHOTS;

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

function browserProgram() {
  for (const place of [process.env.CHROMIUM, ...places]) {
    try {
      accessSync(place);
      return place;
    } catch {
      // The next one, then.
    }
  }
  throw new Error(`no browser at ${places.join(", ")}; CHROMIUM names another`);
}

async function startDemo() {
  const child = spawn(
    process.env.BEARWARD,
    ["demo", "--json", "--gateway-port", "0", "--admin-port", "0"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [line] = await Promise.race([
    new Promise((told) => createInterface(child.stdout).once("line", (line) => told([line]))),
    new Promise((_, fail) => child.once("exit", (code) => fail(new Error(`demo: ${code}`)))),
  ]);
  return { child, ...JSON.parse(line) };
}

/** Runs `work` in a world of its own, and takes that down again. */
export async function world(work, start = startDemo) {
  const demo = await start();
  const options = { executablePath: browserProgram(), args: [] };
  if (process.getuid() === 0) options.args.push("--no-sandbox");
  let browser;
  try {
    browser = await chromium.launch(options);
    const strange = [];
    await work(new World(demo, browser, strange));
    assert.deepEqual(strange, [], "pages asked somebody else, or ran what they should not");
  } finally {
    await browser?.close();
    await ended(demo.child);
    await demo.after?.();
  }
}

/** Ends a process, and waits for it. */
export async function ended(child) {
  const gone = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  await gone;
}

/** One thing after the other; a failure says in which. */
export async function step(name, work) {
  const begun = performance.now();
  try {
    await work();
  } catch (error) {
    error.message = `${name}: ${error.message}`;
    throw error;
  }
  console.log(`${name} (${Math.round(performance.now() - begun)} ms)`);
}

class World {
  constructor(demo, browser, strange) {
    Object.assign(this, demo);
    this.browser = browser;
    this.strange = strange;
  }

  /** A browser of somebody's own. */
  async visitor(options = {}) {
    const context = await this.browser.newContext({
      viewport: { width: 1280, height: 860 },
      ...options,
    });
    context.setDefaultTimeout(10_000);
    // What an identity provider's pages want of others does not leave this machine.
    const isElsewhere = ({ hostname }) => !["localhost", "127.0.0.1"].includes(hostname);
    await context.route(isElsewhere, (route) => route.abort());
    const page = await context.newPage();
    page.on("request", (request) => {
      const ours = [this.admin, this.provider].filter(Boolean);
      const isTheirs = this.provider && request.frame().url().startsWith(this.provider);
      if (isTheirs || ours.some((origin) => request.url().startsWith(origin))) return;
      this.strange.push(request.url());
    });
    page.on("pageerror", (error) => this.strange.push(`error: ${error.message}`));
    page.on("console", (message) => {
      // Browsers tell of answers that are no 2xx, too; those are looked at where they are expected.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
        this.strange.push(`console: ${message.text()}`);
      }
    });
    page.on("dialog", (dialog) => {
      this.strange.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    return page;
  }

  async open(page, path) {
    return page.goto(this.admin + path);
  }

  async signIn(page, token) {
    await this.open(page, "/sign-in");
    await page.fill("input[name=token]", token);
    await page.click("button.main");
    await page.waitForURL((url) => !url.pathname.startsWith("/sign-in"));
  }

  async signedIn(token, options) {
    const page = await this.visitor(options);
    await this.signIn(page, token);
    return page;
  }

  /** What the gateway answers to a request with this token. */
  async status(token) {
    const answer = await fetch(`${this.gateway}/hello`, {
      headers: { authorization: `Bearer ${token}` },
    });
    await answer.arrayBuffer();
    return answer.status;
  }

  /** A call of the API by the owner. */
  async api(method, path, body) {
    const answer = await fetch(`${this.admin}/api/v1/orgs/${this.org}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.owner_token}`, "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
    return answer.status === 204 ? null : answer.json();
  }
}

const rules = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
const contrast = { runOnly: { type: "rule", values: ["color-contrast"] } };

/** Judges a page in both themes and in two widths, and takes its picture in each. */
export async function look(page, name) {
  // By the debugger, as an extension would: the policy of the page is not loosened for it.
  await page.evaluate(axe);
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 860 });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      // What only colours decide is all that a dark page can have of its own.
      const asked = colorScheme === "light" ? rules : contrast;
      const { violations } = await page.evaluate((asked) => window.axe.run(document, asked), asked);
      const found = violations.flatMap(({ id, nodes }) =>
        nodes.map((node) => `${id}: ${node.target} ${node.failureSummary}`));
      const at = `${name}-${colorScheme}-${width}`;
      assert.deepEqual(found, [], at);
      const over = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${at} is ${over} px too wide`);
      await shoot(page, at);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 860 });
}

/** Takes a picture of a page. */
export async function shoot(page, name, options = { fullPage: true }) {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), ...options });
}
