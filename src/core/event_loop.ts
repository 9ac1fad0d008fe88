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
    // Not by a timer: browsers make the sixth of timers that set each other wait for 4 ms.
    channel ??= new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(null);
  });
  return underWay;
}

/** Whether the event loop has waited for long enough: `if (isTurnDue()) await nextTurn();` wherever a loop waits. */
export function isTurnDue(): boolean {
  return collectionDue || performance.now() - last > turnMilliseconds;
}

/** Bytes of tensors, on all devices of this thread. */
let heldBytes = 0;
/** The least since a collection was last asked for. */
let leastBytes = 0;
let collectionDue = false;
/** Doubles while collections find little: memory that is disposed, or kept, is no reason to collect. */
let patience = 1;
const mostPatience = 8;
/** What finalizers gave back since `judgedAt`, and how long a collection has for that. */
let collectedBytes = 0;
let judgedAt = 0;
const judgementMilliseconds = 300;

/** Growth after which garbage is collected: this, times the patience, or this share of what was held. */
const collectionBytes = 48 * 1024 * 1024;
const collectionShare = 0.25;
/** Of a device's memory, at most. */
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

/** A device was opened that has so much memory; to be called when it is closed. */
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
    // No room for it: then the engine has just collected what it could.
  }
}

/** How long a collection is waited for, at most, in milliseconds. */
const longestWait = 300;

/**
 * Takes a turn that is due. Where tensors hold half of a device, it lasts until a collection that was asked for has given
 * memory back: what allocates next may be synchronous, and engines may need some turns to collect.
 */
export async function takeTurn(): Promise<void> {
  const before = heldBytes;
  const isShort = collectionDue && before > 4 * mostBytes;
  await nextTurn();
  const end = performance.now() + longestWait;
  while (isShort && heldBytes >= before && performance.now() < end) await nextTurn();
}

/** Calls `fn`, for which there was no memory, again when tensors that nobody holds have given theirs back. */
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
