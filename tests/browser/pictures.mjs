// The pictures of the README: `tests/browser/pictures` runs this.
import { step, shoot, world } from "./world.mjs";

await world(async (it) => {
  const page = await it.visitor({ viewport: { width: 1280, height: 740 }, reducedMotion: "reduce" });
  await it.signIn(page, it.owner_token);
  const days = (value) => ({ active: true, value, unit: "days" });
  await it.api("PUT", "/policies", { idle_ttl: days(7), max_ttl: days(365) });
  for (let times = 0; times < 40; times += 1) await it.status(it.tokens.live);
  for (let times = 0; times < 5; times += 1) await it.status(it.tokens.deactivated);
  // The store is told of requests every few seconds.
  await new Promise((told) => setTimeout(told, 6_000));
  await step("the list", async () => {
    await it.open(page, "/governance/tokens?sort=-violations");
    await shoot(page, "tokens", {});
  });
  await step("the overview", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await it.open(page, "/governance/overview");
    await shoot(page, "overview", {});
  });
});
