/** The page's module worker: fetches the images, trains, and answers the page. */
import { loadMnist } from "../data/index.js";
import type { Command, Report } from "./messages.js";
import { defaultBatchSize, defaultLearningRate } from "./settings.js";
import { Trainer } from "./trainer.js";

/** Where the server has the files of a split. */
function urlsOf(name: string) {
  return {
    images: new URL(`./mnist/${name}-images-idx3-ubyte.gz`, import.meta.url),
    labels: new URL(`./mnist/${name}-labels-idx1-ubyte.gz`, import.meta.url),
  };
}

function post(report: Report): void {
  self.postMessage(report, { transfer: report.kind === "saved" ? [report.bytes.buffer] : [] });
}

/** Commands that come before the images are there wait for them. */
const trainer = Promise.all([
  loadMnist(urlsOf("train10k")),
  loadMnist(urlsOf("test2k"), { split: "test" }),
]).then(
  ([train, test]) =>
    new Trainer({ train, test, post, learningRate: defaultLearningRate, batchSize: defaultBatchSize }),
);

trainer.catch((error: Error) => post({ kind: "error", message: error.message }));

self.addEventListener("message", ({ data }: MessageEvent<Command>) => {
  // What failed was said above.
  trainer.then(
    (ready) => ready.handle(data),
    () => {},
  );
});
