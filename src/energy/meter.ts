/**
 * EnergyMeter: energy of intervals of a program. It reads the best available source and runs a model beside it, which is used
 * (and named in the figure) if the meter stops or is too coarse for a short interval.
 */

import { aBoolean, aDevice, aFunction, aNumber, aString, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Device, DeviceBuffer } from "../device/device.js";
import { openBattery } from "./battery.js";
import { openCommand } from "./command.js";
import { type EnergyFigure, sumOfSources } from "./figure.js";
import { openModel } from "./model.js";
import { openNvidia } from "./nvidia.js";
import { openPowermetrics } from "./powermetrics.js";
import { openRapl } from "./rapl.js";
import type { EnergySource, RejectedSource } from "./source.js";

/** Options of `openMeter`. */
export interface MeterOptions {
  /** Shell command that prints a cumulative count of joules (external meter). It precedes every other source. */
  readonly command?: string;
  /** Device that does the work: `measure` awaits its queue and counts its FLOPs; `webgl` implies a GPU. */
  readonly device?: Device;
  /** Whether a GPU does the work, so that its energy is included. Default: whether `device` is `webgl`. */
  readonly gpu?: boolean;
  /** Watts of one busy core, for the model. Without it a value is assumed, and the figures are of kind `assumed`. */
  readonly cpuWatts?: number;
  /** CPU seconds used so far by the processes that do the work, for the model. Default: this process; needed for a browser. */
  readonly processorTime?: () => Promise<number>;
  /** Idle power of the measured scope in watts, subtracted from meters' readings. */
  readonly idleWatts?: number;
  /** Mount point of sysfs. Default /sys; a container may have the host's elsewhere. */
  readonly sys?: string;
  /** Path of nvidia-smi. Default: found on PATH. */
  readonly nvidiaSmi?: string;
}

export const meterOptions: Kinds<MeterOptions> = {
  command: aString,
  device: aDevice,
  gpu: aBoolean,
  cpuWatts: aNumber,
  processorTime: aFunction,
  idleWatts: aNumber,
  sys: aString,
  nvidiaSmi: aString,
};

/**
 * Opens the first source that can be read, in this order: the command, RAPL (and nvidia-smi if a GPU does the work), a discharging
 * battery, powermetrics, a model. Close it at the end.
 *
 * @throws ArgumentError for powers that are not positive; EnergyError if `command` was given and does not work.
 * @example
 * const meter = await openMeter({ cpuWatts: 10 });
 * const window = await meter.begin();
 * const { kind } = await window.read();
 * ["measured", "modelled", "assumed"].includes(kind); // true
 * meter.close();
 */
export async function openMeter(options: MeterOptions = {}): Promise<EnergyMeter> {
  checkOptions("openMeter", options, meterOptions);
  const { command, device, cpuWatts, idleWatts, processorTime } = options;
  for (const [name, watts] of Object.entries({ cpuWatts, idleWatts })) {
    if (watts !== undefined && !(Number.isFinite(watts) && watts > 0)) {
      throw new ArgumentError(`${name} is a number of watts above 0, got ${watts}`, { op: "openMeter" });
    }
  }
  const gpu = options.gpu ?? device?.name === "webgl";
  const model = openModel(cpuWatts, device, processorTime);
  const rejected: RejectedSource[] = [];
  const attempt = async (name: string, open: () => EnergySource | Promise<EnergySource>) => {
    try {
      return await open();
    } catch (error) {
      rejected.push({ name, reason: error instanceof Error ? error.message : String(error) });
      return undefined;
    }
  };
  if (command !== undefined) {
    return new EnergyMeter({
      host: await openCommand(command),
      board: undefined,
      model,
      rejected,
      gpu,
      idleWatts,
    });
  }
  const sys = options.sys ?? "/sys";
  const rapl = await attempt("rapl", () => openRapl(sys));
  const board = gpu
    ? await attempt("nvidia", () => openNvidia(options.nvidiaSmi ?? "nvidia-smi"))
    : undefined;
  const host =
    rapl ??
    (await attempt("battery", () => openBattery(sys))) ??
    (await attempt("powermetrics", () =>
      openPowermetrics("powermetrics", globalThis.process?.platform ?? "browser"),
    ));
  return new EnergyMeter({ host, board, model, rejected, gpu, idleWatts });
}

interface Sources {
  /** Meter of the machine or its processor, if available. */
  readonly host: EnergySource | undefined;
  /** Meter of the GPU board, if it has to be added. */
  readonly board: EnergySource | undefined;
  readonly model: EnergySource;
  readonly rejected: readonly RejectedSource[];
  readonly gpu: boolean;
  readonly idleWatts: number | undefined;
}

/**
 * An open source of energy readings; see `openMeter`.
 *
 * @example
 * const meter: EnergyMeter = await openMeter({ cpuWatts: 10 });
 * meter.name.length > 0; // true
 * meter.close();
 */
