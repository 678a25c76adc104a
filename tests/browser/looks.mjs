// Every page in both themes and two widths: nothing for axe to find, nothing too wide, few bytes.
import assert from "node:assert/strict";
import { look, step, world } from "./world.mjs";

const PAGE_BYTES_MAX = 150 * 1024;

await world(async (it) => {
  const page = await it.visitor();
  let bytes = 0;
  page.on("response", async (answer) => {
    const sizes = await answer.request().sizes().catch(() => null);
    bytes += sizes?.responseBodySize ?? 0;
  });
  const at = async (name, path, before) => step(name, async () => {
    bytes = 0;
    if (path) await it.open(page, path);
    await before?.();
    // A page that listens for changes is never without a connection.
    await page.waitForLoadState("load");
    await page.waitForTimeout(300);
    assert.ok(bytes < PAGE_BYTES_MAX, `${bytes} bytes`);
    await page.waitForFunction(
      () => performance.getEntriesByName("first-contentful-paint").length > 0);
    const painted = await page.evaluate(
      () => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    // How quick it is says as much of the machine as of the page: told, not judged.
    console.log(`${name}: ${bytes} bytes, first painted after ${Math.round(painted)} ms`);
    await look(page, name);
  });

  await at("sign-in", "/sign-in");
  await it.signIn(page, it.owner_token);
  // Something for the pictures: requests, refusals, violations, notices.
  for (let times = 0; times < 12; times += 1) await it.status(it.tokens.live);
  for (let times = 0; times < 3; times += 1) await it.status(it.tokens.deactivated);
  await it.status(it.tokens.wrong_scope);
  const days = (value) => ({ active: true, value, unit: "days" });
  await it.api("PUT", "/policies", { idle_ttl: days(7), max_ttl: days(180) });
  await it.api("POST", `/tokens/${it.token_ids.never_used}/deactivate`, { reason: "Lost" });
  await it.api("POST", "/webhooks", { url: "https://example.com/hooks/bearward", activated: false });

  await at("tokens", "/governance/tokens");
  await at("tokens-detailed", "/governance/tokens?violation=idle_ttl&sort=-expires_at");
  await at("tokens-none", "/governance/tokens?q=nothing-is-called-so");
  await at("token", `/tokens/${it.token_ids.live}`);
  await at("token-deactivated", `/tokens/${it.token_ids.deactivated}`);
  await at("switch", "/governance/tokens", async () => {
    for (const box of await page.locator("tbody input[name=id]").all().then((all) => all.slice(0, 3))) {
      await box.check();
    }
    await page.click("button[value=deactivate]");
  });
  await at("settings", "/governance/settings");
  await at("settings-foreseen", "/governance/settings", async () => {
    const policy = page.locator("section.policy").first();
    await policy.locator("input[name=value]").fill("2");
    await policy.locator("button.main").click();
    await page.waitForSelector("#preview");
  });
  const until = new Date(Date.now() + 9 * 86_400_000).toISOString();
  await at("exemptions-none", "/governance/exemptions");
  await it.api("POST", "/exemptions",
    { token: it.token_ids.never_used, policy: "idle_ttl", until, reason: "For the audit in May" });
  await at("exemptions", "/governance/exemptions");
  await at("users", "/governance/users");
  await at("user", "/governance/users", () => page.click("tbody tr:first-child td.name a"));
  await at("audit", "/governance/audit");
  await at("notices", "/governance/notices");
  await at("webhooks", "/governance/webhooks");
  await at("mine", "/account/tokens#make");
  await at("secret", "/account/tokens#make", async () => {
    await page.fill("input[name=name]", "for the picture");
    await page.click("#make button.main");
    await page.waitForSelector("#secret");
  });
  await at("problem", "/governance/tokens?sort=nothing");
  // The store is told of requests every few seconds.
  await at("overview", "/governance/overview");
});
