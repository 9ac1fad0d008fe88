/**
 * Examples as programs: the public names are in scope, and a comment at the end of a statement is the value of its
 * expression, or `throws ShapeError`. Comments on lines of their own are prose.
 */
import ts from "typescript";
import type { PublicSymbol } from "./surface.js";

/** Called with the value of an expression, lazily, and the comment that shows it. */
export type Expect = (value: () => unknown, shown: string) => Promise<void>;

export interface ExampleProgram {
  readonly symbol: PublicSymbol;
  readonly text: string;
  /** Public names that the text uses. */
  readonly names: readonly PublicSymbol[];
}

/** The example with `await expectValue(() => expression, "comment")` for every statement that shows a value. */
export function instrumented(text: string): { code: string; shows: number } {
  const file = ts.createSourceFile("example.ts", text, ts.ScriptTarget.Latest, true);
  let code = "";
  let at = 0;
  let shows = 0;
  for (const statement of file.statements) {
    const [comment] = ts.getTrailingCommentRanges(text, statement.end) ?? [];
    if (comment === undefined) continue;
    const shown = JSON.stringify(text.slice(comment.pos + 2, comment.end).trim());
    code += text.slice(at, statement.pos);
    if (ts.isExpressionStatement(statement)) {
      code += `\nawait expectValue(async () => ${statement.expression.getText()}, ${shown});`;
    } else {
      const declared = ts.isVariableStatement(statement)
        ? statement.declarationList.declarations.at(-1)!.name.getText()
        : undefined;
      if (declared === undefined) throw new Error(`the comment shows no value: ${shown}`);
      code += `${statement.getFullText()}\nawait expectValue(async () => ${declared}, ${shown});`;
    }
    shows++;
    at = comment.end;
  }
  return { code: code + text.slice(at), shows };
}

export function runnable(code: string): string {
  const { outputText } = ts.transpileModule(`async function example() {${code}\n}`, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  return `${outputText}\nreturn example();`;
}

/** A module of all examples as the compiler sees them, each in a function of its own. */
export function typedModule(programs: readonly ExampleProgram[]): string {
  const imported = new Map(programs.flatMap(({ names }) => names.map((symbol) => [symbol.name, symbol])));
  const imports = [...imported.values()].map(
    ({ name, entry, isValue }) =>
      `import ${isValue ? "" : "type "}{ ${name} } from ${JSON.stringify(entry)};`,
  );
  const functions = programs.map(
    ({ symbol, text }, i) => `export async function example${i}() { // ${symbol.place}\n${text}\n}`,
  );
  return `${imports.join("\n")}\n${functions.join("\n")}\n`;
}
