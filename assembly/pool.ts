/**
 * Pooling and its gradients; SIMD over four channels if channels are contiguous, else scalar.
 *
 * Payload of `pool`, 32-bit words: op (0 max, 1 average, 2 argmax), batch, channels, image height and width, output height
 * and width, kernel h and w, stride h and w, padding h and w, count padding (0 or 1); strides in elements of the image and
 * of the output (batch, channel, row, column); addresses of image and output. The payload of `poolGrad` continues with the strides
 * and the address of the image gradient; its `output` is the gradient of the output.
 */
import { PoolAt as At, PoolOp } from "./generated/agreement";

export function pool(payload: usize): void {
  forEachWindow(payload, false);
}

export function poolGrad(payload: usize): void {
  clear(payload);
  forEachWindow(payload, true);
}

/** Sets the image gradient to 0: windows may overlap or leave pixels out. */
function clear(payload: usize): void {
  const batch = load<i32>(payload, At.batch);
  const channels = load<i32>(payload, At.channels);
  const height = load<i32>(payload, At.height);
  const width = load<i32>(payload, At.width);
  const strideC = load<i32>(payload, At.gradC);
  for (let n = 0; n < batch; n++) {
    for (let h = 0; h < height; h++) {
      for (let w = 0; w < width; w++) {
        const at = n * load<i32>(payload, At.gradN) + h * load<i32>(payload, At.gradRow) + w * load<i32>(payload, At.gradColumn);
        const to = load<usize>(payload, At.grad) + (<usize>at << 2);
        if (strideC == 1) memory.fill(to, 0, <usize>channels << 2);
        else for (let c = 0; c < channels; c++) store<f32>(to + (<usize>(c * strideC) << 2), 0);
      }
    }
  }
}

