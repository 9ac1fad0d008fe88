/** The grapheme-to-phoneme network says the recorded phonemes. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { devices } from "../devices.js";
import { phonemesOf } from "./g2p.js";

const folder = fileURLToPath(new URL("../../../shared/data/models/g2p/", import.meta.url));
const isThere = existsSync(folder);

describe(`phonemes ${isThere ? "" : `(left out: there is no ${folder})`}`, () => {
  it.skipIf(!isThere).each(devices)("$label", async ({ device }) => {
    const { outputs, ...alphabet } = JSON.parse(readFileSync(`${folder}ref.json`, "utf8"));
    const words = Object.keys(outputs);
    const spoken = await phonemesOf(`${folder}checkpoint20.npz`, alphabet, words, device);
    expect(spoken).toEqual(Object.values(outputs));
  });
});
