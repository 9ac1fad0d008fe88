/** How messages show values out of files: on one line, however long or deeply nested they are. */

const longest = 80;

/** A name, quoted. */
export function quote(name: string): string {
  return JSON.stringify(name.length > longest ? `${name.slice(0, longest - 3)}…` : name);
}

/** Any value of JSON. Lists and objects are not shown: JSON.stringify overflows the stack for some that JSON.parse takes. */
export function excerpt(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}
