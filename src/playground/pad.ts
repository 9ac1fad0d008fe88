/** The canvas to draw on, the image that becomes of the drawing, and the ten bars. */
import { centredDigit } from "./digit.js";
import { greyImage } from "./grey.js";
import { classCount, imageSize } from "./messages.js";

/** Of the pad's 280 pixels: about as thick as the strokes of MNIST. */
const strokeWidth = 22;

export interface PadElements {
  readonly pad: HTMLCanvasElement;
  readonly hint: HTMLElement;
  readonly seen: HTMLCanvasElement;
  readonly bars: HTMLElement;
  readonly clear: HTMLButtonElement;
}

export class Pad {
  readonly #elements: PadElements;
  readonly #context: CanvasRenderingContext2D;
  readonly #bars: readonly HTMLLIElement[];
  readonly #ask: (pixels: Uint8Array) => void;
  #pixels: Uint8Array | undefined;
  #changed = false;
  #last: { x: number; y: number } | undefined;

  /** `ask` is given what was drawn, as 28 × 28 bytes, at most once per frame. */
  constructor(elements: PadElements, ask: (pixels: Uint8Array) => void) {
    this.#elements = elements;
    this.#ask = ask;
    const { pad, bars, clear } = elements;
    this.#context = pad.getContext("2d", { willReadFrequently: true })!;
    this.#context.lineCap = this.#context.lineJoin = "round";
    this.#context.lineWidth = strokeWidth;
    this.#context.strokeStyle = "#ffffff";
    this.#bars = Array.from({ length: classCount }, (_, digit) => newBar(digit));
    bars.append(...this.#bars);
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      this.#last = undefined;
      this.#lineTo(event);
    });
    pad.addEventListener("pointermove", (event) => {
      if (!pad.hasPointerCapture(event.pointerId)) return;
      for (const each of event.getCoalescedEvents?.() ?? []) this.#lineTo(each);
      this.#lineTo(event);
    });
    clear.addEventListener("click", () => this.clear());
  }

  /** Asks again, since the network has changed. */
  refresh(): void {
    if (this.#pixels !== undefined) this.#ask(this.#pixels);
  }

  clear(): void {
    const { pad, hint, seen } = this.#elements;
    this.#context.clearRect(0, 0, pad.width, pad.height);
    seen.getContext("2d")!.clearRect(0, 0, imageSize, imageSize);
    this.#pixels = undefined;
    hint.hidden = false;
    this.#showBars(new Float32Array(classCount));
  }

  /** The answer; one that comes after the pad was cleared is not shown. */
  show(probabilities: Float32Array): void {
    if (this.#pixels !== undefined) this.#showBars(probabilities);
  }

  #showBars(probabilities: Float32Array): void {
    const highest = Math.max(...probabilities);
    this.#bars.forEach((bar, digit) => {
      const probability = probabilities[digit];
      bar.classList.toggle("best", highest > 0 && probability === highest);
      bar.querySelector<HTMLElement>(".fill")!.style.transform = `scaleX(${probability})`;
      bar.querySelector(".percent")!.textContent = highest > 0 ? `${(100 * probability).toFixed(1)} %` : "";
    });
  }

  #lineTo({ clientX, clientY }: PointerEvent): void {
    const { pad, hint } = this.#elements;
    const box = pad.getBoundingClientRect();
    const x = ((clientX - box.left) / box.width) * pad.width;
    const y = ((clientY - box.top) / box.height) * pad.height;
    const from = this.#last ?? { x, y };
    this.#context.beginPath();
    this.#context.moveTo(from.x, from.y);
    this.#context.lineTo(x, y);
    this.#context.stroke();
    this.#last = { x, y };
    hint.hidden = true;
    if (this.#changed) return;
    this.#changed = true;
    requestAnimationFrame(() => {
      this.#changed = false;
      this.#look();
    });
  }

  #look(): void {
    const { pad, seen } = this.#elements;
    const { data } = this.#context.getImageData(0, 0, pad.width, pad.height);
    const ink = new Uint8Array(pad.width * pad.height);
    for (let i = 0; i < ink.length; i++) ink[i] = data[4 * i + 3];
    this.#pixels = centredDigit(ink, pad.width, pad.height);
    if (this.#pixels === undefined) return;
    seen.getContext("2d")!.putImageData(greyImage(this.#pixels), 0, 0);
    this.#ask(this.#pixels);
  }
}

function newBar(digit: number): HTMLLIElement {
  const item = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = String(digit);
  const track = document.createElement("span");
  track.className = "track";
  const fill = document.createElement("div");
  fill.className = "fill";
  track.append(fill);
  const percent = document.createElement("span");
  percent.className = "percent";
  item.append(name, track, percent);
  return item;
}
