/** Output paths that are links, device nodes or pipes, or have modes: they are preserved. */
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FileError, writeFileAtomic } from "../../src/formats/index.js";
import { program, run } from "../cli/wattgrad.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-files-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A new empty directory. */
function place(name: string): string {
  const path = join(directory, name);
  mkdirSync(path);
  return path;
}

const text = (value: string) => new TextEncoder().encode(value);
const posix = process.platform !== "win32";

describe.runIf(posix)("writeFileAtomic", () => {
  test.each([
    ["a relative link", "real.bin"],
    ["a link to a link", "second"],
    ["a link through a directory that is one", "there/../real.bin"],
  ])("%s stays a link", async (name, link) => {
    const here = place(name);
    mkdirSync(join(here, "a", "b"), { recursive: true });
    const real = link.startsWith("there") ? join(here, "a", "real.bin") : join(here, "real.bin");
    symlinkSync("a/b", join(here, "there"));
    symlinkSync("real.bin", join(here, "second"));
    symlinkSync(link, join(here, "link"));
    for (const content of ["first", "second"]) {
      await writeFileAtomic(join(here, "link"), text(content));
      expect(readFileSync(real, "utf8")).toBe(content);
      expect(readlinkSync(join(here, "link"))).toBe(link);
      expect(lstatSync(real).isFile()).toBe(true);
    }
  });

  test("links in a circle are an error", async () => {
    const here = place("circle");
    symlinkSync("b", join(here, "a"));
    symlinkSync("a", join(here, "b"));
    await expect(writeFileAtomic(join(here, "a"), text("x"))).rejects.toThrow(FileError);
    expect(readdirSync(here)).toEqual(["a", "b"]);
  });

  test.each([0o600, 0o644, 0o755, 0o664])("mode %o stays", async (mode) => {
    const path = join(place(`mode-${mode}`), "file");
    writeFileSync(path, "old");
    chmodSync(path, mode);
    await writeFileAtomic(path, text("new"));
    expect(statSync(path).mode & 0o7777).toBe(mode);
    expect(readFileSync(path, "utf8")).toBe("new");
  });

  test.runIf(process.getuid?.() === 0)("the owner stays", async () => {
    const path = join(place("owner"), "file");
    writeFileSync(path, "old");
    execFileSync("chown", ["12345:23456", path]);
    await writeFileAtomic(path, text("new"));
    expect(statSync(path)).toMatchObject({ uid: 12345, gid: 23456 });
  });

  test("device nodes are written to", async () => {
    await writeFileAtomic("/dev/null", text("x"));
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
    const link = join(place("null"), "out");
    symlinkSync("/dev/null", link);
    await writeFileAtomic(link, text("x"));
    expect(readlinkSync(link)).toBe("/dev/null");
  });

  test.runIf(process.platform === "linux")("a full device is an error", async () => {
    await expect(writeFileAtomic("/dev/full", text("x"))).rejects.toThrow(/disk is full, ENOSPC$/);
  });

  test("a FIFO is written to, all of it", async () => {
    const fifo = join(place("fifo"), "pipe");
    execFileSync("mkfifo", [fifo]);
    const reader = spawn("cat", [fifo]);
    const parts: Buffer[] = [];
    reader.stdout.on("data", (part) => parts.push(part));
    const ended = new Promise((resolve) => reader.on("close", resolve));
    await writeFileAtomic(fifo, new Uint8Array(300_000).fill(7));
    await ended;
    expect(Buffer.concat(parts)).toEqual(Buffer.alloc(300_000, 7));
    expect(statSync(fifo).isFIFO()).toBe(true);
  });
});

describe.runIf(process.platform === "linux")("outputs of the command line", () => {
  const shell = (command: string, cwd: string) =>
    execFileSync("bash", ["-c", command], { cwd, encoding: "utf8", env: { ...process.env, W: program } });
  const plan = 'node "$W" plan --params 1e9 --tokens 1e9';

  test("/dev/stdout is stdout: a pipe, and a file that holds more already", () => {
    const here = place("stdout");
    const { training } = JSON.parse(shell(`${plan} --json -`, here));
    expect(training).toBeDefined();
    const piped = shell(`${plan} --json /dev/stdout | cat`, here);
    expect(JSON.parse(piped.slice(piped.indexOf("\n{")))).toMatchObject({ training });
    shell(`(echo before; ${plan} --json /dev/stdout; echo after) > out.txt`, here);
    const written = readFileSync(join(here, "out.txt"), "utf8");
    expect(written).toBe(`before\n${piped}after\n`);
    expect(readdirSync(here)).toEqual(["out.txt"]);
  });

  test("a descriptor of the shell", () => {
    const here = place("descriptor");
    shell(`${plan} --json /dev/fd/3 3> three.json > table.txt`, here);
    expect(JSON.parse(readFileSync(join(here, "three.json"), "utf8"))).toHaveProperty("training");
  });

  test("a directory is made when there is something to write into it, not before", async () => {
    const here = place("late");
    const made = await run(["plan", "--params", "1e9", "--json", "a/b/plan.json"], here);
    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(readdirSync(join(here, "a", "b"))).toEqual(["plan.json"]);
    const refused = await run(["train", "--data", "nowhere", "--out", "c/d.bin", "--checkpoint", "e"], here);
    expect(refused.code).toBe(1);
    expect(readdirSync(here)).toEqual(["a"]);
  });

  test("JSON over an input is refused, by whatever name", async () => {
    const here = place("inputs");
    const file = join(here, "config.json");
    writeFileSync(file, "{}");
    symlinkSync("config.json", join(here, "link.json"));
    const outcome = await run(["plan", "--config", "config.json", "--json", "link.json"], here);
    expect(outcome).toMatchObject({ code: 2, stderr: expect.stringContaining("would overwrite the config") });
    expect(readFileSync(file, "utf8")).toBe("{}");
  });
});
