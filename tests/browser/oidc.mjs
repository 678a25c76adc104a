// Sign-in at an identity provider: a real one (oidc-provider) with its own pages for that.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ended, look, step, tools, world } from "./world.mjs";

const { default: Provider } = await import(pathToFileURL(tools.resolve("oidc-provider")));
const algorithms = ["RS256", "PS256", "ES256", "EdDSA"];
const secret = "a secret of the client, and more than 32 bytes of it";
const callback = "/sign-in/oidc/callback";

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** People sign in there by any name, with any password; what it says of them is in `people`. */
async function startProvider(redirectUri, people) {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const key = (...how) => generateKeyPairSync(...how).privateKey.export({ format: "jwk" });
  const keys = [
    { ...key("rsa", { modulusLength: 2048 }), kid: "rsa", use: "sig" },
    { ...key("ec", { namedCurve: "P-256" }), kid: "ec", use: "sig" },
    { ...key("ed25519"), kid: "ed", use: "sig" },
  ];
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: algorithms.map((algorithm) => ({
      client_id: `bearward ${algorithm}`,
      client_secret: secret,
      redirect_uris: [redirectUri],
      id_token_signed_response_alg: algorithm,
    })),
    enabledJWA: { idTokenSigningAlgValues: algorithms },
    pkce: { required: () => true },
    conformIdTokenClaims: false,
    claims: { email: ["email", "email_verified"], profile: ["name", "groups"] },
    cookies: { keys: ["for this test"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  });
  const server = await new Promise((up) => {
    const server = provider.listen(port, "127.0.0.1", () => up(server));
  });
  return { issuer, server };
}

const people = {
  sub_owner: { email: "the.owner@example.com", email_verified: true, name: "The Owner" },
  sub_member: { email: "mem@example.com", email_verified: true, name: "Mem" },
  stranger: { email: "stranger@example.com", email_verified: true, name: "Stranger" },
  sub_new: { email: "new@example.com", email_verified: true, name: "New", groups: ["staff"] },
};

async function start() {
  const home = mkdtempSync(join(tmpdir(), "bearward-oidc-"));
  const [gateway, admin] = [await freePort(), await freePort()];
  // Another site than the provider's, which is at 127.0.0.1.
  const origin = `http://localhost:${admin}`;
  const { issuer, server } = await startProvider(origin + callback, people);
  const file = join(home, "bearward.toml");
  const it = { home, admin: origin, gateway: `http://127.0.0.1:${gateway}`, provider: issuer };
  it.configure = (algorithm, more = "") => writeFileSync(file, `
gateway.listen = "127.0.0.1:${gateway}"
admin.listen = "127.0.0.1:${admin}"
store.path = "${join(home, "bearward.redb")}"
services.orders.roles = ["reader"]
upstreams.main.addresses = ["127.0.0.1:9"]
routes = [{ name = "orders", path = "/orders", upstream = "main", require = { service = "orders", organizations = "any", any_of = ["orders/reader"] } }]
[oidc]
name = "Example Login"
issuer = "${issuer}"
client_id = "bearward ${algorithm}"
client_secret = { env = "OIDC_SECRET" }
public_url = "${origin}"
organization = "${it.org ?? "org_01jgfjjy2g3q8n5r7s9t1v3w5x"}"
${more}
`);
  const env = { ...process.env, OIDC_SECRET: secret };
  it.serve = async () => {
    it.child = spawn(process.env.BEARWARD, ["serve", "--config", file],
      { env, stdio: ["ignore", "ignore", "inherit"] });
    for (let tries = 0; tries < 200; tries += 1) {
      const ready = await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => null);
      if (ready?.ok) return;
      await new Promise((later) => setTimeout(later, 50));
    }
    throw new Error("the gateway is not ready");
  };
  it.restart = async (algorithm, more) => {
    await ended(it.child);
    it.configure(algorithm, more);
    await it.serve();
  };
  it.configure("RS256");
  const made = execFileSync(process.env.BEARWARD, ["init", "--config", file, "--json"], { env });
  const { org, user, token } = JSON.parse(made);
  Object.assign(it, { org, owner: user, owner_token: token });
  it.configure("RS256");
  await it.serve();
  it.after = async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
    rmSync(home, { recursive: true });
  };
  return it;
}

