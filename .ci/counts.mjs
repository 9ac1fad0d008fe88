/**
 * Out of the log of a vitest run: what failed, once more where a reader of a long log looks first, and "N passed, N
 * failed". A run that did not get to its end has no counts: exit 1.
 */
import { existsSync, readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

/** Lines. */
const longestFailures = 150;

const [path] = process.argv.slice(2);
const counts = existsSync(path) ? read(readFileSync(path, "utf8")) : undefined;
if (counts === undefined) {
  console.log("no test results: the run ended before its tests did");
  process.exitCode = 1;
} else {
  for (const line of counts.failures.slice(0, longestFailures)) console.log(line);
  if (counts.skipped > 0) console.log(`${counts.skipped} skipped`);
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
}

function read(text) {
  const lines = stripVTControlCharacters(text).split("\n");
  // "Tests  1 failed | 12 passed (13)"; a hook or a file that fails is no failed test, but its file has failed.
  const tests = lines.findLast((line) => /^\s*Tests\s+(\d+ |no tests)/.test(line));
  const files = lines.findLast((line) => /^\s*Test Files\s+\d+ /.test(line));
  if (tests === undefined || files === undefined) return undefined;
  const number = (line, word) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  const failures = lines.findIndex((line) => /Failed (Suites|Tests) \d+/.test(line));
  return {
    failures: failures < 0 ? [] : lines.slice(failures, lines.indexOf(files)),
    passed: number(tests, "passed"),
    failed: Math.max(number(tests, "failed"), number(files, "failed")),
    skipped: number(tests, "skipped"),
  };
}
