/** Compares a value with the comment that shows it. Numbers agree to the digits shown; `…` ends a cut list. */
import ts from "typescript";

/** A sentence on how the value differs, or undefined. */
export function difference(value: unknown, shown: string): string | undefined {
  const literal = literalOf(shown);
  if (literal === undefined) {
    return String(value) === shown ? undefined : `is ${String(value)}, not ${shown}`;
  }
  return compare(value, literal) ? undefined : `is ${format(value)}, not ${shown}`;
}

function literalOf(shown: string): ts.Expression | undefined {
  const text = `(${shown.replace("…", "...rest").replaceAll("−", "-")})`;
  const file = ts.createSourceFile("value.ts", text, ts.ScriptTarget.Latest, true);
  const [statement, ...others] = file.statements;
  if (others.length > 0 || statement === undefined || !ts.isExpressionStatement(statement)) return undefined;
  if (!ts.isParenthesizedExpression(statement.expression) || statement.getText() !== text) return undefined;
  const { expression } = statement.expression;
  return isLiteral(expression) ? expression : undefined;
}

function isLiteral(node: ts.Node): boolean {
  if (ts.isArrayLiteralExpression(node)) return node.elements.every(isLiteral);
  if (ts.isObjectLiteralExpression(node)) {
    return node.properties.every(
      (property) => ts.isPropertyAssignment(property) && isLiteral(property.initializer),
    );
  }
  if (ts.isPrefixUnaryExpression(node)) return isLiteral(node.operand);
  if (ts.isSpreadElement(node)) return node.getText() === "...rest";
  if (ts.isIdentifier(node)) return ["NaN", "Infinity", "undefined"].includes(node.text);
  return (
    ts.isNumericLiteral(node) ||
    ts.isBigIntLiteral(node) ||
    ts.isStringLiteral(node) ||
    [ts.SyntaxKind.TrueKeyword, ts.SyntaxKind.FalseKeyword, ts.SyntaxKind.NullKeyword].includes(node.kind)
  );
}

function compare(value: unknown, node: ts.Expression): boolean {
  if (ts.isArrayLiteralExpression(node)) {
    const { elements } = node;
    const cut = elements.length > 0 && ts.isSpreadElement(elements[elements.length - 1]);
    const listed = cut ? elements.slice(0, -1) : elements;
    const values = listOf(value);
    return (
      values !== undefined &&
      (cut ? values.length > listed.length : values.length === listed.length) &&
      listed.every((element, i) => compare(values[i], element))
    );
  }
  if (ts.isObjectLiteralExpression(node)) {
    const fields = Object(value) as Record<string, unknown>;
    return node.properties.every((property) => {
      const { name, initializer } = property as ts.PropertyAssignment;
      return compare(fields[ts.isStringLiteral(name) ? name.text : name.getText()], initializer);
    });
  }
  const text = node.getText();
  if (ts.isStringLiteral(node)) return value === node.text;
  if (text === "NaN") return Number.isNaN(value);
  if (text.endsWith("n") && typeof value === "bigint") return String(value) === text.slice(0, -1);
  const number = Number(text);
  if (text === "undefined" || Number.isNaN(number)) return String(value) === text;
  if (typeof value !== "number") return false;
  return value === number || Math.abs(value - number) <= halfUnit(text);
}

/** Half a unit of the last digit shown, and float32's rounding of what is shown as a whole number. */
function halfUnit(text: string): number {
  const [mantissa, exponent = "0"] = text.toLowerCase().split("e");
  const decimals = mantissa.split(".")[1]?.length ?? 0;
  if (decimals === 0) return Math.abs(Number(text)) * 1e-6 + (exponent === "0" ? 1e-6 : 0);
  return 0.5001 * 10 ** (Number(exponent) - decimals);
}

function listOf(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value;
  return ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : undefined;
}

function format(value: unknown): string {
  const text = JSON.stringify(value, (_, item) =>
    ArrayBuffer.isView(item)
      ? Array.from(item as Float32Array)
      : typeof item === "bigint" || (typeof item === "number" && !Number.isFinite(item))
        ? String(item)
        : item,
  );
  return text ?? String(value);
}
