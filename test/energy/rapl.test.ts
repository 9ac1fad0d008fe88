/** RAPL over simulated counters: sums, wrap-around, missing permissions, disappearing counters. */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import { EnergyError, openMeter } from "../../src/energy/index.js";
import { openRapl } from "../../src/energy/rapl.js";
import { Sysfs } from "./sysfs.js";

const made: Sysfs[] = [];
function sysfs(): Sysfs {
  const sys = new Sysfs();
  made.push(sys);
  return sys;
}

afterEach(() => {
  for (const sys of made.splice(0)) sys.dispose();
  vi.restoreAllMocks();
});

describe("what is added up", () => {
  test("one package, whose sub-zones are parts of it", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 100);
    sys.zone("intel-rapl:0:0", "core", 60);
    sys.zone("intel-rapl:0:1", "dram", 30);
    const source = openRapl(sys.root);
    sys.count("intel-rapl:0", 112.5);
    sys.count("intel-rapl:0:0", 68);
    sys.count("intel-rapl:0:1", 35);
    expect(await source.read()).toBeCloseTo(12.5, 6);
    expect(source.method).toContain("package-0");
    expect(source.kind).toBe("measured");
  });

  test("two sockets; psys, which has them in it, is left out", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 1);
    sys.zone("intel-rapl:1", "package-1", 2);
    sys.zone("intel-rapl:2", "psys", 10);
    const source = openRapl(sys.root);
    sys.count("intel-rapl:0", 4);
    sys.count("intel-rapl:1", 7);
    sys.count("intel-rapl:2", 100);
    expect(await source.read()).toBeCloseTo(8, 6);
    expect(source.method).toMatch(/package-0, package-1$/);
  });

  test("a package that a second interface lists again", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 5);
    sys.zone("intel-rapl-mmio:0", "package-0", 5);
    const source = openRapl(sys.root);
    sys.count("intel-rapl:0", 6);
    sys.count("intel-rapl-mmio:0", 6);
    expect(await source.read()).toBeCloseTo(1, 6);
  });

  test("psys alone", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:1", "psys", 0);
    const source = openRapl(sys.root);
    sys.count("intel-rapl:1", 3);
    expect(await source.read()).toBeCloseTo(3, 6);
    expect(source.scope).toMatch(/^platform/);
  });
});

test("counters wrap around, each at its own range", async () => {
  const sys = sysfs();
  sys.zone("intel-rapl:0", "package-0", 262_140, 262_143.328);
  sys.zone("intel-rapl:1", "package-1", 64_000, 65_532.6);
  const source = openRapl(sys.root);
  sys.count("intel-rapl:0", 10);
  sys.count("intel-rapl:1", 65_000);
  expect(await source.read()).toBeCloseTo(13.328 + 1000, 5);
  sys.count("intel-rapl:1", 5);
  expect(await source.read()).toBeCloseTo(13.328 + 1000 + 537.6, 5);
  sys.count("intel-rapl:0", 20);
  expect(await source.read()).toBeCloseTo(23.328 + 1000 + 537.6, 5);
});

test("a wrap at an unknown value is an error, not a guess", async () => {
  const sys = sysfs();
  sys.zone("intel-rapl:0", "package-0", 100);
  sys.remove("powercap/intel-rapl:0/max_energy_range_uj");
  const source = openRapl(sys.root);
  sys.count("intel-rapl:0", 101);
  expect(await source.read()).toBeCloseTo(1, 6);
  sys.count("intel-rapl:0", 50);
  await expect(source.read()).rejects.toThrow(/wrapped at an unknown value/);
});

