/** A device that is lost while the page trains: training resumes from the weights of the last test. */
import { afterEach, expect, test, vi } from "vitest";
import { DeviceError, DeviceLostError } from "../../src/core/errors.js";
import type { Device } from "../../src/device/device.js";
import type { OpenOptions } from "../../src/device/select.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { Conversation } from "./conversation.js";

const fate = vi.hoisted(() => ({ opened: 0, lost: false, comesBack: true }));

/** "webgl" is the wasm device here, with reads that fail once it is lost. */
vi.mock("../../src/device/select.js", async (original) => {
  const real = await original<typeof import("../../src/device/select.js")>();
  const open = async (choice: string, options: OpenOptions): Promise<Device> => {
    if (choice !== "webgl") return real.openDevice(choice as "auto", options);
    if (fate.opened++ > 0 && !fate.comesBack) throw new DeviceError("no context can be had");
    fate.lost = false;
    const device = await openWasm();
    options.onChoice?.({ device, rejected: [] });
    const gone = new DeviceLostError("the context is lost", { device: "webgl" });
    return new Proxy(device, {
      get(target, key) {
        if (key === "read" && fate.lost) return () => Promise.reject(gone);
        const value = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
  return { ...real, openDevice: open };
});

let talk: Conversation;
afterEach(() => talk?.pause());

test.each([
  { comesBack: true, choice: "webgl" },
  { comesBack: false, choice: "auto" },
] as const)("it comes back: $comesBack; training goes on on $choice", async ({ comesBack, choice }) => {
  Object.assign(fate, { opened: 0, lost: false, comesBack });
  talk = new Conversation();
  await talk.trainer.idle();
  await talk.ask({ kind: "device", choice: "webgl" }, "device");
  const learned = talk.next("test", ({ scores }) => scores.accuracy > 0.5);
  talk.trainer.handle({ kind: "start" });
  const { scores } = await learned;
  const replaced = talk.next("device");
  const said = talk.next("error");
  fate.lost = true;
  expect((await said).message).toMatch(/the context is lost.*weights of the last test/);
  expect((await replaced).choice).toBe(choice);
  const { progress } = await talk.next("progress");
  expect(progress.images).toBeGreaterThan(scores.images);
  // An untrained network has ln 10 ≈ 2.3.
  expect(progress.loss).toBeLessThan(1.8);
  expect(talk.all("error")).toHaveLength(1);
});
