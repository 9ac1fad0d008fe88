/**
 * The page of webgl.mjs: runs cases and training steps of all contenders in turns. It is driven through
 * `wattgradBenchmark`, or, opened without `?driven`, runs everything by itself and POSTs what it finds to /result.
 */
import { median, pair } from "./measure.mjs";
import { cases, groups, keysOf, largestError, trainings } from "./webgl_cases.mjs";
import { library, openOnnxRuntime, openOracle, openOurs, openTensorflow } from "./webgl_contenders.mjs";
import { profilePasses } from "./webgl_profile.mjs";
import { initialWeights, ours, workloads } from "./workloads.mjs";

/** Steps whose losses are compared, and by how much they may differ, per unit of loss. */
const checkedSteps = 5;
const lossTolerance = 1e-3;

/** Milliseconds after which steps are told one by one. */
const slow = 10_000;

const messageOf = (error) => String(error?.message ?? error).split("\n")[0];

/** What draws here. */
function renderer() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (gl === null) return "no WebGL2";
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const name = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return name;
}

/** Opens contenders; those that cannot be are in `errors`. */
async function openAll(openers, errors) {
  const opened = [];
  for (const [name, open] of openers) {
    const start = performance.now();
    try {
      opened.push({ ...(await open()), openMs: performance.now() - start });
    } catch (error) {
      errors[name] = messageOf(error);
    }
  }
  return opened;
}

/** Throws if the context has raised an error or the result is not the expected one. */
async function verify(contender, result, expected, tolerance) {
  const error = largestError(await result(), expected);
  const raised = contender.errors();
  if (raised.length > 0) throw new Error(`WebGL raised ${raised.join(", ")}`);
  if (!(error <= tolerance)) throw new Error(`wrong by ${error}`);
  return error;
}

const timesOf = ({ median, best, times, cpu }) => ({ ms: median, bestMs: best, times, cpuMs: cpu });

async function addProfile(row, { name, device }, run, { profile }) {
  if (!profile || name !== "ours") return;
  try {
    row.profile = await profilePasses(device, run, profile);
  } catch (error) {
    row.errors.profile = messageOf(error);
  }
}

async function compareCase(test, contenders, options) {
  const { name, key, group, flops, tolerance } = test;
  const row = { name, key, group, flops, contenders: {}, errors: {} };
  const expected = test.expected();
  const running = [];
  for (const contender of contenders) {
    try {
      const start = performance.now();
      const built = await contender.build(test);
      if (built === undefined) continue;
      const error = await verify(contender, built.result, expected, tolerance);
      row.contenders[contender.name] = { error, firstMs: performance.now() - start };
      running.push({ contender, name: contender.name, ...built });
    } catch (error) {
      row.errors[contender.name] = messageOf(error);
    }
  }
  for (const { name, ...turns } of await pair(running, options)) {
    Object.assign(row.contenders[name], timesOf(turns));
  }
  for (const { contender, result, close } of running) {
    try {
      await verify(contender, result, expected, tolerance);
      await addProfile(row, contender, result, options);
    } catch (error) {
      delete row.contenders[contender.name];
      row.errors[contender.name] = `after the timing: ${messageOf(error)}`;
    }
    await close();
  }
  return row;
}

/** The losses of the first steps on the CPU, and the weights that all start from. */
async function oracleOf(workload) {
  const device = await openOracle();
  const weights = await initialWeights(workload, library, device);
  const step = await ours(workload, library, device, weights);
  const losses = [];
  for (let i = 0; i < checkedSteps; i++) losses.push((await step().data())[0]);
  device.close();
  return { weights, losses };
}

async function compareTraining(key, contenders, options, log) {
  const workload = workloads[key];
  const errors = {};
  const row = { name: `${workload.name} step`, key, group: "train", contenders: {}, errors };
  const { weights, losses: expected } = await oracleOf(workload);
  const running = [];
  for (const contender of contenders) {
    const { name, openMs } = contender;
    try {
      const losses = [];
      const times = [];
      const cpus = [];
      const submits = [];
      const begin = performance.now();
      const step = await contender.train(key, workload, weights);
      const buildMs = performance.now() - begin;
      const run = async () => {
        const { loss, submitMs } = await step();
        losses.push(loss);
        if (submitMs !== undefined) submits.push(submitMs);
      };
      let used = 0;
      // Two at least: the first one compiles and is no figure for the others.
      for (let i = 0; i < checkedSteps && (i < 2 || used < options.limit); i++) {
        const before = await options.processor?.();
        const start = performance.now();
        await run();
        times.push(performance.now() - start);
        if (before !== undefined) cpus.push((await options.processor()) - before);
        used += times[i];
        if (used > slow) log(`${row.name}: step ${i + 1} of ${name} took ${(times[i] / 1e3).toFixed(1)} s`);
      }
      const raised = contender.errors();
      if (raised.length > 0) throw new Error(`WebGL raised ${raised.join(", ")}`);
      const difference = Math.max(...losses.map((loss, i) => Math.abs(loss / expected[i] - 1)));
      if (!(difference < lossTolerance))
        throw new Error(`other losses: ${losses.join(", ")} for ${expected.join(", ")}`);
      row.contenders[name] = {
        openMs,
        buildMs,
        firstMs: times[0],
        firstCpuMs: cpus[0],
        secondMs: times[1],
        losses: [...losses],
        difference,
      };
      running.push({ contender, name, run, losses, submits, used, last: times.at(-1) });
    } catch (error) {
      errors[name] = messageOf(error);
    }
  }
  if (options.firstOnly) return row;
  // Where a few steps take the whole time, the last of them is the figure.
  const patient = running.filter(({ used }) => used < options.limit);
  for (const { name, last } of running)
    Object.assign(row.contenders[name], { ms: last, bestMs: last, times: [last] });
  for (const { name, ...turns } of await pair(patient, options)) {
    Object.assign(row.contenders[name], timesOf(turns));
  }
  for (const { contender, name, run, losses, submits } of running) {
    const raised = contender.errors();
    // The batch never changes, so that training on it goes on.
    const wrong =
      losses.at(-1) < losses[0] ? raised.join(", ") : `the loss went from ${losses[0]} to ${losses.at(-1)}`;
    if (wrong) {
      delete row.contenders[name];
      errors[name] = `after the timing: ${wrong}`;
      continue;
    }
    row.contenders[name].steps = losses.length;
    if (submits.length > 0) row.contenders[name].submitMs = median(submits);
    await addProfile(row, contender, run, options);
  }
  return row;
}

