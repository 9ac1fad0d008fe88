/** Speeches of a play as token ids, with the speakers of the most frequent ones as labels. */
import { UsageError } from "../exit.js";

/** A speech: the speaker's name, which is no part of its words. */
export interface Speech {
  readonly speaker: string;
  readonly words: readonly string[];
}

/** Token ids of a speech, and the number of its speaker. */
export interface Labelled {
  readonly tokens: readonly number[];
  readonly label: number;
}

export interface SpeechData {
  /** The most frequent speakers, most frequent first: the labels. */
  readonly speakers: readonly string[];
  readonly vocabulary: number;
  /** All speeches but those of `validation`, also of other speakers. */
  readonly texts: readonly (readonly number[])[];
  readonly training: readonly Labelled[];
  readonly validation: readonly Labelled[];
}

/** Ids of the special tokens; words follow. */
export const special = { padding: 0, unknown: 1, start: 2, end: 3, mask: 4 } as const;
const firstWord = 5;
const maxSpeakers = 10;
/** Of the speeches of each labelled speaker, every fifth in the order of the text is held back. */
const heldBackEvery = 5;

/** Lower-case words, and every other character but white space as a word. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[a-z']+|[^\sa-z']/g) ?? [];
}

/** Blocks between empty lines whose first line is a name and a colon. */
export function speechesOf(text: string): Speech[] {
  return text.split(/\n\s*\n/).flatMap((block) => {
    const match = /^\s*([^\n:]+):\n([\s\S]+)$/.exec(block.replaceAll("\r", ""));
    return match ? [{ speaker: match[1], words: wordsOf(match[2]) }] : [];
  });
}

/** The most frequent items, most frequent first; of equally frequent ones, the one that appears first. */
function byCount(items: Iterable<string>, number: number): string[] {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .slice(0, number)
    .map(([item]) => item);
}

/**
 * The split does not depend on a seed. The vocabulary is of `texts` only, so that nothing of the validation is known.
 *
 * @throws UsageError if fewer than two speakers have a speech to train on, or none is held back.
 */
export function speechData(
  text: string,
  { contextLength, maxWords }: { contextLength: number; maxWords: number },
): SpeechData {
  const speeches = speechesOf(text);
  const speakers = byCount(
    speeches.map(({ speaker }) => speaker),
    maxSpeakers,
  );
  const seen = new Array<number>(speakers.length).fill(0);
  const isHeldBack = ({ speaker }: Speech) => {
    const label = speakers.indexOf(speaker);
    return label >= 0 && ++seen[label] % heldBackEvery === 0;
  };
  const split = speeches.map((speech) => ({ ...speech, isHeldBack: isHeldBack(speech) }));
  const known = split.filter((speech) => !speech.isHeldBack);
  const words = byCount(
    known.flatMap((speech) => speech.words),
    maxWords,
  );
  const ids = new Map(words.map((word, i) => [word, firstWord + i]));
  const encode = (speech: Speech) => [
    special.start,
    ...speech.words.slice(0, contextLength - 2).map((word) => ids.get(word) ?? special.unknown),
    special.end,
  ];
  const labelled = (among: readonly (typeof split)[number][]) =>
    among
      .filter(({ speaker }) => speakers.includes(speaker))
      .map((speech) => ({ tokens: encode(speech), label: speakers.indexOf(speech.speaker) }));
  const validation = labelled(split.filter((speech) => speech.isHeldBack));
  if (speakers.length < 2 || validation.length === 0) {
    const found = `${speeches.length} speeches of ${new Set(speeches.map((s) => s.speaker)).size} speakers`;
    throw new UsageError(
      `the text has ${found}; at least two speakers are needed, one with ${heldBackEvery} speeches. ` +
        "A speech is a line NAME: and the lines below it, up to an empty line",
    );
  }
  return {
    speakers,
    vocabulary: firstWord + words.length,
    texts: known.map(encode),
    training: labelled(known),
    validation,
  };
}

/** The accuracy of naming the most frequent speaker of `validation` always. */
export function majorityShare(validation: readonly Labelled[]): number {
  const counts = new Map<number, number>();
  for (const { label } of validation) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Math.max(...counts.values()) / validation.length;
}
