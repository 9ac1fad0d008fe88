import { defineConfig } from "vitest/config";

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
    include: ["test/**/*.test.ts"],
    globalSetup: [".ci/fresh_dist.mjs"],
    exclude: ["test/peers/**", "node_modules/**"],
    testTimeout: 60_000,
    // Its main file is not a module.
    server: { deps: { inline: ["twgl.js"] } },
  },
});