describe("what cannot be read", () => {
  test("counters for root only: the reason and the way out, and the next source is used", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 100);
    denyReading("energy_uj");
    expect(() => openRapl(sys.root)).toThrow(EnergyError);
    expect(() => openRapl(sys.root)).toThrow(/permission denied, EACCES .*sudo chmod a\+r .*energy_uj/);
    const meter = await openMeter({ sys: sys.root });
    expect(meter.name).toBe("cpu-time");
    expect(meter.rejected[0]).toMatchObject({ name: "rapl", reason: expect.stringContaining("sudo chmod") });
    const figure = await (await meter.begin()).read();
    expect(figure.reason).toContain("sudo chmod");
    meter.close();
  });

  test("one of two sockets: half of the energy is none", () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 1);
    sys.zone("intel-rapl:1", "package-1", 2);
    denyReading("intel-rapl:1/energy_uj");
    expect(() => openRapl(sys.root)).toThrow(/intel-rapl:1\/energy_uj: permission denied/);
  });

  test("no powercap, no zone, no number", () => {
    const sys = sysfs();
    expect(() => openRapl(sys.root)).toThrow(/no powercap here/);
    sys.zone("intel-rapl:0:0", "core", 1);
    expect(() => openRapl(sys.root)).toThrow(/no zone of a processor package/);
    sys.zone("intel-rapl:0", "package-0", 1);
    sys.write("powercap/intel-rapl:0/energy_uj", "n/a");
    expect(() => openRapl(sys.root)).toThrow(/holds no number: "n\/a"/);
  });
});

describe("in a meter", () => {
  test("an interval's joules, watts to take off, and several intervals at a time", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 1000);
    const meter = await openMeter({ sys: sys.root });
    expect([meter.name, meter.isCheap]).toEqual(["rapl", true]);
    const outer = await meter.begin();
    sys.count("intel-rapl:0", 1004);
    const inner = await meter.begin();
    sys.count("intel-rapl:0", 1010);
    expect(await inner.read()).toMatchObject({
      joules: expect.closeTo(6, 6),
      kind: "measured",
      idleSubtracted: false,
    });
    expect(await outer.read()).toMatchObject({ joules: expect.closeTo(10, 6) });
    meter.close();

    const without = await openMeter({ sys: sys.root, idleWatts: 20 });
    const window = await without.begin();
    await new Promise((resolve) => setTimeout(resolve, 50));
    sys.count("intel-rapl:0", 1110);
    const figure = await window.read();
    expect(figure.idleSubtracted).toBe(true);
    expect(figure.joules).toBeCloseTo(100 - 20 * figure.seconds, 6);
    without.close();
  });

  test("what is no more than idle is unknown by the meter: the model tells", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 1000);
    const meter = await openMeter({ sys: sys.root, idleWatts: 1e6 });
    const window = await meter.begin();
    sys.count("intel-rapl:0", 1001);
    busy(30);
    const figure = await window.read();
    expect(figure).toMatchObject({ kind: "assumed", reason: expect.stringMatching(/^rapl: .* W idle$/) });
    expect(figure.joules).toBeGreaterThan(0);
    meter.close();
  });

  test("a counter that does not move gives the model's figure, not 0", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 1000);
    const meter = await openMeter({ sys: sys.root, cpuWatts: 5 });
    const window = await meter.begin();
    busy(30);
    const figure = await window.read();
    expect(figure).toMatchObject({
      kind: "modelled",
      reason: expect.stringContaining("the counter did not move"),
    });
    expect(figure.joules).toBeGreaterThan(0);
    meter.close();
  });

  test("a counter that disappears half-way: the model, with what had been counted", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 1000);
    const meter = await openMeter({ sys: sys.root });
    const window = await meter.begin();
    busy(20);
    sys.count("intel-rapl:0", 1041);
    expect(await window.read()).toMatchObject({ joules: expect.closeTo(41, 6), kind: "measured" });
    sys.remove("powercap/intel-rapl:0");
    const figure = await window.read();
    expect(figure).toMatchObject({ kind: "assumed", scope: "processor cores, this process" });
    expect(figure.joules).toBeGreaterThan(0);
    expect(figure.reason).toMatch(
      /^rapl: cannot read .*ENOENT.*it had counted 41\.00 J in the first \d+\.\d s$/,
    );
    meter.close();
  });
});

/** Keeps a core busy for so many milliseconds. */
function busy(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

/** The kernel refuses these files, as it does to all but root; the tests may run as root. */
function denyReading(ending: string): void {
  const fs = process.getBuiltinModule("node:fs");
  const read = fs.readFileSync;
  expect(read).toBe(readFileSync);
  vi.spyOn(fs, "readFileSync").mockImplementation(((path: string, ...rest: []) => {
    if (String(path).endsWith(ending)) {
      throw Object.assign(new Error(`EACCES: permission denied, open '${path}'`), { code: "EACCES" });
    }
    return read(path, ...rest);
  }) as typeof fs.readFileSync);
}
