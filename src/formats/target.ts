/** What stands at a path that is to be written: links are followed, so that nothing but a plain file is ever replaced. Node only. */
import { nodeFiles } from "./file.js";

/** Links in a row after which POSIX gives up. */
const maxLinks = 40;

export interface FileTarget {
  readonly kind: "file";
  readonly path: string;
  /** Undefined: nothing is there yet. */
  readonly stat: import("node:fs").Stats | undefined;
}

export type Target =
  | FileTarget
  | { readonly kind: "directory"; readonly path: string }
  /** A device node, a FIFO or a socket. */
  | { readonly kind: "stream"; readonly path: string }
  /** A descriptor of this process: `/dev/stdout`, `/dev/fd/3`. Opened anew it would have another position. */
  | { readonly kind: "descriptor"; readonly path: string; readonly descriptor: number };

/** @throws the system's error where the path cannot be followed: a missing directory, a circle of links. */
export async function targetOf(path: string, op: string): Promise<Target> {
  const { fs, path: paths } = nodeFiles(op);
  const { lstat, readlink, realpath } = fs.promises;
  let at = path;
  for (let links = 0; links <= maxLinks; links++) {
    // Resolved before the name is joined: `..` behind a link is the parent of the link's target.
    const directory = await realpath(paths.dirname(at));
    at = paths.join(directory, paths.basename(at));
    const own =
      [`/proc/${process.pid}/fd`, "/dev/fd"].includes(directory) && /^\d+$/.test(paths.basename(at));
    if (own) return { kind: "descriptor", path: at, descriptor: Number(paths.basename(at)) };
    const stat = await lstat(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return undefined;
    });
    if (stat === undefined || stat.isFile()) return { kind: "file", path: at, stat };
    if (!stat.isSymbolicLink()) return { kind: stat.isDirectory() ? "directory" : "stream", path: at };
    const link = await readlink(at);
    at = paths.isAbsolute(link) ? link : `${directory}${paths.sep}${link}`;
  }
  throw Object.assign(new Error("too many symbolic links"), { code: "ELOOP" });
}
