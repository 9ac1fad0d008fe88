/**
 * The first words of the payloads of all quantized products: m, n, k; addresses of input, weight and output; strides of the input in
 * elements, row stride of the output in bytes.
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
