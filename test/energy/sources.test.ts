/** The other sources, each over a simulation: a command, nvidia-smi, a battery, powermetrics, the models. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { openReference } from "../../src/device/reference/reference.js";
import { openBattery } from "../../src/energy/battery.js";
import { openCommand } from "../../src/energy/command.js";
import { describeEnergy, type EnergyFigure, measure, openMeter } from "../../src/energy/index.js";
import { openModel } from "../../src/energy/model.js";
import { openNvidia, parseNvidiaLine } from "../../src/energy/nvidia.js";
import { openPowermetrics, powermetricsParser } from "../../src/energy/powermetrics.js";
import { ones, tensor } from "../../src/ops/index.js";
import { fakeNvidia, Programs } from "./programs.js";
import { Sysfs } from "./sysfs.js";

const closing: (() => void)[] = [];

function sysfs(): Sysfs {
  const sys = new Sysfs();
  closing.push(() => sys.dispose());
  return sys;
}

function programs(): Programs {
  const made = new Programs();
  closing.push(() => made.dispose());
  return made;
}

afterEach(() => {
  for (const close of closing.splice(0)) close();
  vi.unstubAllGlobals();
});

/** The test runner goes on using the global `process`. */
function altered(properties: Record<string, unknown>): NodeJS.Process {
  const descriptors = Object.entries(properties).map(([name, value]) => [name, { value }] as const);
  return Object.create(process, Object.fromEntries(descriptors));
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function busy(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

describe("an external meter", () => {
  /** Counts its calls: 100 J more each time; the fifth and later fail. */
  const counting = `
    const fs = require("node:fs");
    const file = __filename + ".count";
    const calls = fs.existsSync(file) ? Number(fs.readFileSync(file)) + 1 : 1;
    fs.writeFileSync(file, String(calls));
    if (calls >= 5) { console.error("connection to the meter lost"); process.exit(3); }
    console.log("meter ready"); console.log(500 + 100 * calls);`;

  test("goes before every other source, and its last line counts", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 1);
    const command = programs().add("meter", counting);
    const { energy, value } = await measure(() => "done", { command, sys: sys.root });
    expect(value).toBe("done");
    expect(energy).toMatchObject({ joules: 100, kind: "measured", method: expect.stringContaining(command) });
    expect(energy.reason).toBeUndefined();
  });

  test("one that dies half-way: the model, with what had been counted", async () => {
    const meter = await openMeter({ command: programs().add("meter", counting) });
    const window = await meter.begin();
    expect(await window.read()).toMatchObject({ joules: 100, kind: "measured" });
    expect(await window.read()).toMatchObject({ joules: 200, kind: "measured" });
    busy(20);
    const figure = await window.read();
    expect(figure).toMatchObject({ kind: "assumed" });
    expect(figure.joules).toBeGreaterThan(0);
    expect(figure.reason).toMatch(/connection to the meter lost; it had counted 200\.0 J/);
    // An interval that begins later cannot be measured either.
    const later = await meter.begin();
    busy(20);
    expect(await later.read()).toMatchObject({
      kind: "assumed",
      reason: expect.stringContaining("meter lost"),
    });
    meter.close();
  });

  test.each([
    ["fails", "console.error('no such port'); process.exit(1)", /no such port/],
    ["prints no number", "console.log('12 J')", /printed "12 J".*joules counted so far/],
    ["prints nothing", "", /printed ""/],
  ])("one that %s is an error at once", async (_, source, message) => {
    await expect(openMeter({ command: programs().add("meter", source) })).rejects.toThrow(message);
  });

  test("one that goes backwards has stopped counting", async () => {
    const source = await openCommand(programs().add("meter", `console.log(1e15 - Date.now())`));
    await pause(5);
    await expect(source.read()).rejects.toThrow(/went back from/);
  });
});

