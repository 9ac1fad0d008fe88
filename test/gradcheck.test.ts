/** First derivatives of every differentiable case, and second derivatives of all but the largest, in float64. */
import { describe, it } from "vitest";
import type { Tensor } from "../src/graph/tensor.js";
import {
  applyView,
  type Case,
  hasFirstDerivatives,
  hasSecondDerivatives,
  isDifferentiated,
  leafShape,
} from "./cases/case.js";
import { generate } from "./cases/generate.js";
import { themes } from "./cases/index.js";
import { reference } from "./devices.js";
import { checkGradients, type Leaf, weighted, weightedSlope } from "./ops/gradcheck.js";

function leavesOf(entry: Case): Leaf[] {
  return entry.inputs.map((input, i) => {
    const shape = leafShape(input);
    const data = generate(`${entry.name}/${i}`, shape, input.dtype, input.values);
    return { shape, dtype: input.dtype, data, varied: isDifferentiated(entry, i) };
  });
}

function outputOf(entry: Case, leaves: readonly Tensor[]): Tensor {
  return entry.run(leaves.map((leaf, i) => applyView(leaf, entry.inputs[i])));
}

for (const [theme, cases] of Object.entries(themes)) {
  // A theme without derivatives would be a suite without tests, which is an error.
  const first = cases.filter(hasFirstDerivatives);
  const second = cases.filter(hasSecondDerivatives);
  describe.runIf(first.length > 0)(`gradcheck: ${theme}`, () => {
    for (const entry of first) {
      it(entry.name, async () => {
        await checkGradients(reference, (inputs) => weighted(outputOf(entry, inputs)), leavesOf(entry));
      });
    }
  });
  describe.runIf(second.length > 0)(`gradgradcheck: ${theme}`, () => {
    for (const entry of second) {
      it(entry.name, async () => {
        const slope = (inputs: Tensor[]) => {
          const varied = inputs.filter((_, i) => isDifferentiated(entry, i));
          return weightedSlope(outputOf(entry, inputs), varied);
        };
        await checkGradients(reference, slope, leavesOf(entry));
      });
    }
  });
}
