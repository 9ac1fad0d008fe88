/** Digests that servers announce, computed as bytes arrive. */

/** The Hub's: SHA-256 of large files, and git's SHA-1 of the others, which begins with the length. */
export interface Digest {
  readonly kind: "sha256" | "git";
  readonly hex: string;
}

export interface Hasher {
  update(bytes: Uint8Array): void;
  hex(): string;
}

/** Undefined where nothing can compute it. */
export async function hasherOf({ kind }: Digest, size: number): Promise<Hasher | undefined> {
  const crypto = globalThis.process?.getBuiltinModule?.("node:crypto");
  if (crypto === undefined) return undefined;
  const hash = crypto.createHash(kind === "git" ? "sha1" : "sha256");
  if (kind === "git") hash.update(`blob ${size}\0`);
  return {
    update(bytes) {
      hash.update(bytes);
    },
    hex: () => hash.digest("hex"),
  };
}

/** An ETag of the Hub: the digest in quotes; others are names of versions. */
export function digestIn(etag: string | null): Digest | undefined {
  const [, hex] = /^(?:W\/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?$/.exec(etag ?? "") ?? [];
  return hex === undefined ? undefined : { kind: hex.length === 40 ? "git" : "sha256", hex };
}
