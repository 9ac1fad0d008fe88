import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: [".ci/fresh_dist.mjs"],
    exclude: ["test/peers/**", "node_modules/**"],
    testTimeout: 60_000,
  },
});