/**
 * Runs the named cases and trainings.
 * @param options { keys, sides (names, all by default), rounds, milliseconds, limit (ms per contender), processor (what `pair` wants), profile (rounds, 0 for none), reversed (the
 *   peers go first), firstOnly (training: only the first steps) }
 * @param log gets a line now and then
 * @returns { renderer, userAgent, isolated, commit, contenders, errors, rows }
 */
async function benchmark(options, log = () => {}) {
  const report = {
    commit: WATTGRAD_COMMIT,
    renderer: renderer(),
    userAgent: navigator.userAgent,
    isolated: crossOriginIsolated,
    contenders: {},
    errors: {},
    rows: [],
  };
  const tests = cases.filter(({ key }) => options.keys.includes(key));
  const isTraining = options.keys.some((key) => trainings.includes(key));
  const openers = {
    ours: openOurs,
    tfjs: openTensorflow,
    ...(tests.length > 0 ? { ort: openOnnxRuntime } : {}),
  };
  const chosen = Object.entries(openers).filter(([name]) => options.sides?.includes(name) ?? true);
  if (options.reversed) chosen.reverse();
  const contenders = await openAll(chosen, report.errors);
  for (const { name, description } of contenders) report.contenders[name] = description;
  const trainers = contenders.filter(({ train }) => train);
  for (const key of isTraining ? trainings.filter((key) => options.keys.includes(key)) : []) {
    report.rows.push(await compareTraining(key, trainers, options, log));
    log(summary(report.rows.at(-1)));
  }
  for (const test of tests) {
    report.rows.push(await compareCase(test, contenders, options));
    log(summary(report.rows.at(-1)));
  }
  for (const { close } of contenders) close();
  return report;
}

function summary({ name, contenders, errors }) {
  const times = Object.entries(contenders).map(
    ([who, { ms, firstMs }]) => `${who} ${(ms ?? firstMs).toPrecision(4)} ms`,
  );
  const failures = Object.entries(errors).map(([who, error]) => `${who}: ${error}`);
  return `${name}: ${[...times, ...failures].join("; ")}`;
}

globalThis.wattgradBenchmark = benchmark;

/** The benchmark in a frame of its own, so that every workload begins with fresh contexts. */
async function inFrame(options, log) {
  const frame = document.createElement("iframe");
  frame.src = "?driven";
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve));
  document.body.append(frame);
  await loaded;
  try {
    return await frame.contentWindow.wattgradBenchmark(options, log);
  } finally {
    frame.remove();
  }
}

/** Everything, by itself; the query may hold `only` (groups), `rounds` and `profile`. Trainings first: their first step compiles. */
async function runAlone(query) {
  const post = (path, body) => fetch(path, { method: "POST", body });
  const log = (line) => {
    document.body.append(Object.assign(document.createElement("pre"), { textContent: line }));
    return post("/log", line).catch(() => {});
  };
  const only = query.get("only")?.split(",") ?? groups;
  const options = {
    rounds: Number(query.get("rounds") ?? 9),
    milliseconds: 200,
    limit: Number(query.get("limit") ?? 60) * 1e3,
    profile: Number(query.get("profile") ?? 0),
  };
  let report;
  try {
    for (const keys of groups.filter((group) => only.includes(group)).flatMap(keysOf)) {
      const part = await inFrame({ ...options, keys }, log);
      report = report ? { ...report, rows: [...report.rows, ...part.rows] } : part;
    }
  } catch (error) {
    report = { ...report, error: messageOf(error) };
  }
  await post("/result", JSON.stringify(report));
}

const query = new URLSearchParams(location.search);
if (!query.has("driven")) runAlone(query);