describe("nvidia-smi", () => {
  test("powers of all GPUs are integrated over the samples' own times", async () => {
    const source = await openNvidia(programs().add("nvidia-smi", fakeNvidia([60, "40.50"])));
    closing.push(() => source.close());
    const [start, before] = [performance.now(), await source.read()];
    // Samples wait in the pipe while the thread computes.
    busy(400);
    await pause(300);
    const joules = (await source.read()) - before;
    const seconds = (performance.now() - start) / 1000;
    expect(source.scope).toContain("2 GPUs");
    expect(joules).toBeGreaterThan(0.65 * 100.5);
    expect(joules).toBeLessThanOrEqual(1.02 * seconds * 100.5);
  });

  test("is added to RAPL where a GPU does the work, and only there", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 100);
    const nvidiaSmi = programs().add("nvidia-smi", fakeNvidia([200]));
    const without = await openMeter({ sys: sys.root, nvidiaSmi });
    expect(without.name).toBe("rapl");
    without.close();
    const meter = await openMeter({ sys: sys.root, nvidiaSmi, gpu: true });
    expect(meter.name).toBe("rapl + nvidia");
    const window = await meter.begin();
    await pause(300);
    sys.count("intel-rapl:0", 107);
    const figure = await window.read();
    meter.close();
    expect(figure.kind).toBe("measured");
    const [packages, board] = figure.parts!.map(({ joules }) => joules!);
    expect(packages).toBeCloseTo(7, 6);
    expect(board).toBeGreaterThan(200 * 0.25);
    expect(figure.joules).toBeCloseTo(packages + board, 6);
  });

  test("beside a model the sum is only as good as the model, and shows its parts", async () => {
    const nvidiaSmi = programs().add("nvidia-smi", fakeNvidia([200]));
    const meter = await openMeter({ sys: sysfs().root, nvidiaSmi, gpu: true });
    const window = await meter.begin();
    busy(50);
    const figure = await window.read();
    meter.close();
    expect(figure.kind).toBe("assumed");
    expect(figure.parts!.map(({ kind }) => kind)).toEqual(["assumed", "measured"]);
  });

  test("one that ends half-way leaves the energy unknown, with the processor's part", async () => {
    const sys = sysfs();
    sys.zone("intel-rapl:0", "package-0", 100);
    const nvidiaSmi = programs().add("nvidia-smi", fakeNvidia([200], 8));
    const meter = await openMeter({ sys: sys.root, nvidiaSmi, gpu: true });
    const window = await meter.begin();
    await pause(1200);
    sys.count("intel-rapl:0", 130);
    const figure = await window.read();
    meter.close();
    expect(figure.joules).toBeNull();
    expect(figure.reason).toMatch(/GPU is lost/);
    expect(figure.parts![0]).toMatchObject({ joules: expect.closeTo(30, 6), kind: "measured" });
    expect(describeEnergy(figure)).toMatch(/^unknown energy \(.*GPU is lost/);
  });

  test("GPUs without a power, and machines without the program", async () => {
    await expect(openNvidia(programs().add("nvidia-smi", fakeNvidia(["[N/A]"])))).rejects.toThrow(
      /GPU 0 does not report its power: \[N\/A\]/,
    );
    const meter = await openMeter({ sys: sysfs().root, nvidiaSmi: "/nowhere/nvidia-smi", gpu: true });
    expect(meter.rejected.find(({ name }) => name === "nvidia")?.reason).toMatch(/cannot start .*ENOENT/);
    const window = await meter.begin();
    busy(20);
    expect((await window.read()).reason).toMatch(/the GPU's energy is not in it$/);
    meter.close();
  });

  test("lines", () => {
    expect(parseNvidiaLine("1, 2026/11/25 09:03:11.204, 61.25")).toEqual({
      part: "1",
      time: new Date(2026, 10, 25, 9, 3, 11, 204).getTime(),
      watts: 61.25,
    });
    expect(parseNvidiaLine("")).toBeUndefined();
    expect(() => parseNvidiaLine("NVIDIA-SMI has failed")).toThrow(/printed "NVIDIA-SMI has failed"/);
  });
});

