/** Meters that hang or leave processes behind: the processes they started are ended. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openCommand } from "../../src/energy/command.js";
import { PowerStream } from "../../src/energy/power_stream.js";
import { EnergyError } from "../../src/energy/source.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-groups-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function isAlive(file: string): boolean {
  try {
    const pid = Number(readFileSync(join(directory, file), "utf8"));
    process.kill(pid, 0);
    // One that has ended may keep its number until somebody asks for its exit code.
    return process.platform !== "linux" || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

describe.runIf(process.platform !== "win32")("a command", () => {
  test("that hangs is an error, and ends with its children", async () => {
    const command = `sleep 300 & echo $! > ${directory}/hang; sleep 300`;
    const error = await openCommand(command, 500).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(EnergyError);
    expect((error as Error).message).toContain("did not answer within 0.5 s");
    await vi.waitFor(() => expect(isAlive("hang")).toBe(false));
  });

  test("that leaves a child behind, which holds its pipes, is not waited for", async () => {
    const source = await openCommand(`sleep 300 & echo $! > ${directory}/left; echo 7`, 10_000);
    expect(await source.read()).toBe(7);
    await vi.waitFor(() => expect(isAlive("left")).toBe(false));
  });

  test("that prints without end is bounded", async () => {
    await expect(openCommand("yes 5", 500)).rejects.toThrow(EnergyError);
    const source = await openCommand("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo 3");
    expect(await source.read()).toBe(3);
  });

  test("a stream of powers ends with its children", async () => {
    const stream = new PowerStream(
      "sh",
      ["-c", `sleep 300 & echo $! > ${directory}/stream; sleep 300`],
      () => undefined,
    );
    await vi.waitFor(() => expect(isAlive("stream")).toBe(true));
    stream.close();
    await vi.waitFor(() => expect(isAlive("stream")).toBe(false));
  });
});
