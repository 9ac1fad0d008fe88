/** Numbers of the commands; shared with src/device/wasm/command.ts. */
// biome-ignore format: a table
export namespace Opcode {
  export const end: i32 = 0;
  export const map: i32 = 1;
  export const reduce: i32 = 2;
  export const matmul: i32 = 3;
  export const conv: i32 = 4;
  export const convGradInput: i32 = 5;
  export const convGradWeight: i32 = 6;
  export const pool: i32 = 7;
  export const poolGrad: i32 = 8;
  export const gather: i32 = 9;
  export const scatterAdd: i32 = 10;
  export const qmatmul: i32 = 11;
  export const qmatmulGroups: i32 = 12;
  export const qmatmulFloat: i32 = 13;
  export const qconv: i32 = 14;
  export const attention: i32 = 15;
}
