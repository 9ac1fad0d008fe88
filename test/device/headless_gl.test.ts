/** Every case on the WebGL device in Node, with a user-supplied context, if the package `gl` is installed. */
import { describe, expect, it } from "vitest";
import { openDevice } from "../../src/device/select.js";
import { themes } from "../cases/index.js";
import { compare } from "../compare.js";
import { reference } from "../devices.js";
import { evaluate } from "../evaluate.js";
import { headlessContext } from "./headless_context.js";

const found = await headlessContext();
if (typeof found === "string") {
  console.warn(`\nThe cases on WebGL2 in Node are left out: ${found}\n`);
  it.skip(`the cases on headless-gl: ${found}`);
} else {
  const { gl, version } = found;
  const device = await openDevice("webgl", { webgl: { gl } });
  console.info(`headless-gl ${version}: ${device.info.description}`);
  for (const [theme, cases] of Object.entries(themes)) {
    describe(`headless-gl: ${theme}`, () => {
      for (const entry of cases) {
        it(entry.name, async () => {
          const got = await evaluate(entry, device);
          expect(gl.getError()).toBe(gl.NO_ERROR);
          compare(entry, got, await evaluate(entry, reference), "float32");
        });
      }
    });
  }
}
