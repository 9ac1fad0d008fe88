/**
 * The support table of SUPPORT.md, derived from the cases: a cell is filled if a case covers it, for the suites run
 * every case on every device. Combinations without a case are executed: an error is the reason in the table, and success is reported as a
 * missing case.
 */
import type { DType } from "../src/core/dtype.js";
import { WattgradError } from "../src/core/errors.js";
import type { Tensor } from "../src/graph/tensor.js";
import { type Case, hasFirstDerivatives, hasSecondDerivatives, isDifferentiated } from "./cases/case.js";
import { themes } from "./cases/index.js";
import { reference } from "./devices.js";
import { leavesOf, viewed } from "./evaluate.js";

const dtypes = ["float32", "int32", "uint8", "int8", "bool"] as const;

interface DeviceColumn {
  readonly name: string;
  /** Whether second derivatives are checked there: finite differences need float64. */
  readonly exact: boolean;
}

const deviceColumns: readonly DeviceColumn[] = [
  { name: "reference", exact: true },
  { name: "wasm", exact: false },
  // Every case runs on it in browsers: test/browser.
  { name: "webgl", exact: false },
];

/** These make tensors: their dtype is the result's. */
const creators = ["tensor", "scalar", "full", "zeros", "ones", "arange", "rand", "randn", "randint"];

/** What cannot be tried, because the op has no such option. */
const float32Only: Readonly<Record<string, string>> = {
  scalar: "runtime scalars are float32",
  rand: "fractions are drawn as float32",
  randn: "fractions are drawn as float32",
};

/** Why an op from float32 to float32 has no gradient. */
const constant: Readonly<Record<string, string>> = {
  cast: "rounding to halves has no slope",
  bernoulli: "a draw is no function of its probability",
  zerosLike: "the result does not depend on the values",
  onesLike: "the result does not depend on the values",
  quantizeDynamic: "rounding has no slope; fakeQuantize lets gradients pass",
  quantizedLinear: "whole numbers do not train; fakeQuantize lets gradients pass",
  quantizedConv2d: "whole numbers do not train; fakeQuantize lets gradients pass",
};

/** Gradients that are a convention, which PyTorch confirms and finite differences do not. */
const conventional: Readonly<Record<string, string>> = {
  fakeQuantize: "the gradient passes as if nothing had been rounded",
};

/** Which input's dtype counts. */
function subjectOf(op: string): number {
  return op === "where" ? 1 : 0;
}

function outputOf(entry: Case): Tensor {
  return entry.run(viewed(entry, leavesOf(entry, reference)));
}

function dtypeOf(entry: Case): DType {
  return creators.includes(entry.op) ? outputOf(entry).dtype : entry.inputs[subjectOf(entry.op)].dtype;
}

/** The case with another dtype in place of the subject's, in all inputs that share it. */
function retyped(entry: Case, dtype: DType): Case {
  const from = entry.inputs[subjectOf(entry.op)].dtype;
  const inputs = entry.inputs.map((input) =>
    input.dtype === from ? { ...input, dtype, values: { integers: [0, 2] as const } } : input,
  );
  return { ...entry, inputs, gradient: false };
}

/** The typed error of an op that does not take the dtype, without the names of op and dtype; undefined if it does. */
function refusal(entry: Case, dtype: DType): string | undefined {
  try {
    outputOf(retyped(entry, dtype));
    return undefined;
  } catch (error) {
    if (!(error instanceof WattgradError)) throw error;
    return error.message.replace(/^\w+: /, "").replace(new RegExp(`, (not|got) ${dtype}`), "");
  }
}

export interface Support {
  readonly markdown: string;
  /** What works but no case covers, or has no gradient without a reason. */
  readonly gaps: readonly string[];
}

