// Opens each page a few times in a real browser, and prints after how many milliseconds it painted
// first (the median) and how many bytes came, everything included. `run` starts this.
import { createRequire } from "node:module";
import { join } from "node:path";
import { accessSync } from "node:fs";

const LOOKS = 5;
const { BROWSER_TOOLS, ADMIN, TOKEN, ONE, CHROMIUM } = process.env;
const { chromium } = createRequire(join(BROWSER_TOOLS, "tools.js"))("playwright-core");

const places = [CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = places.find((place) => {
  try {
    accessSync(place);
    return true;
  } catch {
    return false;
  }
});
const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath, args });
const figures = {};
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  const page = await context.newPage();
  let bytes = 0;
  page.on("response", async (answer) => {
    const sizes = await answer.request().sizes().catch(() => null);
    bytes += sizes?.responseBodySize ?? 0;
  });
  const look = async (name, path) => {
    const times = [];
    let most = 0;
    for (let nth = 0; nth < LOOKS; nth += 1) {
      bytes = 0;
      await page.goto(ADMIN + path, { waitUntil: "load" });
      await page.waitForFunction(
        () => performance.getEntriesByName("first-contentful-paint").length > 0);
      times.push(await page.evaluate(
        () => performance.getEntriesByName("first-contentful-paint")[0].startTime));
      await page.waitForTimeout(200);
      most = Math.max(most, bytes);
    }
    times.sort((one, other) => one - other);
    figures[name] = [times[LOOKS >> 1], most];
  };
  await look("sign-in", "/sign-in");
  await page.fill("input[name=token]", TOKEN);
  await page.click("button.main");
  await page.waitForURL((url) => !url.pathname.startsWith("/sign-in"));
  await look("overview", "/governance/overview");
  await look("tokens", "/governance/tokens");
  await look("tokens by violations", "/governance/tokens?sort=-violations");
  await look("tokens searched for", "/governance/tokens?q=build-99");
  await look("a token", `/tokens/${ONE}`);
  await look("settings", "/governance/settings");
  await look("exemptions", "/governance/exemptions");
  await look("users", "/governance/users");
  await look("audit", "/governance/audit");
  await look("notices", "/governance/notices");
  await look("webhooks", "/governance/webhooks");
  await look("my tokens", "/account/tokens");
} finally {
  await browser.close();
}
console.log(JSON.stringify(figures));
