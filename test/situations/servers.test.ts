/** The local servers and requests that their pages never send. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { serve } from "../../src/cli/browser/serve.js";
import { isPublicAddress, type LocalServer } from "../../src/playground/local_server.js";
import { startPlayground } from "../../src/playground/server.js";
import { start } from "../cli/wattgrad.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const size = 3_000_000;
let directory = "";
const servers: Record<string, LocalServer> = {};

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-servers-"));
  const site = join(directory, "site");
  mkdirSync(join(site, "folder"), { recursive: true });
  writeFileSync(join(site, "index.html"), "<title>site</title>");
  writeFileSync(join(site, ".secret"), "secret");
  writeFileSync(join(directory, "outside.js"), "outside");
  writeFileSync(join(site, "large.bin"), new Uint8Array(size));
  symlinkSync("gone", join(site, "dangling.js"));
  servers.site = await serve(site);
  servers.playground = await startPlayground({ root, port: 0, host: "127.0.0.1" });
});
afterAll(async () => {
  for (const server of Object.values(servers)) await server.close();
  rmSync(directory, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

/** A request for exactly this path: `fetch` would tidy it up. */
function ask(
  server: LocalServer,
  path: string,
  options: { method?: string; headers?: Record<string, string> } = {},
) {
  const { hostname, port } = new URL(server.url);
  return new Promise<Answer>((resolve, reject) => {
    request({ hostname, port, path, ...options }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      );
      response.on("error", reject);
    })
      .on("error", reject)
      .end();
  });
}

/** What comes back for these bytes. */
function sendRaw(server: LocalServer, bytes: string): Promise<string> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.end(bytes));
    let answer = "";
    socket.on("data", (part) => {
      answer += part;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });
}

describe.each(["site", "playground"])("%s", (name) => {
  test.each([
    "/%zz",
    "/%",
    "/%00",
    "//",
    "//etc/passwd",
    "/../outside.js",
    "/..%2foutside.js",
    "/%2e%2e/outside.js",
    "/folder/../../outside.js",
    "/folder",
    "/folder/",
    "/.secret",
    "/dangling.js",
    "/constructor",
    "/__proto__",
    `/${"a".repeat(5000)}`,
    "/large.bin/x",
  ])("%s is not there, and the server goes on", async (path) => {
    expect((await ask(servers[name], path)).status).toBe(404);
    expect((await ask(servers[name], "/")).status).toBe(200);
  });

  test("bytes that are no request, and headers without end", async () => {
    const many = "X: ".concat("y".repeat(100_000), "\r\n");
    for (const bytes of [
      "\0\0\0",
      "GET\r\n\r\n",
      "GET / HTTP/9\r\n\r\n",
      `GET / HTTP/1.1\r\n${many}\r\n`,
      "",
    ]) {
      expect(await sendRaw(servers[name], bytes)).not.toContain(" 200 ");
    }
    expect((await ask(servers[name], "/")).status).toBe(200);
  });

  test.each(["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])("%s is refused", async (method) => {
    const { status, headers } = await ask(servers[name], "/", { method });
    expect(status).toBe(405);
    expect(headers.allow).toBe("GET, HEAD");
  });

  test("HEAD has no body", async () => {
    const { status, body } = await ask(servers[name], "/", { method: "HEAD" });
    expect([status, body.length]).toEqual([200, 0]);
  });

  test("other names than this machine's are refused (DNS rebinding)", async () => {
    const status = async (host: string) => (await ask(servers[name], "/", { headers: { host } })).status;
    for (const host of [
      "evil.example",
      "evil.example:80",
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      "x@y",
      "a b",
    ]) {
      expect(await status(host), host).toBe(403);
    }
    for (const host of [
      "localhost",
      "LOCALHOST:1",
      "app.localhost:80",
      "127.0.0.1",
      "[::1]:80",
      "192.168.1.7:80",
    ]) {
      expect(await status(host), host).toBe(200);
    }
    expect(await sendRaw(servers[name], "GET / HTTP/1.0\r\n\r\n")).toContain(" 403 ");
  });

  test("every answer forbids frames and guesses of types", async () => {
    for (const path of ["/", "/nothing"]) {
      const { headers } = await ask(servers[name], path);
      expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    }
  });
});

test.each<[string, number, number]>([
  ["bytes=0-9", 206, 10],
  ["bytes=10-", 206, size - 10],
  [`bytes=${size}-`, 416, 0],
  ["bytes=5-2", 200, size],
  ["bytes=-5", 200, size],
  ["bytes=x-y", 200, size],
  ["bytes=0-1,5-6", 200, size],
  ["lines=1-2", 200, size],
  ["bytes=99999999999999999999-", 200, size],
])("Range: %s", async (range, status, length) => {
  const answer = await ask(servers.site, "/large.bin", { headers: { range } });
  expect([answer.status, answer.body.length]).toEqual([status, length]);
});

test.runIf(process.platform === "linux")("a download that is given up closes its file", async () => {
  const descriptors = () => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  const { hostname, port } = new URL(servers.site.url);
  for (let i = 0; i < 40; i++) {
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(`GET /large.bin HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
        socket.once("data", () => socket.destroy());
        socket.once("close", () => resolve());
      });
    });
  }
  await vi.waitFor(() => expect(descriptors()).toBeLessThan(before + 5), { timeout: 10_000 });
});

test("a public address is warned of", async () => {
  expect(["127.0.0.1", "127.9.9.9", "::1", "localhost"].some(isPublicAddress)).toBe(false);
  expect(["0.0.0.0", "::", "192.168.0.2", "example.org", "127.0.0.1.nip.io"].every(isPublicAddress)).toBe(
    true,
  );
  const { child, ended } = start(["playground", "--port", "0", "--host", "0.0.0.0"], root);
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  child.kill("SIGINT");
  expect((await ended).stderr).toContain("0.0.0.0 is no address of this machine alone");
});
