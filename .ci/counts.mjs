/**
 * Prints "N passed, N failed" for a vitest run, out of its JSON report or, for a run inside `npm test`, out of the
 * closing line "Tests  1 failed | 12 passed (13)" of its log. Without either the run did not get to its end: exit 1.
 */
import { existsSync, readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

const [path] = process.argv.slice(2);
const counts = existsSync(path) ? read(path, readFileSync(path, "utf8")) : undefined;
if (counts === undefined) {
  console.log("no test results: the run ended before its tests did");
  process.exitCode = 1;
} else {
  if (counts.skipped > 0) console.log(`${counts.skipped} skipped`);
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
}

function read(path, text) {
  if (path.endsWith(".json")) {
    const report = JSON.parse(text);
    // A file that fails to load has no tests of its own, but is a failure.
    const unloaded = report.testResults.filter(
      (file) => file.status === "failed" && file.assertionResults.length === 0,
    );
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + unloaded.length,
      skipped: report.numPendingTests + report.numTodoTests,
    };
  }
  const lines = stripVTControlCharacters(text).split("\n");
  const tests = lines.findLast((line) => /^\s*Tests\s+(\d+ |no tests)/.test(line));
  const suites = lines.findLast((line) => /^\s*Test Files\s+\d+ /.test(line));
  if (tests === undefined || suites === undefined) return undefined;
  const number = (line, word) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  return {
    passed: number(tests, "passed"),
    failed: Math.max(number(tests, "failed"), number(suites, "failed")),
    skipped: number(tests, "skipped"),
  };
}
