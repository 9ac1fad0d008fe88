/** Masked tokens: what may stand in their place. */
import { aCount, anArray, aString, check, checkOptions, either, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { quote } from "../formats/excerpt.js";
import { ranked, softmax } from "./scores.js";
import { asPipeline, maxLengthOf, type PipelineMembers, runnerOf, type TaskContext } from "./task.js";
import { encodeText, listOf, type Row, tell, textsOf } from "./texts.js";

/** A token in the place of the mask. The names are those of the original library. */
export interface FilledMask {
  /** The token's probability. */
  readonly score: number;
  /** Its id. */
  readonly token: number;
  readonly token_str: string;
  /** The text with the token. */
  readonly sequence: string;
}

/** Options of `fill-mask`. */
export interface FillMaskOptions {
  /** How many tokens are returned for a mask, the likeliest first. Default 5. */
  readonly topK?: number;
  /** Only these words; one that is no token stands for its first token. */
  readonly targets?: string | readonly string[];
}

const kinds: Kinds<FillMaskOptions> = { topK: aCount, targets: either(aString, anArray) };

/** A pipeline for masked tokens: a list for each text, or, where a text has several masks, a list of lists. */
export interface FillMaskPipeline extends PipelineMembers {
  (text: string, options?: FillMaskOptions): Promise<FilledMask[] | FilledMask[][]>;
  (texts: readonly string[], options?: FillMaskOptions): Promise<(FilledMask[] | FilledMask[][])[]>;
}

export function fillMask(context: TaskContext): FillMaskPipeline {
  const { task, tokenizer, onTruncate } = context;
  const { mask, pad } = tokenizer.special;
  if (mask === undefined) throw new ArgumentError("the tokenizer has no mask token", { op: task });
  const runner = runnerOf(context, false);

  function targetIds(targets: string | readonly string[]): number[] {
    const ids = listOf(task, "targets", targets).map((target) => {
      check(task, "a target", target, aString);
      const [first] = tokenizer.encode(target, { addSpecialTokens: false });
      const id = tokenizer.id(target) ?? first;
      if (id === undefined) throw new ArgumentError(`the target ${quote(target)} has no token`, { op: task });
      return id;
    });
    return [...new Set(ids)];
  }

  const placesOf = ({ ids }: Row) => [...ids.keys()].filter((i) => ids[i] === mask.id);

  function fill(
    row: Row,
    { data, shape }: { data: Float32Array; shape: readonly number[] },
    top: number,
    only?: number[],
  ) {
    const places = placesOf(row);
    const lists = places.map((place, n) => {
      const all = softmax(data.subarray(n * shape[1], (n + 1) * shape[1]));
      const scores = only?.map((id) => all[id]) ?? all;
      return ranked(scores)
        .slice(0, top)
        .map((i): FilledMask => {
          const token = only?.[i] ?? i;
          const ids = row.ids.slice();
          ids[place] = token;
          const shown = ids.filter((id) => id !== pad?.id);
          return {
            score: scores[i],
            token,
            token_str: tokenizer.decode([token], { skipSpecialTokens: false }),
            // With several masks, the others are shown.
            sequence: tokenizer.decode(shown, { skipSpecialTokens: places.length === 1 }),
          };
        });
    });
    return lists.length === 1 ? lists[0] : lists;
  }

  async function call(given: string | readonly string[], options?: FillMaskOptions) {
    const { topK = 5, targets } = checkOptions(task, options, kinds);
    const { items, isList } = textsOf(task, given);
    const only = targets === undefined ? undefined : targetIds(targets);
    if (only?.length === 0) throw new ArgumentError("there are no targets", { op: task });
    const rows = items.map((text) => encodeText(task, tokenizer, text, maxLengthOf(context)));
    for (const [i, row] of rows.entries()) {
      if (!row.ids.includes(mask!.id)) {
        const hint =
          row.length > row.ids.length
            ? `the model takes ${row.ids.length} tokens, and it may come after them`
            : `write ${mask!.token} where a token is wanted`;
        throw new ArgumentError(`text ${i} has no mask`, { op: task, hint });
      }
      tell(row, i, onTruncate);
    }
    const values = await runner.run(rows.map((row) => ({ ...row, positions: placesOf(row) })));
    const results = rows.map((row, i) => fill(row, values[i][0], topK, only));
    return isList ? results : results[0];
  }
  return asPipeline(context, call) as unknown as FillMaskPipeline;
}
