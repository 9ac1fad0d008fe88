/** SUPPORT.md is up to date with the cases. */
import { readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { type Support, support } from "./support.js";

const file = new URL("SUPPORT.md", import.meta.url);

describe("the support table", () => {
  let current: Support;
  beforeAll(() => {
    current = support();
    if (process.env.UPDATE_SUPPORT) writeFileSync(file, current.markdown);
  });

  it("has a case for all that works, and a reason for all that does not", () => {
    expect(current.gaps).toEqual([]);
  });

  it("is current; UPDATE_SUPPORT=1 writes it anew", () => {
    expect(readFileSync(file, "utf8")).toBe(current.markdown);
  });
});
