// What an owner does: finds tokens, switches them, sets policies; with scripts and without.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { step, world } from "./world.mjs";

const names = (page) => page.locator("tbody td.name a").allTextContents();
const text = async (page, selector) =>
  (await page.locator(selector).first().innerText()).replace(/\s+/g, " ");

await world(async (it) => {
  let page;

  await step("signing in leaves no token in the browser", async () => {
    page = await it.signedIn(it.owner_token);
    assert.equal(new URL(page.url()).pathname, "/governance/overview");
    const cookies = await page.context().cookies();
    const session = cookies.find((cookie) => cookie.name === "bearward_session");
    assert.ok(session.httpOnly && session.sameSite === "Strict" && session.expires === -1);
    const kept = await page.evaluate(() =>
      JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]));
    assert.ok(!kept.includes(it.owner_token) && !kept.includes(session.value), kept);
    assert.ok(!JSON.stringify(cookies).includes(it.owner_token));
  });

  for (const javaScriptEnabled of [true, false]) {
    await step(`the list is filtered and sorted by its address, scripts ${javaScriptEnabled}`, async () => {
      const list = await it.signedIn(it.owner_token, { javaScriptEnabled });
      await list.click("nav a:has-text('API tokens')");
      const all = await names(list);
      assert.ok(all.length >= 10, `${all}`);
      await list.click("thead a:text-is('Name')");
      await list.waitForURL(/sort=name/);
      const sorted = await names(list);
      const lower = (text) => text.toLowerCase();
      assert.deepEqual(sorted.map(lower), [...all].map(lower).sort());
      await list.click("thead a:text-is('Name')");
      await list.waitForURL(/sort=-name/);
      assert.deepEqual(await names(list), sorted.toReversed());
      await list.fill("input[name=q]", "laptop");
      await list.click(".filters button:has-text('Apply')");
      await list.waitForURL(/q=laptop/);
      assert.match(list.url(), /sort=-name/);
      assert.deepEqual(await names(list), ["old-laptop", "laptop"]);
      // Whoever is sent the address sees the same.
      const other = await it.signedIn(it.owner_token, { javaScriptEnabled });
      await other.goto(list.url());
      assert.deepEqual(await names(other), ["old-laptop", "laptop"]);
      await list.click(".tabs a:has-text('Revoked')");
      await list.waitForURL(/status=revoked/);
      assert.deepEqual(await names(list), ["old-laptop"]);
      assert.equal(await text(list, ".tabs a[aria-current] .count"), "1");
      await list.context().close();
      await other.context().close();
    });
  }

  await step("a filter applies when it is chosen", async () => {
    await it.open(page, "/governance/tokens");
    await page.selectOption("select[name=owner]", { label: "Adam Abara" });
    await page.waitForURL(/owner=usr_/);
    assert.deepEqual((await names(page)).sort(), ["ends-soon", "spring-campaign"]);
  });

  for (const javaScriptEnabled of [true, false]) {
    await step(`a token is deactivated and activated again, scripts ${javaScriptEnabled}`, async () => {
      const owner = await it.signedIn(it.owner_token, { javaScriptEnabled });
      assert.equal(await it.status(it.tokens.live), 200);
      await it.open(owner, "/governance/tokens?q=ci-deploy");
      await owner.click("td.name a");
      await owner.fill("form[action$='/deactivate'] input[name=reason]", "seen in a log");
      await owner.click("form[action$='/deactivate'] button");
      await owner.waitForURL(/done=deactivate/);
      assert.match(await text(owner, "[role=status]"), /deactivated/);
      assert.match(await text(owner, ".facts"), /seen in a log/);
      assert.equal(await it.status(it.tokens.live), 401);
      await owner.click("form[action$='/activate'] button");
      await owner.waitForURL(/done=activate/);
      assert.equal(await it.status(it.tokens.live), 200);
      await owner.context().close();
    });

    await step(`many are switched after a look, scripts ${javaScriptEnabled}`, async () => {
      const owner = await it.signedIn(it.owner_token, { javaScriptEnabled });
      await it.open(owner, "/governance/tokens?owner=&status=activated&q=Mia");
      const count = await owner.locator("tbody tr").count();
      assert.ok(count >= 2);
      if (javaScriptEnabled) {
        assert.ok(await owner.locator("button[value=deactivate]").isDisabled());
        await owner.check("input[data-all]");
        assert.equal(await text(owner, "[data-told]"), `${count} selected`);
      } else {
        for (const box of await owner.locator("tbody input[name=id]").all()) await box.check();
      }
      await owner.click("button[value=deactivate]");
      assert.match(await text(owner, "h1"), new RegExp(`Deactivate ${count}`));
      assert.match(await text(owner, "main"), /mia@example\.com/);
      assert.equal(await it.status(it.tokens.live), 200);
      await owner.fill("input[name=reason]", "spring cleaning");
      await owner.click(`button:has-text('Deactivate ${count}')`);
      await owner.waitForURL(new RegExp(`done=deactivate-${count}`));
      assert.equal(await it.status(it.tokens.live), 401);
      await it.open(owner, "/governance/tokens?status=deactivated&q=ci-deploy");
      await owner.check("tbody input[name=id]");
      await owner.click("button[value=activate]");
      await owner.click("button:has-text('Activate 1')");
      await owner.waitForURL(/done=activate-1/);
      assert.equal(await it.status(it.tokens.live), 200);
      // What is so already is said, and nobody is told of it.
      await it.open(owner, "/governance/tokens?q=nightly-report");
      await owner.check("tbody input[name=id]");
      await owner.click("button[value=deactivate]");
      assert.match(await text(owner, "h1"), /Deactivate 0 of 1/);
      assert.match(await text(owner, "tbody"), /It is so already/);
      assert.equal(await owner.locator("button:has-text('Deactivate 0')").count(), 0);
      assert.doesNotMatch(await text(owner, "main"), /told by mail/);
      await it.open(owner, "/governance/tokens?status=deactivated&q=laptop");
      await owner.check("tbody input[name=id]");
      await owner.click("button[value=activate]");
      await owner.click("button:has-text('Activate 1')");
      await owner.waitForURL(/done=activate-1/);
      await owner.context().close();
    });
  }

  await step("the keyboard alone gets everywhere, and each stop is seen", async () => {
    const owner = await it.signedIn(it.owner_token);
    const stops_max = 80;
    const to = async (selector) => {
      for (let stops = 0; stops < stops_max; stops += 1) {
        await owner.keyboard.press("Tab");
        const at = await owner.evaluate((selector) => {
          const here = document.activeElement;
          const { outlineStyle, outlineWidth } = getComputedStyle(here);
          const seen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
          return { is: here.matches(selector), seen: seen || here === document.body, what: here.outerHTML };
        }, selector);
        assert.ok(at.seen, `nobody sees that this has the focus: ${at.what.slice(0, 120)}`);
        if (at.is) return;
      }
      assert.fail(`${selector} is not reached within ${stops_max} stops`);
    };
    await it.open(owner, "/governance/tokens?q=ci-deploy");
    await to("a.skip");
    await owner.keyboard.press("Enter");
    await to("td.name a");
    await owner.keyboard.press("Enter");
    await owner.waitForURL(/\/tokens\/tok_/);
    await to("form[action$='/deactivate'] input[name=reason]");
    await owner.keyboard.type("by hand");
    await owner.keyboard.press("Enter");
    await owner.waitForURL(/done=deactivate/);
    assert.equal(await it.status(it.tokens.live), 401);
    await to("form[action$='/activate'] button");
    await owner.keyboard.press("Space");
    await owner.waitForURL(/done=activate/);
    assert.equal(await it.status(it.tokens.live), 200);
    await owner.context().close();
  });

  await step("times are said in the reader's zone, and in UTC beside it", async () => {
    const owner = await it.signedIn(it.owner_token, { timezoneId: "Asia/Tokyo", locale: "en-GB" });
    await it.open(owner, "/governance/tokens?q=ci-deploy");
    const [words, title, exact] = await owner.locator("td[data-label=Expires] time").evaluate(
      (time) => [time.innerText, time.title, time.dateTime]);
    assert.match(words, /^in \d+ months$/);
    const there = new Date(exact).toLocaleString("en-GB", { timeZone: "Asia/Tokyo" });
    assert.equal(title, `${there} (${exact})`);
    assert.match(exact, /Z$/);
    await owner.context().close();
  });

  await step("a policy is looked at before it is saved, and in force after", async () => {
    await it.open(page, "/governance/settings");
    const policy = page.locator("section.policy").first();
    assert.match(await policy.locator("h2").innerText(), /Idle Token TTL\s+Off/);
    await policy.locator("input[name=active]").check();
    await policy.locator("input[type=range]").fill("8");
    assert.equal(await policy.locator("input[name=value]").inputValue(), "8");
    await policy.locator("button.main").click();
    await page.waitForSelector("#preview");
    const foreseen = Number((await text(page, ".numbers .bad dd")));
    assert.ok(foreseen > 0);
    const policies = await it.api("GET", "/policies");
    assert.equal(policies.idle_ttl.active, false, "a look saved it");
    await page.click("#preview button[value=save]");
    await page.waitForURL(/done=policy/);
    assert.match(await text(page, "[role=status]"), new RegExp(`\\b${foreseen} tokens? breaks? a policy`));
    await page.click("nav a:has-text('API tokens')");
    await page.click(".tabs a:has-text('Violations')");
    await page.waitForURL(/violation=any/);
    assert.equal(await page.locator("tbody tr").count(), foreseen);
    assert.match(await text(page, "td .alert"), /Idle too long \(Idle Token TTL: Not used for longer/);
  });

  await step("what was not looked at as it is now is not saved", async () => {
    await it.open(page, "/governance/settings");
    const policy = page.locator("section.policy").nth(1);
    await policy.locator("input[name=active]").check();
    await policy.locator("button.main").click();
    await page.waitForSelector("#preview");
    const days = (value) => ({ active: true, value, unit: "days" });
    await it.api("PUT", "/policies", { max_ttl: days(300) });
    await page.click("#preview button[value=save]");
    await page.waitForSelector("[role=alert]");
    assert.equal((await it.api("GET", "/policies")).max_ttl.value, 300);
  });

  await step("a run is asked for and its end is seen without a reload", async () => {
    // One that still waits would be joined.
    const finished = () => [...document.querySelectorAll("#runs tbody tr")]
      .every((row) => row.innerText.includes("Finished"));
    await it.open(page, "/governance/settings");
    await page.waitForFunction(finished);
    const before = await page.locator("#runs tbody tr").count();
    await page.click("#runs button:has-text('Run now')");
    await page.waitForURL(/done=validate/);
    await page.waitForFunction((before) => {
      const rows = [...document.querySelectorAll("#runs tbody tr")];
      return rows.length > before && rows.every((row) => row.innerText.includes("Finished"));
    }, before);
  });

  await step("overview, users, audit and settings follow, too, unless they are to hold still", async () => {
    const within = { timeout: 2_000 };
    const id = it.token_ids.live;
    const other = await it.signedIn(it.owner_token);
    const mia = (await it.api("GET", "/users?q=mia")).items[0];
    // Any of what a selector finds says all of these words.
    const says = (selector, ...words) => other.waitForFunction(
      ([selector, words]) => [...document.querySelectorAll(selector)].some(
        (part) => words.every((word) => part.innerText.includes(word))),
      [selector, words], within);
    const at = async (path, before, change, after) => {
      await it.open(other, path);
      await other.evaluate(() => { window.isSame = true; });
      await says(...before);
      await change();
      await says(...after);
      assert.ok(await other.evaluate(() => window.isSame), `${path} was loaded anew`);
    };
    const count = Number((await it.api("GET", "/tokens?status=deactivated&limit=200")).items.length);
    const bar = (number) => ["#by-state li", "Deactivated", String(number)];
    await at("/governance/overview", bar(count),
      () => it.api("POST", `/tokens/${id}/deactivate`, {}), bar(count + 1));
    const first = (word) => ["#events li:first-child", word];
    await at("/governance/audit", first("Token deactivated"),
      () => it.api("POST", `/tokens/${id}/activate`, {}), first("Token activated"));
    const is = (word) => [`#rows tr[data-row="${mia.id}"] .badge`, word];
    await at("/governance/users", is("Activated"),
      () => it.api("POST", `/users/${mia.id}/deactivate`, {}), is("Deactivated"));
    const policy = (word) => ["#policy-max_ttl .badge", word];
    const { idle_ttl, max_ttl } = await it.api("GET", "/policies");
    const off = { ...max_ttl, active: false };
    const put = (max_ttl) => it.api("PUT", "/policies", { idle_ttl: bare(idle_ttl), max_ttl: bare(max_ttl) });
    const bare = ({ active, value, unit }) => ({ active, value, unit });
    await it.open(other, "/governance/settings");
    const word = await text(other, "#policy-max_ttl .badge");
    await put(off);
    await says(...policy("Off"));
    await put(max_ttl);
    await says(...policy(word));

    // Who reads has the page hold still, on every page, until they want to go on.
    await it.open(other, "/governance/users");
    await other.click("button:has-text('Pause')");
    assert.match(await text(other, "[data-says]"), /Paused/);
    await it.api("POST", `/users/${mia.id}/activate`, {});
    await other.waitForTimeout(1_500);
    await says(...is("Deactivated"));
    await it.open(other, "/governance/audit");
    assert.match(await text(other, "[data-says]"), /Paused/);
    await it.open(other, "/governance/users");
    await it.api("POST", `/users/${mia.id}/deactivate`, {});
    await other.click("button:has-text('Go on')");
    await says(...is("Deactivated"));
    await it.api("POST", `/users/${mia.id}/activate`, {});
    await says(...is("Activated"));
    await other.context().close();
  });

  await step("what others change is seen without a reload, and what is selected stays", async () => {
    const within = { timeout: 2_000 };
    const id = it.token_ids.live;
    const list = await it.signedIn(it.owner_token);
    const one = await it.signedIn(it.owner_token);
    await it.open(list, "/governance/tokens?sort=name");
    await it.open(one, `/tokens/${id}`);
    for (const open of [list, one]) await open.evaluate(() => { window.isSame = true; });
    const row = `tr[data-row="${id}"]`;
    const seen = (badge) => Promise.all([
      list.waitForSelector(`${row} .badge.${badge}`, within),
      one.waitForSelector(`#state .badge.${badge}`, within),
    ]);
    await it.api("POST", `/tokens/${id}/deactivate`, { reason: "by somebody else" });
    await seen("deactivated");
    assert.match(await text(one, "#facts"), /by somebody else/);
    await one.waitForSelector("#doings form[action$='/activate']", within);
    // A box that is ticked and a reason that is half typed stay as they are.
    const other = list.locator(`tr[data-row]:not([data-row="${id}"]) input[name=id]`).first();
    await other.check();
    await one.fill("#doings input[name=reason]", "half of a sen");
    await it.api("POST", `/tokens/${id}/activate`, {});
    await seen("activated");
    assert.ok(await other.isChecked());
    assert.match(await text(list, "[data-told]"), /1 selected/);
    assert.equal(await one.inputValue("#doings input[name=reason]"), "half of a sen");
    await one.fill("#doings input[name=reason]", "");
    await one.locator("#doings input[name=reason]").first().blur();
    await one.waitForSelector("#doings form[action$='/deactivate']", within);
    for (const open of [list, one]) {
      assert.ok(await open.evaluate(() => window.isSame), "it was loaded anew");
      await open.context().close();
    }
  });

  await step("a user is added, changed and deactivated", async () => {
    await it.open(page, "/governance/users");
    await page.click("summary:has-text('Add a user')");
    await page.fill("details input[name=name]", "Nora Nilsson");
    await page.fill("details input[name=email]", "nora@example.com");
    await page.check("details label:has-text('echo/caller') input");
    await page.click("details button.main");
    await page.waitForURL(/done=made/);
    await page.click("td.name a:has-text('Nora Nilsson')");
    await page.fill("input[name=name]", "Nora Nyberg");
    await page.click("button:text-is('Save')");
    await page.waitForURL(/done=changed/);
    assert.equal(await text(page, "h1"), "Nora Nyberg");
    assert.ok(await page.locator("label:has-text('echo/caller') input").isChecked());
    await page.click("button:text-is('Deactivate')");
    await page.waitForURL(/done=deactivated/);
    await page.click("summary:has-text('Remove')");
    await page.click("button:text-is('Remove')");
    await page.waitForURL(/done=removed/);
    assert.equal(await page.locator("text=Nora").count(), 0);
  });

  await step("the trail tells of all of it, and notices say who was told", async () => {
    await it.open(page, "/governance/audit?action=token.deactivated");
    assert.match(await text(page, ".trail li"), /Token deactivated \S+ by Olivia Ortega from 127\.0\.0\.1/);
    await it.open(page, "/governance/audit");
    assert.match(await text(page, ".trail"), /User removed Nora Nyberg/);
    await it.open(page, `/governance/notices?token=${it.token_ids.live}`);
    assert.match(await text(page, "tbody"), /Token (de|re)activated/);
  });

  await step("a webhook is made, its secret is shown once, and it goes", async () => {
    await it.open(page, "/governance/webhooks");
    await page.fill("input[name=url]", "http://127.0.0.1:1/hook");
    await page.click("details button.main");
    assert.match(await text(page, "[role=alert]"), /url/);
    assert.equal(await page.inputValue("input[name=url]"), "http://127.0.0.1:1/hook");
    await page.fill("input[name=url]", "https://example.com/hook");
    await page.click("details button.main");
    assert.match(await text(page, "#secret"), /^whs_/);
    await it.open(page, "/governance/webhooks");
    assert.equal(await page.locator("#secret").count(), 0);
    await page.click("button:text-is('Deactivate')");
    await page.waitForURL(/done=deactivated/);
    await page.click("button:text-is('Remove')");
    await page.waitForURL(/done=removed/);
  });

  await step("a form of another site changes nothing", async () => {
    const path = `${it.admin}/tokens/${it.token_ids.live}/deactivate`;
    const evil = createServer((_, answer) => {
      answer.setHeader("content-type", "text/html");
      answer.end(`<form method=post action="${path}"><button>Win</button></form>`);
    });
    await new Promise((ready) => evil.listen(0, "127.0.0.1", ready));
    const origin = `http://127.0.0.1:${evil.address().port}`;
    // The same host at another port: to a browser it is the same site, so the cookie goes along.
    await page.goto(origin);
    const [request] = await Promise.all([page.waitForRequest(path), page.click("button")]);
    const sent = await request.allHeaders();
    assert.match(sent.cookie, /bearward_session=/);
    assert.equal((await request.response()).status(), 403);
    assert.equal(await it.status(it.tokens.live), 200);
    evil.closeAllConnections();
    evil.close();
    it.strange.splice(0, it.strange.length, ...it.strange.filter((url) => !url.startsWith(origin)));
  });

  await step("a form without the proof of its session changes nothing", async () => {
    await it.open(page, `/tokens/${it.token_ids.live}`);
    await page.$$eval("input[name=proof]", (all) => all.forEach((proof) => { proof.value = "0"; }));
    await page.click("form[action$='/deactivate'] button");
    assert.match(await text(page, "[role=alert]"), /not of this session/);
    assert.equal(await it.status(it.tokens.live), 200);
  });

  await step("colours are chosen and stay", async () => {
    await it.open(page, "/governance/users");
    await page.click("button[value=dark]");
    await page.waitForURL(/governance\/users/);
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
    await it.open(page, "/account/tokens");
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  });

  await step("governance is switched off and on", async () => {
    await it.open(page, "/governance/settings");
    await page.click("button:has-text('Deactivate governance')");
    await page.waitForURL(/done=deactivated/);
    await it.open(page, "/governance/tokens");
    assert.match(await text(page, "[role=alert]"), /governance/i);
    await it.open(page, "/governance/settings");
    await page.click("button:has-text('Activate governance')");
    await page.waitForURL(/done=activated/);
  });

  await step("signing out everywhere is everywhere", async () => {
    const elsewhere = await it.signedIn(it.owner_token);
    await page.click("button:has-text('Everywhere')");
    await page.waitForURL(/sign-in/);
    await it.open(elsewhere, "/governance/tokens");
    assert.match(elsewhere.url(), /\/sign-in\?next=%2Fgovernance%2Ftokens/);
    await it.open(page, "/governance/tokens");
    await page.fill("input[name=token]", it.owner_token);
    await page.click("button.main");
    // Back to where they wanted to go.
    await page.waitForURL(/\/governance\/tokens$/);
    await page.click("button:text-is('Sign out')");
    await page.waitForURL(/sign-in/);
  });
});
