/** Requests that wait and try again where the server or the network asks for it: RFC 9110, section 10.2.3 (Retry-After). */
import { FileError } from "../formats/file.js";
import { type Fetch, networkReason } from "../formats/url_source.js";

/** Statuses that may be others in a moment: timeout, too early, too many requests, failures of servers. */
const passing = new Set([408, 425, 429, 500, 502, 503, 504]);
const maxRetries = 4;
/** Milliseconds before the first retry; each waits twice as long as the one before it. */
const firstDelay = 200;
/** Most milliseconds that a server's Retry-After is obeyed; longer ones are an error that says so. */
const longestDelay = 60_000;

/** No server answers. */
export class NetworkError extends FileError {}

/**
 * `fetch` with headers of a source, and retries. `headers` go with every request to `origin`; fetch itself leaves credentials out behind a redirect to elsewhere.
 * @throws NetworkError where the network fails at each try; the reason of the signal.
 */
export function retryingFetch(
  op: string,
  origin: string,
  headers: Readonly<Record<string, string>> = {},
): Fetch {
  return async (url, init = {}) => {
    const signal = init.signal ?? undefined;
    const own = new URL(url).origin === origin ? headers : {};
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt === maxRetries;
      let delay = firstDelay * 2 ** attempt;
      try {
        const response = await fetch(url, { ...init, headers: { ...(init.headers as object), ...own } });
        const asked = delayOf(response.headers.get("retry-after"));
        if (!passing.has(response.status) || isLast || (asked ?? 0) > longestDelay) return response;
        await response.body?.cancel().catch(() => {});
        delay = asked ?? delay;
      } catch (error) {
        signal?.throwIfAborted();
        if (isLast)
          throw new NetworkError(`cannot fetch ${url}: ${networkReason(error)}`, { op, cause: error });
      }
      await pause(delay, signal);
    }
  };
}

/** Milliseconds: seconds, or a date. */
function delayOf(retryAfter: string | null): number | undefined {
  if (retryAfter === null) return undefined;
  const seconds = Number(retryAfter);
  const delay = Number.isNaN(seconds) ? Date.parse(retryAfter) - Date.now() : 1000 * seconds;
  return Number.isNaN(delay) ? undefined : Math.max(0, delay);
}

/** @throws the reason of `signal` */
export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