export class EnergyMeter {
  /** Preferred sources that cannot be read here, and why. */
  readonly rejected: readonly RejectedSource[];
  /** True if a reading takes microseconds, so that every step can be measured. */
  readonly isCheap: boolean;
  readonly #sources: Sources;
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  /** Use `openMeter`. */
  constructor(sources: Sources) {
    // Battery and powermetrics figures already include the GPU.
    const isCovered = sources.host?.coversGpu ?? false;
    if (isCovered) sources.board?.close();
    this.#sources = isCovered ? { ...sources, board: undefined } : sources;
    this.rejected = sources.rejected;
    const { host, board, model } = this.#sources;
    const used = [host, board, model].flatMap((source) => source ?? []);
    this.isCheap = used.every((source) => source.isCheap);
    const period = Math.min(...used.map(({ everySeconds }) => everySeconds ?? Number.POSITIVE_INFINITY));
    if (Number.isFinite(period)) {
      const sample = () => {
        // The next figure reports the failure.
        for (const source of used) if (source.everySeconds !== undefined) source.read().catch(() => {});
      };
      this.#timer = setInterval(sample, period * 1000);
      (this.#timer as { unref?(): void }).unref?.();
    }
  }

  /** The source in use: `rapl`, `rapl + nvidia`, `battery`, …, or a model: `cpu-time`, `operations`, `wall-clock`. */
  get name(): string {
    const { host, board, model } = this.#sources;
    return [host ?? model, ...(board ? [board] : [])].map(({ name }) => name).join(" + ");
  }

  /** Starts an interval. Intervals may overlap and be nested. */
  async begin(): Promise<EnergyWindow> {
    const { host, board, model } = this.#sources;
    const [atHost, atBoard, atModel] = [
      host && (await readingOf(host)),
      board && (await readingOf(board)),
      await readingOf(model),
    ];
    return new EnergyWindow(this.#sources, atHost, atBoard, atModel);
  }

  /** Stops background processes. */
  close(): void {
    const { host, board, model } = this.#sources;
    clearInterval(this.#timer);
    for (const source of [host, board, model]) source?.close();
  }
}

/** A counter's state, or why it could not be read. */
type Reading = { readonly joules: number } | { readonly failure: string };

async function readingOf(source: EnergySource): Promise<Reading> {
  try {
    return { joules: await source.read() };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * A measured interval, started by `EnergyMeter.begin`.
 *
 * @example
 * const meter = await openMeter({ cpuWatts: 10 });
 * const window: EnergyWindow = await meter.begin();
 * const { seconds } = await window.read();
 * seconds >= 0; // true
 * meter.close();
 */
export class EnergyWindow {
  readonly #sources: Sources;
  readonly #starts: { readonly host?: Reading; readonly board?: Reading; readonly model: Reading };
  readonly #start = performance.now();
  /** The last good reading of the machine's meter. */
  #latest: { readonly joules: number; readonly seconds: number } | undefined;

  /** Use `meter.begin()`. */
  constructor(sources: Sources, host: Reading | undefined, board: Reading | undefined, model: Reading) {
    this.#sources = sources;
    this.#starts = { host, board, model };
  }

  /** Energy since the start of the interval. May be called repeatedly. */
  async read(): Promise<EnergyFigure> {
    const { host, board, model, gpu } = this.#sources;
    const parts = [host ? await this.#ofHost(host) : await this.#ofModel(this.#noMeter())];
    if (board !== undefined) parts.push(await this.#of(board, this.#starts.board!));
    const covered = (host ?? model).coversGpu || board !== undefined;
    const sum = sumOfSources(parts);
    if (!gpu || covered) return sum;
    const lacking = "the GPU's energy is not in it";
    return { ...sum, reason: sum.reason === undefined ? lacking : `${sum.reason}; ${lacking}` };
  }

  /** The meter's figure; the model's if the meter stopped or its counter did not move. */
  async #ofHost(host: EnergySource): Promise<EnergyFigure> {
    const figure = await this.#of(host, this.#starts.host!);
    if (figure.joules !== null) {
      this.#latest = { joules: figure.joules, seconds: figure.seconds };
      return figure;
    }
    const last = this.#latest;
    const before =
      last === undefined
        ? ""
        : `; it had counted ${last.joules.toPrecision(4)} J in the first ${last.seconds.toFixed(1)} s`;
    return this.#ofModel(`${host.name}: ${figure.reason}${before}`);
  }

  async #ofModel(reason: string): Promise<EnergyFigure> {
    const figure = await this.#of(this.#sources.model, this.#starts.model);
    return { ...figure, reason: figure.reason === undefined ? reason : `${reason}; ${figure.reason}` };
  }

  async #of(source: EnergySource, start: Reading): Promise<EnergyFigure> {
    const now = "failure" in start ? start : await readingOf(source);
    const seconds = (performance.now() - this.#start) / 1000;
    const { idleWatts } = this.#sources;
    const idle = source.kind === "measured" && idleWatts !== undefined ? idleWatts * seconds : 0;
    const about = {
      kind: source.kind,
      method: source.method,
      scope: source.scope,
      seconds,
      idleSubtracted: idle > 0,
    };
    if ("failure" in now) return { joules: null, ...about, reason: now.failure };
    const counted = now.joules - (start as { joules: number }).joules;
    if (!(counted > 0)) {
      return { joules: null, ...about, reason: `the counter did not move in ${seconds.toPrecision(2)} s` };
    }
    if (counted <= idle) {
      return {
        joules: null,
        ...about,
        reason: `${counted.toPrecision(3)} J is no more than ${idleWatts} W idle`,
      };
    }
    return { joules: counted - idle, ...about };
  }

  #noMeter(): string {
    const reasons = this.#sources.rejected.map(({ name, reason }) => `${name}: ${reason}`);
    return `no meter can be read here: ${reasons.join("; ")}`;
  }
}

/** Waits until the device's queue is empty. */
export async function waitForDevice(device: Device): Promise<void> {
  let buffer: DeviceBuffer | undefined;
  try {
    buffer = device.allocate("float32", 1);
    await device.read(buffer);
  } finally {
    if (buffer !== undefined) device.free(buffer);
  }
}
