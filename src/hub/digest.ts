/** Digests that servers announce, computed as bytes arrive. */

/** The Hub's: SHA-256 of large files, and git's SHA-1 of the others, which begins with the length. */
export interface Digest {
  readonly kind: "sha256" | "git";
  readonly hex: string;
}

export interface Hasher {
  update(bytes: Uint8Array): void;
  hex(): string | Promise<string>;
}

/** Undefined where nothing can compute it. */
export async function hasherOf({ kind }: Digest, size: number): Promise<Hasher | undefined> {
  const crypto = globalThis.process?.getBuiltinModule?.("node:crypto");
  const gitStart = `blob ${size}\0`;
  if (crypto === undefined)
    return kind === "git" ? gitHasher(gitStart) : new (await import("./sha256.js")).Sha256();
  const hash = crypto.createHash(kind === "git" ? "sha1" : "sha256");
  if (kind === "git") hash.update(gitStart);
  return {
    update(bytes) {
      hash.update(bytes);
    },
    hex: () => hash.digest("hex"),
  };
}

/** The browser's SHA-1, which takes all bytes at once: git's are small files. Pages without TLS do not have it. */
function gitHasher(start: string): Hasher | undefined {
  const { subtle } = globalThis.crypto ?? {};
  if (subtle === undefined) return undefined;
  const parts: Uint8Array<ArrayBuffer>[] = [new TextEncoder().encode(start)];
  return {
    update(bytes) {
      parts.push(bytes.slice());
    },
    async hex() {
      const digest = await subtle.digest("SHA-1", await new Blob(parts).arrayBuffer());
      return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    },
  };
}

/** An ETag of the Hub: the digest in quotes; others are names of versions. */
export function digestIn(etag: string | null): Digest | undefined {
  const [, hex] = /^(?:W\/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?$/.exec(etag ?? "") ?? [];
  return hex === undefined ? undefined : { kind: hex.length === 40 ? "git" : "sha256", hex };
}