describe("a battery", () => {
  function laptop({ status = "Discharging", power = 12e6 }: { status?: string; power?: number } = {}): Sysfs {
    const sys = sysfs();
    sys.write("power_supply/AC/type", "Mains");
    sys.write("power_supply/BAT0/type", "Battery");
    sys.write("power_supply/BAT0/status", status);
    sys.write("power_supply/BAT0/power_now", power);
    return sys;
  }

  test("its power is integrated; a mouse's battery is not the machine's", async () => {
    const sys = laptop();
    sys.write("power_supply/hid-mouse/type", "Battery");
    sys.write("power_supply/hid-mouse/scope", "Device");
    sys.write("power_supply/hid-mouse/status", "Discharging");
    sys.write("power_supply/hid-mouse/power_now", 1e9);
    const meter = await openMeter({ sys: sys.root });
    expect(meter.name).toBe("battery");
    const window = await meter.begin();
    // Long beside what a busy machine puts between the readings of the source and of the clock.
    await pause(500);
    const figure = await window.read();
    meter.close();
    expect(figure).toMatchObject({ kind: "measured", scope: "whole machine, all processes" });
    expect(figure.joules! / figure.seconds).toBeGreaterThan(10);
    expect(figure.joules! / figure.seconds).toBeLessThan(14);
  });

  test("current times voltage where there is no power, and two batteries", async () => {
    const sys = laptop({ power: 3e6 });
    sys.write("power_supply/BAT1/type", "Battery");
    sys.write("power_supply/BAT1/status", "Unknown");
    sys.write("power_supply/BAT1/current_now", -500_000);
    sys.write("power_supply/BAT1/voltage_now", 12_000_000);
    const source = openBattery(sys.root);
    const start = performance.now();
    const before = await source.read();
    await pause(500);
    const watts = ((await source.read()) - before) / ((performance.now() - start) / 1000);
    expect(watts).toBeGreaterThan(8);
    expect(watts).toBeLessThan(10);
  });

  test("mains, also those that are plugged in half-way", async () => {
    expect(() => openBattery(laptop({ status: "Charging" }).root)).toThrow(/runs on mains/);
    expect(() => openBattery(sysfs().root)).toThrow(/no power supplies/);
    const sys = laptop();
    const meter = await openMeter({ sys: sys.root });
    const window = await meter.begin();
    busy(20);
    sys.write("power_supply/BAT0/status", "Charging");
    expect(await window.read()).toMatchObject({ kind: "assumed", reason: expect.stringContaining("mains") });
    meter.close();
  });
});

describe("powermetrics", () => {
  const report = (elapsed: number, power: string) => [
    `*** Sampled system activity (Wed Nov 25 09:00:00 2026 +0100) (${elapsed}ms elapsed) ***`,
    "",
    "**** Processor usage ****",
    "CPU Power: 900 mW",
    "GPU Power: 100 mW",
    power,
    "",
  ];

  test.each([
    ["Apple's own", "Combined Power (CPU + GPU + ANE): 1000 mW", 1],
    ["Intel", "Intel energy model derived package power (CPUs+GT+SA): 3.45W", 3.45],
  ])("reports of processors: %s", (_, line, watts) => {
    const parse = powermetricsParser(() => 5000);
    const samples = [...report(503.5, line), ...report(501.25, line)].flatMap((text) => parse(text) ?? []);
    expect(samples).toEqual([
      { part: "package", time: 5000, watts },
      { part: "package", time: 5501.25, watts },
    ]);
  });

  test("is not tried elsewhere, and says how to get the right", async () => {
    await expect(openPowermetrics("powermetrics", "linux")).rejects.toThrow(/program of macOS/);
    const refuses = programs().add(
      "powermetrics",
      `console.error("powermetrics must be invoked as the superuser"); process.exit(1)`,
    );
    await expect(openPowermetrics(refuses, "darwin")).rejects.toThrow(
      /run as root, or allow sudo powermetrics/,
    );
  });
});