/** Signs in at the provider, by its own pages. */
async function atTheProvider(page, name) {
  await page.waitForURL(/127\.0\.0\.1/);
  await page.fill("input[name=login]", name);
  await page.fill("input[name=password]", "any");
  await page.click("button[type=submit]");
  await page.waitForSelector("button:has-text('Continue')");
  await page.click("button:has-text('Continue')");
}

await world(async (it) => {
  const comes = async (name, path = "/", options = {}) => {
    const page = await it.visitor(options);
    await it.open(page, path);
    await page.click("#provider");
    await atTheProvider(page, name);
    return page;
  };
  const arrives = (page, path) => page.waitForURL((url) => url.origin === it.admin && url.pathname === path);
  const alert = (page) => page.locator("[role=alert]").innerText();
  const cookies = async (page) =>
    Object.fromEntries((await page.context().cookies(it.admin)).map((one) => [one.name, one]));

  await step("users are known by what the provider calls them", async () => {
    await it.api("PATCH", `/users/${it.owner}`, { name: "The Owner" });
    const scim = async (method, path, body) => {
      const answer = await fetch(`${it.admin}/scim/v2${path}`, {
        method, body: JSON.stringify(body), headers: {
          authorization: `Bearer ${it.owner_token}`, "content-type": "application/scim+json" },
      });
      assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
      return answer.json();
    };
    await scim("PATCH", `/Users/${it.owner}`, {
      schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
      Operations: [{ op: "replace", path: "externalId", value: "sub_owner" }],
    });
    const { id } = await it.api("POST", "/users",
      { email: "mem@example.com", name: "Mem", org_roles: ["org_member"] });
    await scim("PATCH", `/Users/${id}`, {
      schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
      Operations: [{ op: "replace", path: "externalId", value: "sub_member" }],
    });
    it.member = id;
  });

  let owner;
  await step("an owner signs in and lands where they wanted to", async () => {
    const page = await it.visitor();
    await it.open(page, "/governance/users");
    assert.match(page.url(), /sign-in\?next=/);
    await look(page, "sign-in-provider");
    await page.context().close();
    owner = await comes("sub_owner", "/governance/users");
    await arrives(owner, "/governance/users");
    const found = await cookies(owner);
    assert.equal(found.bearward_session.sameSite, "Strict");
    assert.ok(found.bearward_session.httpOnly);
    assert.equal(found.bearward_sign_in, undefined, "what bound the sign-in is gone");
    await it.open(owner, "/governance/overview");
    assert.equal(new URL(owner.url()).pathname, "/governance/overview");
  });

  let member;
  for (const javaScriptEnabled of [false, true]) {
    await step(`a user signs in, scripts ${javaScriptEnabled}`, async () => {
      member = await comes("sub_member", "/", { javaScriptEnabled });
      await arrives(member, "/account/tokens");
      const answer = await it.open(member, "/governance/overview");
      assert.equal(answer.status(), 403);
    });
  }

  await step("a user makes a token, with their own roles", async () => {
    await it.open(member, "/account/tokens");
    // It is open, as they have none yet.
    const roles = await member.locator("#make input[name=role]").evaluateAll((all) => all.map((one) => one.value));
    assert.deepEqual(roles, ["org_member"]);
    await member.fill("#make input[name=name]", "of a session");
    await member.check("#make input[name=role]");
    await member.click("#make button.main");
    const secret = await member.locator("#secret").innerText();
    const me = await fetch(`${it.admin}/api/v1/me`, { headers: { authorization: `Bearer ${secret}` } });
    assert.equal((await me.json()).user.id, it.member);
  });

  await step("an address is good once, and in its own browser", async () => {
    const page = await it.visitor();
    // Redirects are not stopped but by the debugger.
    const debug = await page.context().newCDPSession(page);
    const caught = new Promise((found) => debug.on("Fetch.requestPaused", ({ requestId, request }) => {
      debug.send("Fetch.failRequest", { requestId, errorReason: "Aborted" });
      found(request.url);
    }));
    await debug.send("Fetch.enable", { patterns: [{ urlPattern: `*${callback}*` }] });
    await it.open(page, "/sign-in");
    await page.click("#provider");
    await atTheProvider(page, "sub_member").catch(() => null);
    const late = new Promise((_, fail) => setTimeout(fail, 10_000, new Error("nobody came back")).unref());
    const back = await Promise.race([caught, late]);
    await debug.send("Fetch.disable");
    const thief = await it.visitor();
    assert.equal((await thief.goto(back)).status(), 401);
    assert.match(await alert(thief), /another browser/);
    const wrong = await page.goto(back.replace(/state=[^&]+/, "state=another"));
    assert.equal(wrong.status(), 401);
    await page.goto(back);
    await arrives(page, "/account/tokens");
    assert.equal((await page.goto(back)).status(), 401, "it is good twice");
    // A code that was used, in a sign-in of its own: the provider refuses it.
    await it.open(thief, "/sign-in");
    const asked = thief.waitForRequest(`${it.provider}/auth?*`);
    await thief.click("#provider");
    const state = new URL((await asked).url()).searchParams.get("state");
    const used = await thief.goto(back.replace(/state=[^&]+/, `state=${state}`));
    assert.equal(used.status(), 401);
    assert.match(await alert(thief), /proves nothing/);
    await thief.context().close();
  });

  await step("who is no user here is told so, and who changes their mind, too", async () => {
    const page = await comes("stranger");
    assert.match(await alert(page), /Example Login knows you, but you are no user here/);
    assert.equal((await cookies(page)).bearward_session, undefined);
    const other = await it.visitor();
    await it.open(other, "/sign-in");
    await other.click("#provider");
    await other.waitForURL(/127\.0\.0\.1/);
    await other.click("a:has-text('Cancel')");
    assert.match(await alert(other), /did not let you in/);
    const { items } = await it.api("GET", "/audit?action=user.signed_in");
    assert.ok(items.length >= 4 && items.every((event) => event.actor.type === "session"));
  });

  await step("a session is over with its user", async () => {
    await it.api("POST", `/users/${it.member}/deactivate`, { reason: "left" });
    await it.api("POST", `/users/${it.member}/activate`, {});
    await it.open(member, "/account/tokens");
    assert.match(member.url(), /\/sign-in/, "it came back to life with them");
    await it.api("POST", `/users/${it.member}/deactivate`, { reason: "left" });
    const page = await comes("sub_member");
    assert.match(await alert(page), /switched off/);
  });

  await step("out is out, in every browser", async () => {
    const second = await comes("sub_owner");
    await arrives(second, "/governance/overview");
    await second.click("button:text-is('Everywhere')");
    await second.waitForURL(/\/sign-in/);
    await it.open(owner, "/governance/overview");
    assert.match(owner.url(), /\/sign-in/);
  });

  for (const algorithm of algorithms.slice(1)) {
    await step(`a token that is signed with ${algorithm} is a proof`, async () => {
      await it.restart(algorithm, `
user_claim = "email"
create_users = true
roles_claim = "groups"
roles = { staff = ["org_member", "orders/reader"] }
`);
      const page = await comes("sub_new");
      await arrives(page, "/account/tokens");
      await page.context().close();
    });
  }
  await step("somebody new has become one user, with the roles of the map", async () => {
    const { items } = await it.api("GET", "/users?q=new@example.com");
    assert.equal(items.length, 1);
    assert.deepEqual(items[0].org_roles, ["org_member"]);
    assert.deepEqual(items[0].service_roles, [{ service: "orders", role: "reader" }]);
  });
}, start);
