/** In a page: WebGL2 contexts that can be lost on request, and that count their resources. */

/** A context that is lost when it is told to, and restored a moment later. */
export interface FragileContext {
  readonly gl: WebGL2RenderingContext;
  /** Draws so far. */
  draws(): number;
  /** Loses the context in the middle of the draw with that number, counted from 0; and restores it. */
  loseAt(draw: number): void;
  lose(): void;
  /** Resolves when the browser has restored it. */
  restore(): Promise<void>;
}

/** Milliseconds from the event that tells a loss until the browser gets the context back. */
const downtime = 20;

export function fragileContext(canvas: OffscreenCanvas | HTMLCanvasElement): FragileContext {
  const gl = canvas.getContext("webgl2") as WebGL2RenderingContext;
  const extension = gl.getExtension("WEBGL_lose_context")!;
  const due = new Set<number>();
  let draws = 0;
  let told = Promise.resolve();
  const lose = () => {
    if (gl.isContextLost()) return;
    told = nextEvent(canvas, "webglcontextlost");
    extension.loseContext();
  };
  const restore = async () => {
    const restored = nextEvent(canvas, "webglcontextrestored");
    // Browsers refuse to restore a context whose loss they have not told yet; events and timers keep no order.
    await told;
    setTimeout(() => extension.restoreContext(), downtime);
    await restored;
  };
  const drawArrays = gl.drawArrays.bind(gl);
  gl.drawArrays = (...args) => {
    drawArrays(...args);
    if (!due.delete(draws++)) return;
    lose();
    restore();
  };
  return { gl, draws: () => draws, loseAt: (draw) => due.add(draw), lose, restore };
}

function nextEvent(target: EventTarget, name: string): Promise<void> {
  return new Promise((resolve) => target.addEventListener(name, () => resolve(), { once: true }));
}

const counted = ["Texture", "Program", "Shader", "Buffer", "Framebuffer", "VertexArray", "Sampler"] as const;

/** Objects of each kind that were made in the context and not deleted, from now on. */
export function countObjects(gl: WebGL2RenderingContext): Record<string, number> {
  const live: Record<string, number> = { Sync: 0 };
  const wrap = (create: string, destroy: string, kind: string) => {
    const own = gl as unknown as Record<string, (...args: unknown[]) => unknown>;
    const [make, drop] = [own[create].bind(gl), own[destroy].bind(gl)];
    own[create] = (...args) => {
      live[kind]++;
      return make(...args);
    };
    own[destroy] = (object) => {
      if (object) live[kind]--;
      return drop(object);
    };
  };
  for (const kind of counted) {
    live[kind] = 0;
    wrap(`create${kind}`, `delete${kind}`, kind);
  }
  wrap("fenceSync", "deleteSync", "Sync");
  return live;
}
