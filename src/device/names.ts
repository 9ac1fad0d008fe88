/** The devices by name, and why one of them is not taken. */

export type DeviceName = "webgl" | "wasm" | "reference";

export interface Rejection {
  readonly name: DeviceName;
  /** Why it was not taken, in words. */
  readonly reason: string;
}
