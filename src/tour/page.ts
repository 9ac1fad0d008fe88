/** The report of `wattgrad tour`: one page that holds its data, its script and its styles, and fetches nothing. */
import { element, figure } from "../bench/report/dom.js";
import { palette } from "../bench/report/plot.js";
import { describeEnergy, formatJoules } from "../energy/figure.js";
import type { InferenceRow } from "../inference/index.js";
import { deviceBars, sizeBars, trainingCurves } from "./charts.js";
import { placeOf, type TourFile } from "./data.js";
import { confusionTable, wrongImages } from "./errors.js";

const data: TourFile = JSON.parse(document.getElementById("data")!.textContent!);
const { training, rows, environment } = data;
const models = [...new Set(rows.map(({ model }) => model))];
const places = [...new Set(rows.map(placeOf))];
const colorOf = palette(models);
const main = document.getElementById("report")!;
const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
const number = (value: number) => value.toLocaleString("en");
const kibibytes = (bytes: number) => `${figure(bytes / 1024)} KiB`;

document.title = `wattgrad ${data.wattgrad} tour`;
main.append(
  element("h1", {}, document.title),
  element(
    "p",
    { class: "lead" },
    `${training.model} trained, quantized and run on ${places.length} devices · ${environment.cpu}, ` +
      `${environment.cores} cores · ${data.date.slice(0, 16).replace("T", " ")} UTC`,
  ),
  tiles(),
);

const trained = addSection("Training");
trained.append(
  element(
    "p",
    { class: "note" },
    `${number(training.samples)} images in ${training.epochs.length} ${training.epochs.length === 1 ? "epoch" : "epochs"}; the thin line is means of some steps, the thick one is smoothed`,
  ),
);
const curves = element("div", { class: "columns" });
trained.append(curves);
trainingCurves(curves, training.curve);

const running = addSection("Time and energy of an image");
running.append(
  legend(),
  element("p", { class: "note" }, "Bars compare the models on one device; devices differ in scale."),
);
for (const place of places) {
  const own = rows.filter((row) => placeOf(row) === place);
  running.append(element("h3", {}, place, element("small", {}, ` ${descriptionOf(own[0])}`)));
  const columns = element("div", { class: "columns" });
  running.append(columns);
  deviceBars(columns, own, colorOf);
}

const accuracy = addSection("Accuracy and size");
accuracy.append(accuracyTable(), element("h3", {}, "parameters and buffers"));
sizeBars(
  accuracy,
  rows.filter((row) => placeOf(row) === places[0]),
  colorOf,
);
for (const { model, folded, layers, modelFile } of data.quantized) {
  const names = layers.map(({ name }) => name).join(", ");
  const norms = folded.length === 0 ? "" : `; batch norms folded in: ${folded.join(", ")}`;
  accuracy.append(element("p", { class: "note" }, `${model}: ${names}${norms} → ${modelFile}`));
}

const errors = addSection("Where it errs");
errors.append(
  element(
    "p",
    { class: "note" },
    `test images by digit (rows) and what the trained model takes them for (columns)`,
  ),
  confusionTable(data.predictions),
);
if (data.predictions.wrong.length > 0) {
  errors.append(element("h3", {}, "wrong answers", element("small", {}, " digit → answer")));
  errors.append(wrongImages(data.predictions));
}

addSection("What the training took").append(
  element("div", { class: "columns" }, facts(energyFacts()), facts(workFacts())),
);
addSection("All figures").append(allFigures());
addSection("How energy was found").append(facts(energyMethods()));
addSection("Where it ran").append(facts(environmentFacts()));

function addSection(title: string): HTMLElement {
  const section = element("section", {}, element("h2", {}, title));
  main.append(section);
  return section;
}

function tiles(): HTMLElement {
  const [first] = rows;
  const fastest = rows.reduce((best, row) => (row.batchMs < best.batchMs ? row : best));
  const smallest = rows.reduce((best, row) => (row.modelBytes < best.modelBytes ? row : best));
  const { energy } = training;
  const quantized = rows.find((row) => placeOf(row) === places[0] && row.model !== first.model)!;
  const points = 100 * (quantized.accuracy - first.accuracy);
  const list: [title: string, value: string, note: string][] = [
    ["accuracy", percent(training.testAccuracy), `float32, ${number(training.testSamples)} test images`],
    [
      "quantized",
      percent(quantized.accuracy),
      `${quantized.model}, ${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(2)} points`,
    ],
    ["training", `${training.seconds.toFixed(1)} s`, `${figure(training.samplesPerSecond)} images a second`],
    ["its energy", energy.joules === null ? "unknown" : formatJoules(energy.joules), energy.kind],
    ["fastest", `${figure(fastest.batchMs)} ms`, `an image, ${fastest.model} on ${placeOf(fastest)}`],
    [
      "smallest",
      kibibytes(smallest.modelBytes),
      `${smallest.model}, ${figure((100 * smallest.modelBytes) / first.modelBytes)} % of float32`,
    ],
  ];
  return element(
    "div",
    { class: "tiles" },
    ...list.map(([title, value, note]) =>
      element(
        "div",
        { class: "tile" },
        element("span", {}, title),
        element("b", {}, value),
        element("span", {}, note),
      ),
    ),
  );
}

