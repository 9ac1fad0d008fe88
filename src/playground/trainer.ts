/**
 * The training behind the page: short rounds of `fit`, each followed by a look at the test images. Between rounds
 * anything may change: the device, the batch size, the model. It knows nothing of pages and runs in Node too.
 */
import { DataLoader, type Mnist, mnistNormalization } from "../data/index.js";
import {
  type Device,
  type DeviceChoice,
  DeviceLostError,
  listDevices,
  NumericsError,
  openDevice,
} from "../index.js";
import { crossEntropy } from "../nn/index.js";
import { accuracy, fit, randomShift, timeLimit } from "../train/index.js";
import { Evaluation } from "./evaluation.js";
import type { Activity, Command, Report, SampleChoice } from "./messages.js";
import { Meter } from "./meter.js";
import { batchOfOne, Network, type NetworkState, normalized } from "./network.js";

/** Of the first round, so that the first test scores come soon, and of the others at least. */
const firstRoundSeconds = 1;
const roundSeconds = 4;
/** A round is at least so many times as long as the test after it. */
const trainingPerTest = 4;
/** Enough for all images on a fast device. */
const evaluationSeconds = 3;
/** Augmentation, as in `wattgrad train`: each image moves by up to so many pixels. */
const shiftPixels = 2;

export interface TrainerOptions {
  readonly train: Mnist;
  readonly test: Mnist;
  readonly post: (report: Report) => void;
  readonly learningRate: number;
  readonly batchSize: number;
}

export class Trainer {
  readonly #options: TrainerOptions;
  readonly #post: (report: Report) => void;
  #learningRate: number;
  #batchSize: number;
  #choice: DeviceChoice = "auto";
  #seed = 0;
  #network: Network | undefined;
  /** As the weights were at the last test: what is left of a device that was lost, or of a loss that exploded. */
  #saved: NetworkState | undefined;
  #deviceFailed = false;
  #loader: DataLoader | undefined;
  #meter: Meter;
  #evaluation: Evaluation | undefined;
  #examTook = 0;
  #sampleChoice: SampleChoice = "first";

  #running = false;
  /** What waits for the end of the round. */
  readonly #tasks: (() => Promise<void>)[] = [];
  #looping: Promise<void> | undefined;
  #inTask = false;
  #round = new AbortController();
  #activity: Activity = "loading";
  /** The newest drawing that was not looked at. */
  #drawing: Uint8Array | undefined;
  #classifying: Promise<void> | undefined;

