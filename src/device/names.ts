/** The devices: WebGL2 fragment shaders, WebAssembly SIMD, and plain TypeScript in float64. */

export type DeviceName = "webgl" | "wasm" | "reference";

export interface Rejection {
  readonly name: DeviceName;
  /** Why the device was not chosen. */
  readonly reason: string;
}
