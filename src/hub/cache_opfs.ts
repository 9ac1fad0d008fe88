/**
 * Files in the origin private file system (https://fs.spec.whatwg.org). A file is whole if `name.whole` is beside it, which has its
 * length; else it is a part that resumes.
 */
import { type ByteSource, blobSource } from "../formats/byte_source.js";
import { FileError, reasonOf } from "../formats/file.js";
import { NoCacheError, type PartialFile, storedName } from "./cache.js";
import { cacheName, type WebStore } from "./web_store.js";

const op = "hub";

/** FileSystemSyncAccessHandle, which TypeScript declares for workers only. */
interface AccessHandle {
  read(into: Uint8Array, options: { readonly at: number }): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type WritableHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<AccessHandle> };

/** @throws where the browser has no such file system, or does not let this page use it. */
export async function filesInSystem(): Promise<WebStore> {
  const root = await navigator.storage.getDirectory();
  const base = await root.getDirectoryHandle(cacheName, { create: true });

  /** The file of a key, or the one that marks it as whole. */
  async function handleOf(key: string, ending: string, create: boolean): Promise<WritableHandle> {
    const folders = key.split("/").map(storedName);
    const name = folders.pop() + ending;
    let folder = base;
    for (const each of folders) folder = await folder.getDirectoryHandle(each, { create });
    return (await folder.getFileHandle(name, { create })) as WritableHandle;
  }
  const existing = (key: string, ending: string) =>
    handleOf(key, ending, false).then(
      (handle) => handle.getFile(),
      () => undefined,
    );

  async function find(key: string, size: number): Promise<ByteSource | undefined> {
    const mark = await existing(key, ".whole");
    const file = mark && (await existing(key, ""));
    return file?.size === size && (await mark?.text()) === String(size) ? blobSource(file) : undefined;
  }

  return {
    find,
    async open(key) {
      try {
        // A mark without its file, or with one of another length, is none.
        await remark(key, undefined);
        const handle = await handleOf(key, "", true);
        return partOf(key, handle, await handle.createSyncAccessHandle());
      } catch (error) {
        throw new NoCacheError(`cannot write the browser's files: ${reasonOf(error)}`, { op, cause: error });
      }
    },
  };

  async function remark(key: string, size: number | undefined): Promise<void> {
    const access = await (await handleOf(key, ".whole", true)).createSyncAccessHandle();
    try {
      access.truncate(0);
      if (size !== undefined) access.write(new TextEncoder().encode(String(size)), { at: 0 });
      access.flush();
    } finally {
      access.close();
    }
  }

  function partOf(key: string, handle: FileSystemFileHandle, access: AccessHandle): PartialFile {
    let length = access.getSize();
    let isOpen = true;
    const close = () => {
      if (isOpen) access.close();
      isOpen = false;
    };
    return {
      get length() {
        return length;
      },
      async read(offset, count) {
        const bytes = new Uint8Array(count);
        if (access.read(bytes, { at: offset }) === count) return bytes;
        throw new FileError(`${key} has become shorter`, { op });
      },
      async append(bytes) {
        for (let done = 0; done < bytes.length; ) {
          let written = 0;
          try {
            written = access.write(bytes.subarray(done), { at: length });
          } catch (cause) {
            throw new NoCacheError(`cannot store ${key}: ${reasonOf(cause)}`, { op, cause });
          }
          if (written === 0)
            throw new NoCacheError(`cannot store ${key}: the browser's quota is full`, { op });
          done += written;
          length += written;
        }
      },
      async restart() {
        access.truncate(0);
        length = 0;
      },
      async commit() {
        access.flush();
        close();
        await remark(key, length).catch((cause: unknown) => {
          throw new NoCacheError(`cannot store ${key}: ${reasonOf(cause)}`, { op, cause });
        });
        return blobSource(await handle.getFile());
      },
      async release() {
        if (isOpen) access.flush();
        close();
      },
    };
  }
}
