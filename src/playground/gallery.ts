/** Test images with what the network takes them for. */
import { greyImage } from "./grey.js";
import { imageSize, type Sample } from "./messages.js";

export class Gallery {
  readonly #list: HTMLElement;
  readonly #tiles: HTMLLIElement[] = [];

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  show(samples: readonly Sample[]): void {
    while (this.#tiles.length < samples.length) {
      const tile = newTile();
      this.#tiles.push(tile);
      this.#list.append(tile);
    }
    this.#tiles.forEach((tile, i) => {
      tile.hidden = i >= samples.length;
      if (!tile.hidden) fill(tile, samples[i]);
    });
  }
}

function newTile(): HTMLLIElement {
  const tile = document.createElement("li");
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = imageSize;
  tile.append(canvas, ...["b", "span", "i"].map((name) => document.createElement(name)));
  return tile;
}

function fill(tile: HTMLLIElement, { pixels, label, predicted, probability }: Sample): void {
  const right = predicted === label;
  const percent = `${Math.round(100 * probability)} %`;
  tile.className = right ? "right" : "wrong";
  tile.title = `The network says ${predicted} with ${percent}; it is a ${label}.`;
  const context = tile.querySelector("canvas")!.getContext("2d")!;
  context.putImageData(greyImage(pixels), 0, 0);
  tile.querySelector("b")!.textContent = right ? `${predicted} ✓` : `${predicted} ✗`;
  tile.querySelector("span")!.textContent = percent;
  tile.querySelector("i")!.textContent = right ? "" : String(label);
}
