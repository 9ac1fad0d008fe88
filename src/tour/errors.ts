/** Where the trained model errs: how often each digit is taken for which, and the images. */
import { element } from "../bench/report/dom.js";
import type { Predictions, WrongImage } from "./data.js";

/** CSS pixels for each pixel of an image. */
const magnification = 2;

export function confusionTable({ confusion }: Predictions): HTMLElement {
  const most = Math.max(1, ...confusion.map((row, label) => Math.max(...row.toSpliced(label, 1))));
  const digits = confusion.map((_, digit) => String(digit));
  const head = element("tr", {}, ...["", ...digits].map((text) => element("th", {}, text)));
  const body = confusion.map((row, label) => {
    const cells = row.map((count, predicted) => {
      if (predicted === label) return element("td", { class: "right" }, String(count));
      const cell = element("td", {}, count === 0 ? "" : String(count));
      if (count > 0) {
        const share = Math.round(15 + (60 * count) / most);
        cell.style.background = `color-mix(in srgb, var(--wrong) ${share}%, transparent)`;
      }
      return cell;
    });
    return element("tr", {}, element("th", {}, String(label)), ...cells);
  });
  return element(
    "div",
    { class: "scroll" },
    element("table", { class: "confusion" }, element("thead", {}, head), element("tbody", {}, ...body)),
  );
}

export function wrongImages({ wrong, height, width }: Predictions): HTMLElement {
  const figures = wrong.map((image) =>
    element(
      "figure",
      { title: `test image ${image.index}` },
      picture(image, height, width),
      element("figcaption", {}, `${image.label} → ${image.predicted}`),
    ),
  );
  return element("div", { class: "wrong" }, ...figures);
}

/** Dark on light, as the digits were written. */
function picture({ pixels }: WrongImage, height: number, width: number): HTMLCanvasElement {
  const canvas = element("canvas", { width: String(width), height: String(height) });
  canvas.style.width = `${width * magnification}px`;
  const bytes = atob(pixels);
  const data = new ImageData(width, height);
  for (let i = 0; i < bytes.length; i++) {
    const level = 255 - bytes.charCodeAt(i);
    data.data.set([level, level, level, 255], 4 * i);
  }
  canvas.getContext("2d")!.putImageData(data, 0, 0);
  return canvas;
}
