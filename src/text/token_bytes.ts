/** Decodes vocabulary entries to bytes. */
import type { JsonObject } from "./parts.js";

/**
 * GPT-2's characters for bytes (`bytes_to_unicode`): printable bytes map to themselves, the others to characters from 256 on.
 */
function byteCharacters(): Map<string, number> {
  const result = new Map<string, number>();
  let others = 256;
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
    result.set(String.fromCodePoint(isPrintable ? byte : others++), byte);
  }
  return result;
}

/** Whether a decoder, or a member of its sequence, is of a kind. */
function hasDecoder(decoder: unknown, type: string): boolean {
  const { type: own, decoders } = (decoder ?? {}) as { readonly type?: unknown; readonly decoders?: unknown };
  return own === type || (Array.isArray(decoders) && decoders.some((part) => hasDecoder(part, type)));
}

/**
 * Returns a function from a vocabulary entry to its bytes. Byte-level BPE has a character for each byte; others write a space as ▁ and
 * a byte as <0xF0>.
 */
export function tokenBytesOf(tokenizer: JsonObject): (token: string) => Uint8Array {
  const encoder = new TextEncoder();
  if (hasDecoder(tokenizer.decoder, "ByteLevel")) {
    const bytes = byteCharacters();
    return (token) => {
      const list = Array.from(token, (character) => bytes.get(character));
      return list.every((byte) => byte !== undefined) ? Uint8Array.from(list) : encoder.encode(token);
    };
  }
  return (token) => {
    const byte = /^<0x([\dA-F]{2})>$/.exec(token);
    return byte ? Uint8Array.of(Number.parseInt(byte[1], 16)) : encoder.encode(token.replaceAll("▁", " "));
  };
}

/** Text of added tokens by id; undefined for special ones. */
export function addedTokens(tokenizer: JsonObject): Map<number, string | undefined> {
  const list = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens : [];
  return new Map(list.map(({ id, content, special }) => [Number(id), special ? undefined : String(content)]));
}