/** Calls `window` or `windowGrad` for each output pixel with the window clipped to the image, [h0, h1) × [w0, w1). */
function forEachWindow(payload: usize, backwards: bool): void {
  const batch = load<i32>(payload, At.batch);
  const height = load<i32>(payload, At.height);
  const width = load<i32>(payload, At.width);
  const outputH = load<i32>(payload, At.outputH);
  const outputW = load<i32>(payload, At.outputW);
  const kernelH = load<i32>(payload, At.kernelH);
  const kernelW = load<i32>(payload, At.kernelW);
  for (let n = 0; n < batch; n++) {
    for (let oh = 0; oh < outputH; oh++) {
      const top = oh * load<i32>(payload, At.strideH) - load<i32>(payload, At.paddingH);
      const h0 = max(0, top);
      const h1 = min(height, top + kernelH);
      for (let ow = 0; ow < outputW; ow++) {
        const left = ow * load<i32>(payload, At.strideW) - load<i32>(payload, At.paddingW);
        const w0 = max(0, left);
        const w1 = min(width, left + kernelW);
        const out = n * load<i32>(payload, At.outputN) + oh * load<i32>(payload, At.outputRow) + ow * load<i32>(payload, At.outputColumn);
        const output = load<usize>(payload, At.output) + (<usize>out << 2);
        const image = load<usize>(payload, At.image) + (<usize>(n * load<i32>(payload, At.imageN)) << 2);
        if (backwards) {
          const grad = load<usize>(payload, At.grad) + (<usize>(n * load<i32>(payload, At.gradN)) << 2);
          windowGrad(payload, image, output, grad, h0, h1, w0, w1);
        } else window(payload, image, output, h0, h1, w0, w1);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function averageDivisor(payload: usize, h0: i32, h1: i32, w0: i32, w1: i32): f32 {
  if (load<i32>(payload, At.countPadding)) return <f32>(load<i32>(payload, At.kernelH) * load<i32>(payload, At.kernelW));
  return <f32>((h1 - h0) * (w1 - w0));
}

function window(payload: usize, image: usize, output: usize, h0: i32, h1: i32, w0: i32, w1: i32): void {
  const op = load<i32>(payload, At.op);
  const channels = load<i32>(payload, At.channels);
  const imageC = load<i32>(payload, At.imageC);
  const outputC = load<i32>(payload, At.outputC);
  const row = <usize>load<i32>(payload, At.imageRow) << 2;
  const column = <usize>load<i32>(payload, At.imageColumn) << 2;
  let c = 0;
  if (imageC == 1 && outputC == 1 && op != PoolOp.argmax) {
    const scale = f32x4.splat(1 / averageDivisor(payload, h0, h1, w0, w1));
    for (; c + 4 <= channels; c += 4) {
      const from = image + (<usize>c << 2);
      let value = op == PoolOp.max ? f32x4.splat(-Infinity) : f32x4.splat(0);
      for (let h = h0; h < h1; h++) {
        for (let w = w0; w < w1; w++) {
          const x = v128.load(from + <usize>h * row + <usize>w * column);
          value = op == PoolOp.max ? f32x4.max(value, x) : f32x4.add(value, x);
        }
      }
      v128.store(output + (<usize>c << 2), op == PoolOp.max ? value : f32x4.mul(value, scale));
    }
  }
  for (; c < channels; c++) {
    const from = image + (<usize>(c * imageC) << 2);
    const to = output + (<usize>(c * outputC) << 2);
    if (op == PoolOp.average) {
      let sum: f32 = 0;
      for (let h = h0; h < h1; h++) for (let w = w0; w < w1; w++) sum += load<f32>(from + <usize>h * row + <usize>w * column);
      store<f32>(to, sum / averageDivisor(payload, h0, h1, w0, w1));
    } else {
      const at = argmax(from, row, column, h0, h1, w0, w1, load<i32>(payload, At.width));
      if (op == PoolOp.argmax) store<i32>(to, at);
      else store<f32>(to, load<f32>(from + <usize>(at / load<i32>(payload, At.width)) * row + <usize>(at % load<i32>(payload, At.width)) * column));
    }
  }
}

/** Index h · width + w of the window's first maximum; NaN counts as the maximum. */
function argmax(from: usize, row: usize, column: usize, h0: i32, h1: i32, w0: i32, w1: i32, width: i32): i32 {
  let best = load<f32>(from + <usize>h0 * row + <usize>w0 * column);
  let at = h0 * width + w0;
  for (let h = h0; h < h1; h++) {
    for (let w = w0; w < w1; w++) {
      const x = load<f32>(from + <usize>h * row + <usize>w * column);
      if (x > best || (x != x && best == best)) {
        best = x;
        at = h * width + w;
      }
    }
  }
  return at;
}

function windowGrad(payload: usize, image: usize, output: usize, grad: usize, h0: i32, h1: i32, w0: i32, w1: i32): void {
  const op = load<i32>(payload, At.op);
  const channels = load<i32>(payload, At.channels);
  const imageC = load<i32>(payload, At.imageC);
  const outputC = load<i32>(payload, At.outputC);
  const gradC = load<i32>(payload, At.gradC);
  const row = <usize>load<i32>(payload, At.imageRow) << 2;
  const column = <usize>load<i32>(payload, At.imageColumn) << 2;
  const gradRow = <usize>load<i32>(payload, At.gradRow) << 2;
  const gradColumn = <usize>load<i32>(payload, At.gradColumn) << 2;
  const share: f32 = 1 / averageDivisor(payload, h0, h1, w0, w1);
  let c = 0;
  if (gradC == 1 && (op == PoolOp.average || imageC == 1)) {
    for (; c + 4 <= channels; c += 4) {
      // The gradient of a flatten() is channels-first.
      const at = output + (<usize>(c * outputC) << 2);
      const dy = outputC == 1 ? v128.load(at) : gather4(at, <usize>outputC << 2);
      const to = grad + (<usize>c << 2);
      const from = image + (<usize>c << 2);
      if (op == PoolOp.average) addToWindow(to, f32x4.mul(dy, f32x4.splat(share)), gradRow, gradColumn, h0, h1, w0, w1);
      else addToFirstMaximum(from, to, dy, row, column, gradRow, gradColumn, h0, h1, w0, w1);
    }
  }
  for (; c < channels; c++) {
    const dy = load<f32>(output + (<usize>(c * outputC) << 2));
    const to = grad + (<usize>(c * gradC) << 2);
    if (op == PoolOp.average) {
      for (let h = h0; h < h1; h++) {
        for (let w = w0; w < w1; w++) {
          const at = to + <usize>h * gradRow + <usize>w * gradColumn;
          store<f32>(at, load<f32>(at) + dy * share);
        }
      }
    } else {
      const width = load<i32>(payload, At.width);
      const best = argmax(image + (<usize>(c * imageC) << 2), row, column, h0, h1, w0, w1, width);
      const at = to + <usize>(best / width) * gradRow + <usize>(best % width) * gradColumn;
      store<f32>(at, load<f32>(at) + dy);
    }
  }
}

// @ts-ignore: decorator
@inline
function gather4(at: usize, step: usize): v128 {
  let x = v128.load32_zero(at);
  x = v128.load_lane<f32>(at + step, x, 1);
  x = v128.load_lane<f32>(at + 2 * step, x, 2);
  return v128.load_lane<f32>(at + 3 * step, x, 3);
}

/** Adds `value` at every pixel of the window. */
function addToWindow(to: usize, value: v128, row: usize, column: usize, h0: i32, h1: i32, w0: i32, w1: i32): void {
  for (let h = h0; h < h1; h++) {
    for (let w = w0; w < w1; w++) {
      const at = to + <usize>h * row + <usize>w * column;
      v128.store(at, f32x4.add(v128.load(at), value));
    }
  }
}

/** Adds each lane of `dy` at the first maximum of its channel. `open` marks lanes whose maximum is not found yet. */
function addToFirstMaximum(
  from: usize, to: usize, dy: v128, row: usize, column: usize, gradRow: usize, gradColumn: usize,
  h0: i32, h1: i32, w0: i32, w1: i32,
): void {
  let best = f32x4.splat(-Infinity);
  for (let h = h0; h < h1; h++) {
    for (let w = w0; w < w1; w++) best = f32x4.max(best, v128.load(from + <usize>h * row + <usize>w * column));
  }
  const unordered = f32x4.ne(best, best);
  let open = i32x4.splat(-1);
  for (let h = h0; h < h1; h++) {
    for (let w = w0; w < w1; w++) {
      const x = v128.load(from + <usize>h * row + <usize>w * column);
      const equal = v128.or(f32x4.eq(x, best), v128.and(unordered, f32x4.ne(x, x)));
      const hit = v128.and(equal, open);
      open = v128.andnot(open, equal);
      const at = to + <usize>h * gradRow + <usize>w * gradColumn;
      v128.store(at, f32x4.add(v128.load(at), v128.and(hit, dy)));
    }
  }
}