type Facts = [label: string, value: string][];

function facts(list: Facts): HTMLElement {
  const made = element("dl", { class: "facts" });
  for (const [label, value] of list) made.append(element("dt", {}, label), element("dd", {}, value));
  return made;
}

function energyFacts(): Facts {
  const { energy } = training;
  return [
    ["time", `${training.seconds.toFixed(1)} s`],
    ["device", training.description],
    ["energy", describeEnergy(energy)],
    ["model file", training.modelFile],
  ];
}

function workFacts(): Facts {
  const { efficiency: rates, flopsPerSample } = training;
  const known = (value: number | null, format: (value: number) => string) =>
    value === null ? "unknown" : format(value);
  return [
    ["samples a joule", known(rates.samplesPerJoule, (value) => `${figure(value)} images/J`)],
    ["training time to energy", known(rates.secondsPerJoule, (value) => `${figure(value)} s/J`)],
    ["mean power", known(rates.watts, (value) => `${figure(value)} W`)],
    ["energy of an epoch", known(rates.joulesPerEpoch, formatJoules)],
    ["FLOPs an image", known(flopsPerSample, (value) => `${figure(value / 1e6)} million`)],
    ["FLOPs a joule", known(rates.flopsPerJoule, (value) => `${figure(value / 1e9)} billion`)],
    ["parameters", number(training.parameters)],
    ["peak memory", `${figure(training.peakBytes / 2 ** 20)} MiB`],
  ];
}

function legend(): HTMLElement {
  const list = element("ul", { class: "legend" });
  for (const model of models) {
    const mark = element("i", {});
    mark.style.background = `var(${colorOf(model).variable})`;
    list.append(element("li", {}, mark, model));
  }
  return list;
}

function descriptionOf({ where, device }: InferenceRow): string {
  return data.places.find((place) => place.where === where)!.devices[device].description;
}

function accuracyTable(): HTMLElement {
  const body = places.map((place) => {
    const own = rows.filter((row) => placeOf(row) === place);
    const cells = models.map((model) => percent(own.find((row) => row.model === model)!.accuracy));
    return [place, number(own[0].images), ...cells];
  });
  return table(["", "images", ...models], body, 1);
}

function allFigures(): HTMLElement {
  const heads = [
    "device",
    "model",
    "accuracy",
    "loss",
    "one image, ms",
    "in a batch, ms",
    "images/s",
    "mJ an image",
    "MFLOP",
    "MB moved",
    "size",
  ];
  const body = rows.map((row) => [
    placeOf(row),
    row.model,
    percent(row.accuracy),
    row.loss.toFixed(4),
    figure(row.singleMs),
    figure(row.batchMs),
    figure(row.imagesPerSecond),
    row.joulesPerImage === null ? "unknown" : `${figure(1000 * row.joulesPerImage)} ${row.energy.kind}`,
    figure(row.flopsPerImage / 1e6),
    figure(row.bytesPerImage / 1e6),
    kibibytes(row.modelBytes),
  ]);
  return table(heads, body, 2);
}

/** The first `names` columns are text, the others figures. */
function table(heads: readonly string[], body: readonly (readonly string[])[], names: number): HTMLElement {
  const rowOf = (tag: "th" | "td", texts: readonly string[]) =>
    element("tr", {}, ...texts.map((text, i) => element(tag, i < names ? {} : { class: "number" }, text)));
  return element(
    "div",
    { class: "scroll" },
    element(
      "table",
      {},
      element("thead", {}, rowOf("th", heads)),
      element("tbody", {}, ...body.map((texts) => rowOf("td", texts))),
    ),
  );
}

function energyMethods(): Facts {
  const found = new Map<string, Set<string>>();
  const add = (place: string, { kind, method, scope, reason }: InferenceRow["energy"]) => {
    const words = `${kind}: ${method}; ${scope}${reason === undefined ? "" : ` (${reason})`}`;
    found.set(words, (found.get(words) ?? new Set()).add(place));
  };
  add("training", training.energy);
  for (const { where, energy } of rows) add(where, energy);
  return [...found].map(([words, where]) => [[...where].join(", "), words]);
}

function environmentFacts(): Facts {
  return [
    ["processor", `${environment.cpu}, ${environment.cores} cores`],
    ["memory", `${(environment.memoryBytes / 2 ** 30).toFixed(1)} GiB`],
    ["system", environment.platform],
    ["load before", environment.load.toFixed(2)],
    ...data.places.map(({ where, version, renderer }): Facts[number] => [
      where,
      renderer === null ? version : `${version}, WebGL by ${renderer}`,
    ]),
    ...data.unavailable.map(({ device, where, reason }): Facts[number] => [`no ${device}, ${where}`, reason]),
  ];
}