  constructor(options: TrainerOptions) {
    this.#options = options;
    this.#post = options.post;
    this.#learningRate = options.learningRate;
    this.#batchSize = options.batchSize;
    this.#meter = this.#newMeter();
    this.#enqueue(async () => {
      await this.#useDevice("auto");
      const parameters = this.#network!.model.parameterCount();
      this.#post({ kind: "model", parameters, trainImages: options.train.images.shape[0] });
      this.#post({ kind: "devices", devices: await listDevices() });
    });
  }

  /** Resolves when nothing goes on any more. */
  async idle(): Promise<void> {
    while (this.#looping !== undefined) await this.#looping;
    await this.#classifying;
  }

  handle(command: Command): void {
    switch (command.kind) {
      case "start":
        this.#running = true;
        if (this.#deviceFailed) this.#enqueue(() => this.#useDevice(this.#choice));
        else this.#wake();
        break;
      case "pause":
        this.#running = false;
        this.#round.abort();
        break;
      case "reset":
        this.#enqueue(() => this.#reset());
        break;
      case "device":
        this.#enqueue(() => this.#useDevice(command.choice));
        break;
      case "batchSize":
        this.#enqueue(async () => this.#useBatchSize(command.value));
        break;
      case "learningRate":
        this.#learningRate = command.value;
        if (this.#network !== undefined) this.#network.optimizer.lr = command.value;
        break;
      case "samples":
        this.#sampleChoice = command.choice;
        this.#tellSamples();
        break;
      case "drawing":
        this.#drawing = command.pixels;
        this.#classifyDrawing();
        break;
      case "save":
        this.#enqueue(async () => this.#post({ kind: "saved", bytes: await this.#network!.file() }));
        break;
    }
  }

  /** Ends the running round and does this before the next one. */
  #enqueue(task: () => Promise<void>): void {
    this.#tasks.push(task);
    this.#round.abort();
    this.#wake();
  }

  #wake(): void {
    this.#looping ??= this.#loop().finally(() => {
      this.#looping = undefined;
      // What came while the loop was ending.
      if (this.#running || this.#tasks.length > 0) this.#wake();
    });
  }

  async #loop(): Promise<void> {
    for (;;) {
      const task = this.#tasks.shift();
      if (this.#network === undefined) this.#running = false;
      if (task === undefined && !this.#running) break;
      this.#round = new AbortController();
      try {
        if (task === undefined) await this.#trainRound(this.#network!, this.#round.signal);
        else await this.#alone(task);
      } catch (error) {
        this.#post({ kind: "error", message: messageOf(error) });
      }
    }
    this.#show("paused");
  }

  /** Without a drawing on its way through the network. */
  async #alone(task: () => Promise<void>): Promise<void> {
    this.#inTask = true;
    if (this.#activity !== "loading") this.#show("busy");
    try {
      await this.#classifying;
      await task();
    } finally {
      this.#inTask = false;
      this.#classifyDrawing();
    }
  }

  async #trainRound(network: Network, signal: AbortSignal): Promise<void> {
    this.#show("running");
    const loader = this.#loader!;
    // The next batch is the one after the last, not the first of a new epoch.
    loader.setState(loader.state());
    const seconds = Math.max(roundSeconds, trainingPerTest * this.#examTook);
    this.#meter.begin();
    try {
      // biome-ignore lint/suspicious/noFocusedTests: this fit trains; it is not the test function of that name.
      await fit({
        model: network.model,
        optimizer: network.optimizer,
        train: loader,
        loss: crossEntropy,
        metrics: { accuracy },
        epochs: Number.MAX_SAFE_INTEGER,
        // What a lost device had is in the state after the last test; rounds are short.
        snapshot: false,
        stop: [timeLimit(this.#meter.step === 0 ? firstRoundSeconds : seconds)],
        signal,
        callbacks: [
          {
            onStep: (record) => this.#meter.add(record),
            onWarmup: (shaders) => this.#post({ kind: "warmup", ...shaders }),
          },
        ],
      });
      await this.#test(network, signal);
    } catch (error) {
      if (error instanceof DeviceLostError) {
        this.#tasks.push(() => this.#replaceDevice());
        throw new Error(`${error.message}; training goes on with the weights of the last test`, {
          cause: error,
        });
      }
      this.#running = false;
      if (error instanceof NumericsError) await network.load(this.#saved!);
      else this.#deviceFailed = true;
      throw error;
    }
  }

  /** The same anew, or what else there is. */
  async #replaceDevice(): Promise<void> {
    try {
      await this.#useDevice(this.#choice).catch(() => this.#useDevice("auto"));
    } catch (error) {
      this.#running = false;
      this.#deviceFailed = true;
      throw error;
    }
  }

  /** Looks at the test images and keeps the weights; not if `signal` ends it. */
  async #test(network: Network, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    const start = performance.now();
    const evaluation = await Evaluation.run(network, this.#options.test, {
      seconds: evaluationSeconds,
      signal,
    });
    if (evaluation === undefined) return;
    this.#saved = await network.state();
    this.#examTook = (performance.now() - start) / 1000;
    this.#evaluation = evaluation;
    const { loss, accuracy, count } = evaluation;
    this.#post({ kind: "test", scores: { images: this.#meter.images, loss, accuracy, count } });
    this.#tellSamples();
  }

  #tellSamples(): void {
    if (this.#evaluation === undefined) return;
    const choice = this.#sampleChoice;
    const { mistakes, count } = this.#evaluation;
    this.#post({ kind: "samples", choice, samples: this.#evaluation.samples(choice), mistakes, count });
  }

  /** Weights and optimizer state move along; what was before stays if the device cannot be opened. */
  async #useDevice(choice: DeviceChoice): Promise<void> {
    const old = this.#network;
    let rejected: Extract<Report, { kind: "device" }>["rejected"] = [];
    const device = await openDevice(choice, {
      onChoice: (chosen) => {
        rejected = chosen.rejected;
      },
    });
    let network: Network;
    try {
      network = this.#newNetwork(device);
      const state = await old?.state().catch(() => this.#saved);
      if (state !== undefined) await network.load(state);
    } catch (error) {
      device.close();
      throw error;
    }
    // It may have been changed since the state was saved.
    network.optimizer.lr = this.#learningRate;
    this.#network = network;
    old?.device.close();
    this.#deviceFailed = false;
    this.#choice = choice;
    this.#examTook = 0;
    this.#newLoader(this.#loader?.state());
    this.#watch(device);
    const { name, info } = device;
    const { images } = this.#meter;
    this.#post({ kind: "device", choice, name, description: info.description, rejected, images });
    if (old === undefined) await this.#test(network);
  }

  /** A device that is lost while nothing computes is noticed too. */
  #watch(device: Device): void {
    device.lost.then(({ message }) => {
      if (this.#network?.device !== device) return;
      this.#deviceFailed = true;
      this.#post({ kind: "error", message: `The device ${device.name} was lost: ${message}` });
    });
  }

  async #reset(): Promise<void> {
    const { device, model } = this.#network!;
    this.#network!.dispose();
    this.#seed++;
    this.#network = this.#newNetwork(device);
    this.#loader = undefined;
    this.#newLoader();
    this.#meter = this.#newMeter();
    this.#post({ kind: "reset" });
    this.#post({
      kind: "model",
      parameters: model.parameterCount(),
      trainImages: this.#options.train.images.shape[0],
    });
    await this.#test(this.#network);
  }

  #useBatchSize(value: number): void {
    const { epoch, position, seed } = this.#loader!.state();
    const images = position * this.#batchSize;
    this.#batchSize = value;
    this.#newLoader({ epoch, position: Math.floor(images / value), seed });
  }

  #newNetwork(device: Device): Network {
    return new Network(device, {
      seed: this.#seed,
      learningRate: this.#learningRate,
      onWarmup: (done, all) => this.#post({ kind: "warmup", done, all }),
    });
  }

  #newMeter(): Meter {
    return new Meter(this.#options.train.images.shape[0], (progress) =>
      this.#post({ kind: "progress", progress }),
    );
  }

  /** Goes on at `state`, or begins. */
  #newLoader(state?: ReturnType<DataLoader["state"]>): void {
    const seed = this.#seed;
    const dataset = randomShift(normalized(this.#options.train), {
      pixels: shiftPixels,
      seed,
      fill: -mnistNormalization.mean / mnistNormalization.std,
    });
    const loader = new DataLoader(dataset, {
      device: this.#network!.device,
      batchSize: this.#batchSize,
      shuffle: { seed },
      // One shape of batch: another would be compiled for the few images that are left.
      dropLast: true,
    });
    if (state !== undefined) {
      const position = Math.min(state.position, loader.length);
      loader.setState({ ...state, position });
    }
    this.#loader = loader;
  }

  #classifyDrawing(): void {
    if (this.#classifying !== undefined || this.#inTask || this.#network === undefined) return;
    if (this.#drawing === undefined) return;
    const pixels = this.#drawing;
    this.#drawing = undefined;
    this.#classifying = this.#network
      .classify(batchOfOne(pixels))
      .then((probabilities) => this.#post({ kind: "drawing", probabilities }))
      .catch((error) => this.#post({ kind: "error", message: messageOf(error) }))
      .finally(() => {
        this.#classifying = undefined;
        this.#classifyDrawing();
      });
  }

  #show(activity: Activity): void {
    if (activity === this.#activity) return;
    this.#activity = activity;
    this.#post({ kind: "activity", activity });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
