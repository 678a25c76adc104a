// What somebody without an office does: their own tokens, and nobody else's.
import assert from "node:assert/strict";
import { step, world } from "./world.mjs";

const text = (page, selector) => page.locator(selector).first().innerText();

await world(async (it) => {
  let page;

  await step("they see their own tokens and no others", async () => {
    page = await it.signedIn(it.tokens.live);
    assert.equal(new URL(page.url()).pathname, "/account/tokens");
    assert.deepEqual(await page.locator("nav[aria-label=Pages] a").allInnerTexts(), ["My API tokens"]);
    const owned = await page.locator("td.name a").allTextContents();
    assert.ok(owned.includes("ci-deploy") && !owned.includes("ends-soon"), `${owned}`);
    for (const path of ["overview", "tokens", "settings", "exemptions", "users", "audit", "notices", "webhooks"]) {
      const answer = await it.open(page, `/governance/${path}`);
      assert.equal(answer.status(), 403, path);
    }
  });

  for (const javaScriptEnabled of [true, false]) {
    await step(`a token is made, regenerated and revoked, scripts ${javaScriptEnabled}`, async () => {
      const own = await it.signedIn(it.tokens.live, { javaScriptEnabled });
      const name = `made ${javaScriptEnabled ? "with" : "without"} scripts`;
      await own.click("summary:has-text('Make a token')");
      await own.fill("#make input[name=name]", name);
      await own.check("input[value=longest]");
      await own.check("label:has-text('echo/caller') input");
      await own.click("#make button.main");
      const secret = await text(own, "#secret");
      assert.equal(await it.status(secret), 200);
      const line = await text(own, "#curl");
      assert.equal(line, `curl -i ${it.gateway}/ -H 'Authorization: Bearer ${secret}'`);
      await own.click("a:text-is('Done')");
      assert.ok(!(await own.content()).includes(secret), "a secret is shown twice");
      await own.click("summary:has-text('Regenerate')");
      await own.click("button:text-is('Regenerate')");
      const next = await text(own, "#secret");
      assert.notEqual(next, secret);
      assert.equal(await it.status(secret), 401);
      assert.equal(await it.status(next), 200);
      await own.click("a:text-is('Done')");
      await own.click("summary:has-text('Revoke')");
      await own.fill("form[action$='/revoke'] input[name=name]", "something else");
      await own.click("form[action$='/revoke'] button");
      assert.match(await text(own, "[role=alert]"), /type the name/);
      assert.equal(await it.status(next), 200);
      await own.goBack();
      await own.click("summary:has-text('Revoke')");
      await own.fill("form[action$='/revoke'] input[name=name]", name);
      await own.click("form[action$='/revoke'] button");
      await own.waitForURL(/done=revoke/);
      assert.equal(await it.status(next), 401);
      await own.context().close();
    });
  }

  await step("what is refused is said, and nothing typed is lost", async () => {
    await it.api("PUT", "/policies", { max_ttl: { active: true, value: 30, unit: "days" } });
    await it.open(page, "/account/tokens");
    await page.click("summary:has-text('Make a token')");
    await page.fill("#make input[name=name]", "too long");
    await page.fill("#make input[name=value]", "31");
    await page.click("#make button.main");
    assert.match(await text(page, "[role=alert]"), /30 days/);
    assert.equal(await page.inputValue("#make input[name=name]"), "too long");
    assert.equal(await page.inputValue("#make input[name=value]"), "31");
  });

  await step("a session dies with its token", async () => {
    await it.open(page, "/account/tokens");
    await it.api("POST", `/tokens/${it.token_ids.live}/deactivate`, { reason: "lost" });
    await it.open(page, "/account/tokens");
    assert.match(page.url(), /\/sign-in/);
    await it.api("POST", `/tokens/${it.token_ids.live}/activate`, {});
    await it.open(page, "/account/tokens");
    assert.match(page.url(), /\/sign-in/, "a session came back to life");
  });
});
