/**
 * What the payloads of all quantized products begin with, 32-bit words: m, n, k; addresses of input, weight and output; the
 * input's strides in elements, the output's bytes from row to row.
 */
export namespace Operands {
  export const m: usize = 0;
  export const n: usize = 4;
  export const k: usize = 8;
  export const input: usize = 12;
  export const weight: usize = 16;
  export const output: usize = 20;
  export const inputM: usize = 24;
  export const inputK: usize = 28;
  export const outputM: usize = 32;
}
