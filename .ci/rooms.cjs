/**
 * Which folder of src/ may import which, checked by `npm run lint` with dependency-cruiser, imports of types included: an
 * import points to the same layer or to a lower one, devices know the kernel language and the contract only, and there is no
 * circle.
 */

/** From the lowest layer to the highest. A folder that is not listed here is an error. */
const layers = [
  ["core"],
  ["kernels"],
  // The contract and the choice of a device; the implementations have rules of their own below.
  ["device"],
  ["graph"],
  ["compiler"],
  ["runtime"],
  ["ops", "autograd"],
  ["formats"],
  ["hub"],
  ["text"],
  ["nn", "optim"],
  ["energy", "profile", "data"],
  ["models", "train", "quantization"],
  ["adapters", "generation"],
  ["pipeline"],
  ["index.ts"],
  ["bench", "inference", "playground"],
  ["tour"],
  ["cli"],
];

/** Files of src/device/ that an implementation may import. */
const contract = "^src/device/(device|describe|range|recovery)\\.ts$";
const implementations = ["dry", "reference", "wasm", "webgl"];

/** From the lowest room of the WebGL device to the highest; files beside these folders are above them. */
const webgl = ["gl", "shader", "kernels"];

const inside = (names) => `^src/(${names.join("|")})(/|$)`;

const upward = layers.slice(0, -1).map((names, i) => ({
  name: `${names.join("-")}-imports-upward`,
  severity: "error",
  from: { path: inside(names) },
  to: { path: "^src/", pathNot: inside(layers.slice(0, i + 1).flat()) },
}));

const devices = implementations.map((name) => ({
  name: `${name}-imports-more-than-the-contract`,
  severity: "error",
  from: { path: `^src/device/${name}/` },
  to: { path: "^src/", pathNot: [`^src/device/${name}/`, inside(["core", "kernels"]), contract] },
}));

const insideWebgl = webgl.map((name, i) => ({
  name: `webgl-${name}-imports-upward`,
  severity: "error",
  from: { path: `^src/device/webgl/${name}/` },
  to: { path: "^src/device/webgl/", pathNot: `^src/device/webgl/(${webgl.slice(0, i + 1).join("|")})/` },
}));

module.exports = {
  forbidden: [
    { name: "circle", severity: "error", from: {}, to: { circular: true } },
    {
      name: "formats-import-more-than-core",
      severity: "error",
      from: { path: inside(["formats"]) },
      to: { path: "^src/", pathNot: inside(["formats", "core"]) },
    },
    {
      name: "hub-imports-more-than-formats",
      severity: "error",
      from: { path: inside(["hub"]) },
      to: { path: "^src/", pathNot: inside(["hub", "formats", "core"]) },
    },
    {
      name: "text-imports-more-than-hub",
      severity: "error",
      from: { path: inside(["text"]) },
      to: { path: "^src/", pathNot: inside(["text", "hub", "formats", "core"]) },
    },
    {
      name: "tokenizers-outside-of-text",
      severity: "error",
      from: { path: "^src/", pathNot: inside(["text"]) },
      to: { path: "node_modules/@huggingface/" },
    },
    {
      name: "folder-without-layer",
      severity: "error",
      from: { path: "^src/", pathNot: inside(layers.flat()) },
      to: { path: "^src/" },
    },
    ...upward,
    ...devices,
    ...insideWebgl,
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
  },
};