export function support(): Support {
  const gaps: string[] = [];
  const reasons: string[] = [];
  const note = (reason: string) => {
    if (!reasons.includes(reason)) reasons.push(reason);
    return `[${reasons.indexOf(reason) + 1}]`;
  };

  const row = (op: string, cases: readonly Case[]): string => {
    const isMade = creators.includes(op);
    const covered = new Set(cases.map(dtypeOf));
    const lacking = new Map<string, string[]>();
    const lack = (what: string, reason: string) =>
      lacking.set(reason, [...(lacking.get(reason) ?? []), what]);

    for (const dtype of dtypes) {
      if (covered.has(dtype)) continue;
      const reason = isMade ? float32Only[op] : refusal(cases[0], dtype);
      if (reason === undefined) gaps.push(`${op} of ${dtype}: no case`);
      else lack(dtype, reason);
    }
    const byConvention = Object.hasOwn(conventional, op) && cases.some((entry) => isDifferentiated(entry, 0));
    const first = byConvention || (!isMade && cases.some(hasFirstDerivatives));
    const second = !isMade && cases.some(hasSecondDerivatives);
    if (!first) {
      const between = (entry: Case) => dtypeOf(entry) === "float32" && outputOf(entry).dtype === "float32";
      const reason = isMade
        ? "made of no tensor"
        : cases.some(between)
          ? constant[op]
          : "input and result are not both float32";
      if (reason === undefined) gaps.push(`${op}: no gradient`);
      else lack("∂", reason);
    } else if (byConvention) {
      lack("∂²", conventional[op]);
    } else if (!second) {
      gaps.push(`${op}: no second derivative`);
    }

    const cells = deviceColumns.map(({ exact }) =>
      dtypes
        .filter((dtype) => covered.has(dtype))
        .map((dtype) => {
          if (dtype !== "float32" || !first) return dtype;
          return exact && second ? "float32 ∂ ∂²" : "float32 ∂";
        })
        .join(", "),
    );
    const without = [...lacking].map(([reason, what]) => `${what.join(", ")} ${note(reason)}`).join("; ");
    return `| ${op} | ${cells.join(" | ")} | ${without} |`;
  };

  const sections = Object.entries(opsByTheme()).map(([theme, ops]) => {
    const head = `| op | ${deviceColumns.map(({ name }) => name).join(" | ")} | not supported |`;
    const line = `|${"---|".repeat(deviceColumns.length + 2)}`;
    return [`## ${theme}`, "", head, line, ...[...ops].map(([op, cases]) => row(op, cases))].join("\n");
  });
  const notes = reasons.map((reason, i) => `${i + 1}. ${reason}`).join("\n");
  return { markdown: `${introduction}\n\n${sections.join("\n\n")}\n\n## Reasons\n\n${notes}\n`, gaps };
}

/** Every op under the theme of its first case, with its cases of all themes. */
function opsByTheme(): Record<string, Map<string, Case[]>> {
  const found = new Map<string, Case[]>();
  const byTheme: Record<string, Map<string, Case[]>> = {};
  for (const [theme, cases] of Object.entries(themes)) {
    for (const entry of cases) {
      const known = found.get(entry.op);
      if (known) {
        known.push(entry);
        continue;
      }
      const list = [entry];
      found.set(entry.op, list);
      byTheme[theme] ??= new Map();
      byTheme[theme].set(entry.op, list);
    }
  }
  return byTheme;
}

const introduction = `# What works on which device

Generated from test/cases by test/support.ts; do not edit. To bring it up to date:

    UPDATE_SUPPORT=1 npx vitest run --config .ci/vitest.config.mjs --root . test/support.test.ts

A dtype is listed where cases of the op run in it, each compared with PyTorch (or, where PyTorch has no such op, between
devices). ∂: gradients are compared in the same way, and on the reference with finite differences. ∂²: second
derivatives are compared with finite differences on the reference; gradients are made of the ops listed here, so the
other devices compute them too. webgl: in headless Chromium (SwiftShader and Mesa's llvmpipe; float32 textures, floats kept as
bits, textures forced narrow) and in Firefox; wasm in the same browsers and in Node. Numbers in brackets are reasons, at the end of this page.`;
