/** The public symbols of the package with their docstrings, read from the entry points in package.json. */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface PublicSymbol {
  readonly name: string;
  /** Functions, classes and constants exist when the program runs; interfaces and type aliases do not. */
  readonly isValue: boolean;
  /** Source file of the sub-path that exports it, absolute. */
  readonly entry: string;
  /** `src/ops/reduce.ts:56`. */
  readonly place: string;
  /** The docstring without its tags; "" if there is none. */
  readonly text: string;
  /** The programs of its `@example` tags. */
  readonly examples: readonly string[];
}

function entries(): string[] {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return Object.values<string | { types: string }>(exports).flatMap((target) =>
    typeof target === "string"
      ? []
      : [join(root, target.types.replace("dist/types", "src").replace(/\.d\.ts$/, ".ts"))],
  );
}

export function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  return ts.parseJsonConfigFileContent(config, ts.sys, root).options;
}

export function readSurface(): readonly PublicSymbol[] {
  const paths = entries();
  const program = ts.createProgram(paths, compilerOptions());
  const checker = program.getTypeChecker();
  const found = new Map<ts.Symbol, PublicSymbol>();
  for (const entry of paths) {
    const module = checker.getSymbolAtLocation(program.getSourceFile(entry)!)!;
    for (const exported of checker.getExportsOfModule(module)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      if (found.has(symbol)) continue;
      found.set(symbol, {
        name: exported.name,
        isValue: (symbol.flags & ts.SymbolFlags.Value) !== 0,
        entry,
        place: placeOf(symbol.declarations![0]),
        text: ts.displayPartsToString(symbol.getDocumentationComment(checker)),
        examples: symbol
          .getJsDocTags(checker)
          .filter(({ name }) => name === "example")
          .map(({ text }) => ts.displayPartsToString(text)),
      });
    }
  }
  return [...found.values()];
}

function placeOf(declaration: ts.Declaration): string {
  const file = declaration.getSourceFile();
  const { line } = file.getLineAndCharacterOfPosition(declaration.getStart());
  return `${relative(root, file.fileName)}:${line + 1}`;
}
