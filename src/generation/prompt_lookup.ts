/**
 * Drafts from the text so far (prompt lookup decoding, Saxena 2023): where the last tokens stood before, the text may go on as it did
 * there. A draft is checked by reading all of it at once.
 */

/**
 * At most `length` ids that followed the last tokens where they stood before; [] if they did not. Longer matches come first, up to `ngram`
 * tokens; of equal ones the latest that has enough behind it, else the one that has most.
 */
export function lookUp(ids: readonly number[], ngram: number, length: number): readonly number[] {
  if (length < 1) return [];
  for (let size = Math.min(ngram, ids.length - 1); size > 0; size--) {
    let best: readonly number[] = [];
    for (let end = ids.length - 1; end >= size && best.length < length; end--) {
      let same = true;
      for (let i = 1; i <= size && same; i++) same = ids[end - i] === ids[ids.length - i];
      if (same && Math.min(length, ids.length - end) > best.length) best = ids.slice(end, end + length);
    }
    if (best.length > 0) return best;
  }
  return [];
}
