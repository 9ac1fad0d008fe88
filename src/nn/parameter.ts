/** Where parameters live, and how they come to be. */
import { realize } from "../compiler/realize.js";
import type { Device } from "../device/device.js";
import { DeviceError } from "../tensor/errors.js";
import type { Tensor } from "../tensor/tensor.js";

/** Options that every layer with parameters takes. */
export interface ParameterOptions {
  /** Where to create the parameters; default: the device given to `setDefaultDevice`. */
  readonly device?: Device;
}

let standard: Device | undefined;

/** The device on which layers create their parameters when no other is given. */
export function setDefaultDevice(device: Device | undefined): void {
  standard = device;
}

/** @throws DeviceError if none was set. */
export function defaultDevice(): Device {
  if (standard === undefined) {
    throw new DeviceError("there is no default device", {
      op: "nn",
      hint: "setDefaultDevice(await openDevice()) first, or give { device } to each layer",
    });
  }
  return standard;
}

export function deviceOf({ device }: ParameterOptions): Device {
  return device ?? defaultDevice();
}

/** Gives an initial value memory of its own and lets gradients be collected for it. */
export function parameter(initial: Tensor): Tensor {
  realize([initial]);
  initial.node = undefined;
  initial.requiresGrad = true;
  return initial;
}
