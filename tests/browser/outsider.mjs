// Who does not belong here: wrong tokens, dead ones, many of them; and texts that want to be more.
import assert from "node:assert/strict";
import { step, world } from "./world.mjs";

const text = (page, selector) => page.locator(selector).first().innerText();

await world(async (it) => {
  const stranger = await it.visitor();
  const guess = async (token) => {
    await it.open(stranger, "/sign-in");
    await stranger.fill("input[name=token]", token);
    await stranger.click("button.main");
    await stranger.waitForSelector("[role=alert]");
    assert.ok(!(await stranger.content()).includes(token), "a token is repeated");
    return text(stranger, "[role=alert]");
  };

  await step("nobody gets in without a token", async () => {
    for (const path of ["/", "/governance/tokens", "/governance/settings", "/account/tokens"]) {
      await it.open(stranger, path);
      assert.match(stranger.url(), /\/sign-in/);
    }
  });

  await step("a wrong token and a dead one are refused alike, and many of them wait", async () => {
    const wrong = await guess("bwt_wrong");
    assert.match(wrong, /not valid/);
    assert.equal(await guess(it.tokens.expired), wrong);
    assert.equal(await guess(it.tokens.deactivated), wrong);
    let status = 401;
    for (let times = 0; times < 25 && status === 401; times += 1) {
      const answer = await stranger.context().request.post(`${it.admin}/sign-in`, {
        form: { token: `bwt_${times}` }, headers: { origin: it.admin }, maxRedirects: 0,
      });
      status = answer.status();
    }
    assert.equal(status, 429);
    assert.match(await guess("bwt_wrong"), /Too many wrong tokens/);
    const owner = await it.signedIn(it.owner_token);
    assert.match(owner.url(), /overview/, "a good token waits");
    await owner.context().close();
  });

  // A5: markup in everything that somebody can name.
  await step("markup is text, on every page", async () => {
    const markup = `<img src=x onerror="window.won=1"><script>window.won=1</script>'"><b>bold`;
    const short = `<img src=x onerror=window.won=1>`;
    const user = await it.api("POST", "/users", { email: "<b>@example.com", name: short })
      .catch(() => it.api("POST", "/users", { email: "m@example.com", name: short }));
    const made = await it.api("POST", "/tokens", { name: short, owner: user.id, scope: {} });
    await it.api("POST", `/tokens/${made.token.id}/deactivate`, { reason: markup });
    await it.api("PUT", "/policies", { idle_ttl: { active: true, value: 1, unit: "minutes" } });
    const owner = await it.signedIn(it.owner_token, { userAgent: markup });
    const hostile = encodeURIComponent(markup);
    const paths = [
      "/governance/overview", "/governance/tokens", "/governance/settings", "/governance/users",
      "/governance/audit", "/governance/notices", "/governance/webhooks", "/account/tokens",
      "/governance/exemptions", `/governance/exemptions?token=${hostile}`,
      `/governance/users/${user.id}`, `/tokens/${made.token.id}`,
      `/governance/tokens?q=${hostile}`, `/governance/tokens?sort=${hostile}`,
      `/governance/tokens?${hostile}=1`, `/governance/users?q=${hostile}`,
      `/governance/audit?since=${hostile}`, `/governance/notices?state=${hostile}`,
      `/governance/settings?done=${hostile}`, `/tokens/${hostile}`, `/sign-in?next=/${hostile}`,
      `/sign-in/${hostile}`,
    ];
    let seen = 0;
    for (const path of paths) {
      await it.open(owner, path);
      const found = await owner.evaluate(() => ({
        won: window.won,
        strange: document.querySelectorAll("img[src=x], b, script:not([src^='/assets/'])").length,
        inline: document.querySelectorAll("[style], [onerror]").length,
        shows: document.body.innerText.includes("<img src=x"),
      }));
      assert.deepEqual([found.won, found.strange, found.inline], [undefined, 0, 0], path);
      seen += found.shows ? 1 : 0;
    }
    assert.ok(seen >= 6, `the text was seen on ${seen} pages only`);
    // In the form of a change, and in what is refused of it.
    await it.open(owner, "/account/tokens");
    await owner.click("summary:has-text('Make a token')");
    await owner.fill("#make input[name=name]", short);
    await owner.fill("#make input[name=notify]", markup);
    await owner.click("#make button.main");
    assert.equal(await owner.inputValue("#make input[name=name]"), short);
    assert.equal(await owner.evaluate(() => window.won), undefined);
  });
});
