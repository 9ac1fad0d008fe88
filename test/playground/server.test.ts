/** The playground's server: the files it serves, access control, and shutdown. */
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Playground, startPlayground } from "../../src/playground/server.js";
import { run, start } from "../cli/wattgrad.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const host = "127.0.0.1";

let playground: Playground;
beforeAll(async () => {
  playground = await startPlayground({ root, port: 0, host });
});
afterAll(() => playground.close());

/** The status of a request for exactly this path: `fetch` would tidy it up. */
function statusOf(path: string, method = "GET"): Promise<number> {
  const { port } = new URL(playground.url);
  return new Promise((resolve, reject) => {
    request({ host, port, path, method }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end();
  });
}

describe("files", () => {
  test.each([
    ["", "text/html"],
    ["page.js", "text/javascript"],
    ["page.css", "text/css"],
    ["worker.js?again", "text/javascript"],
    ["simd.wasm", "application/wasm"],
    ["relaxed.wasm", "application/wasm"],
    ["licenses.txt", "text/plain"],
    ["mnist/test2k-images-idx3-ubyte.gz", "application/octet-stream"],
  ])("/%s is there, isolated from other origins", async (path, type) => {
    const response = await fetch(playground.url + path);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toContain(type);
    expect(response.headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(response.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
    expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(500);
  });

  test("bytes arrive unchanged", async () => {
    const response = await fetch(`${playground.url}simd.wasm`);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(readFileSync(`${root}/dist/simd.wasm`));
  });

  test.each([
    "/../../package.json",
    "/..%2f..%2fpackage.json",
    "/mnist/../package.json",
    "/mnist/README.md",
    "/mnist/",
    "/cli.js",
    "/index.js",
    "//etc/passwd",
    "/__proto__",
  ])("%s is not", async (path) => {
    expect(await statusOf(path)).toBe(404);
  });

  test("nothing can be sent", async () => {
    expect(await statusOf("/", "POST")).toBe(405);
    expect(await statusOf("/", "HEAD")).toBe(200);
  });
});

describe("wattgrad playground", () => {
  test("says where it is; Ctrl-C closes it, open connections included", async () => {
    const { child, ended } = start(["playground", "--port", "0"], root);
    const line = await new Promise<string>((resolve) => child.stdout?.once("data", resolve));
    const [url] = /http:\/\/127\.0\.0\.1:\d+\//.exec(line) ?? [];
    // A connection that is kept alive.
    expect((await fetch(`${url}`)).status).toBe(200);
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: 0, stderr: "" });
  });

  test("a port in use is one line", async () => {
    const server = createServer().listen(0, host);
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    const { code, stderr, stdout } = await run(["playground", "--port", String(port)], root);
    server.close();
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toBe(
      `wattgrad: port ${port} is in use; choose another with --port, or 0 for any that is free\n`,
    );
  });

  test.each(["-1", "65536", "1.5", "x", ""])("port %j is a usage error", async (port) => {
    const { code, stderr } = await run(["playground", `--port=${port}`], root);
    expect(code).toBe(2);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });

  test("an address that is not this machine's is one line", async () => {
    const { code, stderr } = await run(["playground", "--port", "0", "--host", "192.0.2.1"], root);
    expect(code).toBe(1);
    expect(stderr).toBe("wattgrad: 192.0.2.1 is not an address of this machine\n");
  });
});
