import { defineConfig } from "vitest/config";

const freshDist = ".ci/fresh_dist.mjs";

/** Shader files are strings, as esbuild makes them. */
const shaders = {
  name: "glsl",
  transform(text, path) {
    return path.endsWith(".glsl") ? `export default ${JSON.stringify(text)};` : undefined;
  },
};

export default defineConfig({
  plugins: [shaders],
  test: {
    // By default one core is left to the reader of the terminal: of two, that is half.
    maxWorkers: "100%",
    // Its main file is not a module.
    server: { deps: { inline: ["twgl.js"] } },
    projects: [
      {
        extends: true,
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/browser/**", "test/peers/**", "node_modules/**"],
          globalSetup: [freshDist],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: "browser",
          include: ["test/browser/*.test.ts"],
          globalSetup: [freshDist, "test/browser/setup.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
