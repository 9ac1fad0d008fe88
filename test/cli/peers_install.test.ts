/** The installation of the libraries of wattgrad bench --peers, with a stub for npm: once, atomically, and its messages. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { installPeers, PeersNotInstalledError } from "../../src/cli/bench/peers/install.js";
import { run } from "./wattgrad.js";

const packages = ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm", "onnxruntime-web", "@jax-js/jax"];

let root = "";
let env: Record<string, string> = {};

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "wattgrad-peers-"));
  await mkdir(join(root, "bin"));
  env = { PATH: `${join(root, "bin")}:/usr/bin:/bin`, XDG_CACHE_HOME: join(root, "cache") };
});

afterEach(() => rm(root, { recursive: true }));

/** A script that is found as npm; what it was called with is in calls.txt. */
async function fakeNpm(body: string): Promise<void> {
  const path = join(root, "bin", "npm");
  await writeFile(path, `#!/bin/sh\necho "$@" >> ${join(root, "calls.txt")}\n${body}\n`);
  await chmod(path, 0o755);
}

function installing(names: readonly string[]): string {
  return names
    .map(
      (name) =>
        `mkdir -p node_modules/${name}; echo '{"version":"9.8.7"}' > node_modules/${name}/package.json`,
    )
    .join("\n");
}

const cached = () => readdir(join(root, "cache", "wattgrad"));
const message = (env_: typeof env) =>
  installPeers({ env: env_ }).then(
    () => "installed",
    (error) => {
      expect(error).toBeInstanceOf(PeersNotInstalledError);
      return String(error.message);
    },
  );

describe.skipIf(process.platform === "win32")("npm", () => {
  test("is called once, for exact versions, and its folder is used again", async () => {
    await fakeNpm(installing(packages));
    const lines: string[] = [];
    const first = await installPeers({ env, onProgress: (line) => lines.push(line) });
    expect(first.versions).toEqual({ tfjs: "9.8.7", "onnxruntime-web": "9.8.7", "jax-js": "9.8.7" });
    expect(lines.join("\n")).toMatch(/installing tfjs \d.*\n.*once: npm fetches/);
    const { dependencies } = JSON.parse(await readFile(join(first.directory, "package.json"), "utf8"));
    const comparisons = fileURLToPath(new URL("../peers/package.json", import.meta.url));
    expect(dependencies).toEqual(JSON.parse(await readFile(comparisons, "utf8")).dependencies);
    for (const version of Object.values(dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    await fakeNpm("exit 1");
    expect(await installPeers({ env })).toEqual(first);
    const calls = (await readFile(join(root, "calls.txt"), "utf8")).trim().split("\n");
    expect(calls).toEqual([expect.stringMatching(/^install --ignore-scripts /)]);
    expect(await cached()).toEqual([expect.stringMatching(/^peers-[0-9a-f]{12}$/)]);
  });

  test("without a network: one line with its reason and the way out, and nothing is left", async () => {
    await fakeNpm("echo 'npm error code ENOTFOUND' >&2; echo 'npm error network down' >&2; exit 1");
    const said = await message(env);
    expect(said).toMatch(/npm could not install the libraries \(code ENOTFOUND, network down\)/);
    expect(said).toMatch(/set WATTGRAD_PEERS to a folder whose node_modules has @tensorflow\/tfjs@4/);
    expect(said).not.toContain("\n");
    expect(await cached()).toEqual([]);
  });

  test("that is not there is said", async () => {
    expect(await message({ ...env, PATH: join(root, "bin") })).toMatch(
      /npm cannot be started \(it does not exist, ENOENT\); connect to the network, or set WATTGRAD_PEERS/,
    );
  });

  test("that leaves a package out: the folder is not used, and the next install is a new one", async () => {
    await fakeNpm(installing(packages.slice(0, 3)));
    expect(await message(env)).toMatch(
      /npm ended without an error, but its node_modules has no @jax-js\/jax/,
    );
    expect(await cached()).toEqual([]);
    await fakeNpm(installing(packages));
    expect(await message(env)).toBe("installed");
  });

  test("what was interrupted is not used, and removed when it is old", async () => {
    const [old, young] = ["old", "young"].map((name) =>
      join(root, "cache", "wattgrad", `peers-unfinished-${name}`),
    );
    for (const path of [old, young]) await mkdir(path, { recursive: true });
    await utimes(old, 1e9, 1e9);
    await fakeNpm(installing(packages));
    expect(await message(env)).toBe("installed");
    expect((await cached()).sort()).toEqual([
      expect.stringMatching(/^peers-[0-9a-f]{12}$/),
      "peers-unfinished-young",
    ]);
  });
});

test("WATTGRAD_PEERS that names a folder without them: one line, and exit code 1", async () => {
  process.env.WATTGRAD_PEERS = root;
  try {
    const { code, stdout, stderr } = await run(["bench", "--peers", "--suite", "dispatch"], root);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /^wattgrad: --peers: WATTGRAD_PEERS names .*, but its node_modules has no [^\n]+\n$/,
    );
  } finally {
    delete process.env.WATTGRAD_PEERS;
  }
});

test("--threads without --peers is an error of usage", async () => {
  const { code, stderr } = await run(["bench", "--threads", "2"], root);
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: "wattgrad: --threads is for the libraries of --peers\n",
  });
});
