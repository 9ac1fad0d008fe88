/** The page: shows what its worker reports and passes on what the user wants. It computes nothing itself. */
import type { DeviceChoice, DeviceReport, Rejection } from "../device/select.js";
import { Gallery } from "./gallery.js";
import type { Activity, Command, Progress, Report, SampleChoice, TestScores } from "./messages.js";
import { Pad } from "./pad.js";
import { Plots } from "./plots.js";
import {
  batchSizes,
  defaultBatchSize,
  defaultLearningRate,
  deviceTitles,
  learningRates,
} from "./settings.js";

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const start = element<HTMLButtonElement>("start");
const reset = element<HTMLButtonElement>("reset");
const save = element<HTMLButtonElement>("save");
const device = element<HTMLSelectElement>("device");
const learningRate = element<HTMLSelectElement>("learning-rate");
const batchSize = element<HTMLSelectElement>("batch-size");
const error = element("error");
const sampleButtons: Readonly<Record<SampleChoice, HTMLButtonElement>> = {
  first: element("show-first"),
  mistakes: element("show-mistakes"),
};

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const send = (command: Command) => worker.postMessage(command);
const plots = new Plots(element("loss-plot"), element("accuracy-plot"));
const gallery = new Gallery(element("gallery"));
const pad = new Pad(
  {
    pad: element("pad"),
    hint: element("hint"),
    seen: element("seen"),
    bars: element("bars"),
    clear: element("clear"),
  },
  (pixels) => send({ kind: "drawing", pixels }),
);
let running = false;
/** Devices that do not work here, and why. */
let missing: readonly Rejection[] = [];
/** Which device, as a sentence. */
let runsOn = "";

worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
  (receivers[data.kind] as (report: Report) => void)(data);
});
worker.addEventListener("error", ({ message }) =>
  showError(
    `The worker that trains could not be started: ${message || "this browser has no module workers"}.`,
  ),
);

/** What to do with each kind of report. */
const receivers: { readonly [K in Report["kind"]]: (report: Extract<Report, { kind: K }>) => void } = {
  activity: ({ activity }) => showActivity(activity),
  devices: ({ devices }) => showDevices(devices),
  device: showDevice,
  warmup: showWarmup,
  model({ parameters, trainImages }) {
    setText("model-text", `${count(parameters)} parameters`);
    setText("progress-text", `of ${count(trainImages)} images each`);
  },
  progress({ progress }) {
    showProgress(progress);
    plots.addProgress(progress);
  },
  test({ scores }) {
    showTest(scores);
    plots.addTest(scores);
    pad.refresh();
  },
  samples: showSamples,
  drawing: ({ probabilities }) => pad.show(probabilities),
  reset: clear,
  saved: ({ bytes }) => download(bytes),
  error: ({ message }) => showError(message),
};

function showActivity(activity: Activity): void {
  running = activity === "running" || (activity === "busy" && running);
  start.textContent = running ? "Pause" : "Train";
  const ready = activity !== "loading";
  for (const control of [start, reset, save]) control.disabled = !ready;
  document.body.dataset.activity = activity;
  if (!running) setText("speed", "–");
}

function showReasons(reasons: readonly Rejection[]): void {
  element("rejected").hidden = reasons.length === 0;
  element("reasons").replaceChildren(
    ...reasons.map(({ name, reason }) => {
      const item = document.createElement("li");
      item.textContent = `${deviceTitles[name] ?? name}: ${reason}`;
      return item;
    }),
  );
}

function showDevices(devices: readonly DeviceReport[]): void {
  missing = devices.flatMap(({ name, available, reason = "" }) => (available ? [] : [{ name, reason }]));
  for (const { name, available, reason, description } of devices) {
    const option = new Option(deviceTitles[name] ?? name, name);
    option.disabled = !available;
    option.title = reason ?? description ?? "";
    if (!available) option.text += ` (not here)`;
    device.add(option);
  }
}

function showDevice({
  choice,
  name,
  description,
  rejected,
  images,
}: Extract<Report, { kind: "device" }>): void {
  device.value = choice;
  runsOn = `Runs on ${description}.`;
  setText("device-text", running ? `${runsOn} It prepares its kernels …` : runsOn);
  showReasons(choice === "auto" ? rejected : missing);
  plots.addSwitch(images, name);
  setText("speed", "–");
}

/** Then training, a test or an answer goes on. */
function showWarmup({ done, all }: Extract<Report, { kind: "warmup" }>): void {
  setText("device-text", done < all ? `${runsOn} Compiling shaders: ${done} of ${all} …` : runsOn);
}

function showProgress({ images, epochs, loss, imagesPerSecond }: Progress): void {
  setText("device-text", runsOn);
  setText("loss", loss.toFixed(loss < 0.1 ? 4 : 3));
  setText("speed", count(Math.round(imagesPerSecond)));
  setText("epochs", epochs.toFixed(1));
  setText("progress-text", `${count(images)} images seen`);
}

function showTest({ accuracy, count: images }: TestScores): void {
  setText("test-accuracy", `${(100 * accuracy).toFixed(1)} %`);
  setText("test-text", `of ${count(images)} new images`);
}

function showSamples({
  choice,
  samples,
  mistakes,
  count: images,
}: Extract<Report, { kind: "samples" }>): void {
  gallery.show(samples);
  for (const [kind, button] of Object.entries(sampleButtons)) {
    button.setAttribute("aria-pressed", String(kind === choice));
  }
  setText(
    "gallery-text",
    `The network was not trained on these. It gets ${count(mistakes)} of ${count(images)} wrong; the corner of such an image shows what is right.`,
  );
}

function clear(): void {
  plots.clear();
  for (const id of ["loss", "speed", "epochs", "test-accuracy"]) setText(id, "–");
  hideError();
}

function download(bytes: Uint8Array<ArrayBuffer>): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "mnist-cnn.safetensors";
  link.click();
  // The browser has begun to read by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function showError(message: string): void {
  error.textContent = message;
  error.hidden = false;
}

function hideError(): void {
  error.hidden = true;
}

function setText(id: string, text: string): void {
  element(id).textContent = text;
}

function count(value: number): string {
  return value.toLocaleString("en");
}

function fillOptions(select: HTMLSelectElement, values: readonly number[], chosen: number): void {
  for (const value of values)
    select.add(new Option(String(value), String(value), value === chosen, value === chosen));
}

fillOptions(learningRate, learningRates, defaultLearningRate);
fillOptions(batchSize, batchSizes, defaultBatchSize);
start.addEventListener("click", () => {
  hideError();
  send({ kind: running ? "pause" : "start" });
  // The step that is running ends first.
  if (running) start.textContent = "Pausing …";
});
reset.addEventListener("click", () => send({ kind: "reset" }));
save.addEventListener("click", () => send({ kind: "save" }));
device.addEventListener("change", () => {
  hideError();
  send({ kind: "device", choice: device.value as DeviceChoice });
});
learningRate.addEventListener("change", () =>
  send({ kind: "learningRate", value: Number(learningRate.value) }),
);
batchSize.addEventListener("change", () => send({ kind: "batchSize", value: Number(batchSize.value) }));
for (const choice of ["first", "mistakes"] as const) {
  sampleButtons[choice].addEventListener("click", () => send({ kind: "samples", choice }));
}