describe("without any counter", () => {
  test("figures are modelled or assumed, say why, and are never 0", async () => {
    const device = openReference();
    const a = ones([2, 3], { device });
    const b = ones([3, 4], { device });
    await Promise.all([a.data(), b.data()]);
    const work = async () => {
      for (let i = 0; i < 20; i++) await a.matmul(b).data();
    };
    const sys = sysfs().root;
    const figures: EnergyFigure[] = [];
    for (const cpuWatts of [undefined, 9]) {
      const { energy, cost } = await measure(work, { device, sys, cpuWatts });
      expect(cost).toEqual({ flops: 20 * 2 * 2 * 3 * 4, bytes: 20 * 4 * (6 + 12 + 8) });
      figures.push(energy);
    }
    expect(figures.map(({ kind }) => kind)).toEqual(["assumed", "modelled"]);
    for (const figure of figures) {
      expect(figure.joules).toBeGreaterThan(0);
      expect(figure.reason).toMatch(/^no meter can be read here: rapl: .*battery: .*powermetrics: /);
      expect(figure.method).toMatch(/CPU time × (7|9) W/);
      expect(describeEnergy(figure)).toMatch(/^[\d.]*[1-9][\d.]* J \((assumed|modelled)\)$/);
    }
  });

  test("CPU time of other processes, as somebody counts it", async () => {
    let seconds = 100;
    const sys = sysfs().root;
    const meter = await openMeter({ sys, cpuWatts: 9, processorTime: async () => seconds });
    const window = await meter.begin();
    seconds += 2;
    expect(await window.read()).toMatchObject({
      joules: 18,
      kind: "modelled",
      scope: expect.stringContaining("the processes that do the work"),
    });
    expect(meter.isCheap).toBe(false);
    meter.close();
  });

  test("nothing that used no time is unknown, not 0", async () => {
    vi.stubGlobal("process", altered({ cpuUsage: () => ({ user: 7, system: 0 }) }));
    const source = openModel(undefined, undefined);
    expect(source.name).toBe("cpu-time");
    const meter = await openMeter({ sys: "/nowhere" });
    const figure = await (await meter.begin()).read();
    expect(figure.joules).toBeNull();
    expect(figure.reason).toMatch(/did not move/);
    expect(describeEnergy(figure)).toMatch(/^unknown energy/);
    meter.close();
  });

  test("a page has no CPU time: counted operations, or the clock", async () => {
    vi.stubGlobal("process", altered({ cpuUsage: undefined, getBuiltinModule: undefined }));
    const device = openReference();
    const meter = await openMeter({ device });
    expect(meter.name).toBe("operations");
    const window = await meter.begin();
    await tensor([1, 2, 3], { device }).mul(2).data();
    // 3 multiplications at (0.9 + 3.7) / 2 pJ, 24 bytes at 1300 pJ for 8.
    expect((await window.read()).joules).toBeCloseTo((3 * 2.3 + 3 * 1300) * 1e-12, 20);
    expect(await window.read()).toMatchObject({
      kind: "modelled",
      method: expect.stringContaining("Horowitz, ISSCC 2014 (45 nm, 0.9 V)"),
    });
    const clock = await openMeter();
    expect(clock.name).toBe("wall-clock");
    const waiting = await clock.begin();
    await pause(20);
    const figure = await waiting.read();
    expect(figure.kind).toBe("assumed");
    expect(figure.joules! / figure.seconds).toBeCloseTo(7, 0);
  });
});

test("powers outside their domain are refused", async () => {
  await expect(openMeter({ cpuWatts: 0 })).rejects.toThrow(/cpuWatts is a number of watts above 0, got 0/);
  await expect(openMeter({ idleWatts: Number.NaN })).rejects.toThrow(/idleWatts/);
});
