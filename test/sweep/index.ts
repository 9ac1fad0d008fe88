/**
 * The sweep: every op at its kinks, at both zeros, infinities and NaN, at tiny, huge and equal numbers, and under common offsets,
 * with gradients, against PyTorch in float32 and float64. A probe is a case of which every element is compared; fixtures/make_sweep.py
 * computes PyTorch's results.
 */
import type { Case } from "../cases/case.js";
import { elementwise } from "./elementwise.js";
import { kernels } from "./kernels.js";
import { losses } from "./losses.js";
import { reduced } from "./rows.js";

export const sweep: Readonly<Record<string, readonly Case[]>> = { elementwise, reduced, losses, kernels };
