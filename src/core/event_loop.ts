/**
 * Turns of the event loop. A device that computes on this thread resolves its promises as microtasks, and while those go
 * on no timer, signal, socket or finalizer runs. So whatever waits gives the loop a turn: by time since the last one, and
 * by device memory taken since garbage was last collected, which only happens between turns.
 */

import { OutOfMemoryError } from "./errors.js";

/** Of Node: not a timer. setTimeout(0) beside a due timer never leaves the loop's timer phase, and signals wait. */
declare const setImmediate: ((callback: () => void) => unknown) | undefined;

// Taken now: tests with fake timers replace it, and reads would never end.
const immediate = typeof setImmediate === "undefined" ? undefined : setImmediate;

/** Between turns. In Node one takes 1.5 µs, so that even steps of 0.3 ms lose nothing; in a page it may draw. */
const turnMilliseconds = immediate ? 0.25 : 4;

let channel: MessageChannel | undefined;
let underWay: Promise<void> | undefined;
let last = performance.now();

/** Resolves in the next turn of the event loop, after timers, signals and messages that are due. */
export function nextTurn(): Promise<void> {
  underWay ??= new Promise<void>((resolve) => {
    const done = () => {
      underWay = undefined;
      collectionDue = false;
      last = performance.now();
      resolve();
    };
    if (immediate) return immediate(done);
    // Not a timer: browsers clamp nested timers to 4 ms from the sixth on.
    channel ??= new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(null);
  });
  return underWay;
}

/** Whether the event loop was blocked long enough: `if (isTurnDue()) await nextTurn();` wherever a loop waits. */
export function isTurnDue(): boolean {
  return collectionDue || performance.now() - last > turnMilliseconds;
}

/** Bytes of tensors, on all devices of this thread. */
let heldBytes = 0;
/** Minimum of the held bytes since the last requested collection. */
let leastBytes = 0;
let collectionDue = false;
/** Doubles while collections free little, because memory that is disposed or still in use is no reason to collect. */
let patience = 1;
const mostPatience = 8;
/** Bytes freed by finalizers since `judgedAt`, and the time in ms after which a collection is judged by them. */
let collectedBytes = 0;
let judgedAt = 0;
const judgementMilliseconds = 300;

/** Growth after which a collection is requested: these bytes times the patience, or this share of the held bytes. */
const collectionBytes = 48 * 1024 * 1024;
const collectionShare = 0.25;
/** Maximum share of a device's memory. */
const deviceShare = 0.125;
let mostBytes = Number.POSITIVE_INFINITY;
/** An ArrayBuffer so large makes engines collect. Its pages are never touched. */
const nudgeBytes = 64 * 1024 * 1024;

/**
 * Counts memory that a tensor took or, negative, gave back: engines see a small handle, and would leave it for long.
 * @param collected by its finalizer.
 */
export function noteMemory(bytes: number, collected = false): void {
  heldBytes += bytes;
  if (collected) collectedBytes -= bytes;
  if (heldBytes < leastBytes) leastBytes = heldBytes;
  const allowed = Math.max(collectionBytes * patience, leastBytes * collectionShare);
  if (heldBytes - leastBytes > Math.min(allowed, mostBytes)) askForCollection();
}

const capacities: number[] = [];

/** Registers the memory limit of an opened device; the returned function removes it when the device is closed. */
export function noteCapacity(bytes: number): () => void {
  capacities.push(bytes);
  mostBytes = Math.min(...capacities) * deviceShare;
  return () => {
    const at = capacities.indexOf(bytes);
    if (at >= 0) capacities.splice(at, 1);
    mostBytes = Math.min(...capacities) * deviceShare;
  };
}

function askForCollection(): void {
  const now = performance.now();
  const foundMuch = collectedBytes > collectionBytes / 2;
  if (foundMuch || judgedAt === 0 || now - judgedAt > judgementMilliseconds) {
    if (foundMuch) patience = 1;
    else if (judgedAt > 0) patience = Math.min(2 * patience, mostPatience);
    collectedBytes = 0;
    judgedAt = now;
  }
  leastBytes = heldBytes;
  collectionDue = true;
  try {
    new ArrayBuffer(nudgeBytes);
  } catch {
    // Out of memory: the engine has just collected garbage itself.
  }
}

/** Maximum time in ms to wait for a collection. */
const longestWait = 300;

/**
 * Takes a turn that is due. If tensors hold half of a device's memory, it lasts until the requested collection has freed memory: the next
 * allocation may be synchronous, and engines may need several turns to collect.
 */
export async function takeTurn(): Promise<void> {
  const before = heldBytes;
  const isShort = collectionDue && before > 4 * mostBytes;
  await nextTurn();
  const end = performance.now() + longestWait;
  while (isShort && heldBytes >= before && performance.now() < end) await nextTurn();
}

/** After `error`, an out-of-memory error of `fn`: waits for the collection of unreachable tensors and calls `fn` again. */
export async function afterCollection<T>(error: unknown, fn: () => T): Promise<T> {
  const end = performance.now() + longestWait;
  let failure = error;
  for (let asks = true; ; ) {
    if (!(failure instanceof OutOfMemoryError) || performance.now() > end) throw failure;
    const before = heldBytes;
    if (asks) askForCollection();
    await nextTurn();
    asks = heldBytes < before;
    if (!asks) continue;
    try {
      return fn();
    } catch (again) {
      failure = again;
    }
  }
}
