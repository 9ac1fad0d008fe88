/** The directory of this package, and its package.json. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The directory with wattgrad's package.json: above `dist` when bundled, above `src` when run from source. */
export function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, "package.json"))) directory = dirname(directory);
  return directory;
}

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8"));
  return String(version);
}

/** The MNIST subset shipped with the package. */
export function shippedMnist(): string {
  return join(packageRoot(), "test", "data", "mnist");
}
