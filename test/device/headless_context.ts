/**
 * A WebGL2 context in Node, of headless-gl (`npm install --no-save gl@9.0.0-rc.10`), which is no dependency. That version
 * is not all of WebGL2: what the device uses and it lacks, or has wrong, is put in its place here.
 */

export interface HeadlessContext {
  readonly gl: WebGL2RenderingContext;
  /** Of the package `gl`. */
  readonly version: string;
}

/** A context, or why there is none. */
export async function headlessContext(): Promise<HeadlessContext | string> {
  let create: (width: number, height: number, options: object) => WebGL2RenderingContext | null;
  // A variable, so that TypeScript does not look for it.
  const name = "gl";
  try {
    ({ default: create } = await import(/* @vite-ignore */ name));
  } catch (error) {
    return `the package gl cannot be loaded (${String(error).split("\n")[0]})`;
  }
  const gl = create(1, 1, { createWebGL2Context: true });
  if (gl === null) return "the package gl makes no WebGL2 context (it needs a display, such as Xvfb's)";
  // For example: WebGL 1.0 stack-gl 9.0.0-rc.10
  const version = String(gl.getParameter(gl.VERSION)).split(" ").at(-1)!;
  addPixelBuffers(gl);
  addArguments(gl);
  return { gl, version };
}

type Method = (...args: never[]) => unknown;

/** Puts another method in the place of one, which is given the old one. */
function replace(
  gl: WebGL2RenderingContext,
  name: keyof WebGL2RenderingContext,
  by: (old: (...args: unknown[]) => unknown, args: unknown[]) => unknown,
): void {
  const old = gl[name] as Method;
  Object.assign(gl, {
    [name]: (...args: unknown[]) => by((...own) => Reflect.apply(old, gl, own), args),
  });
}

/** It binds no pixel buffers: reads into one arrive at once, in host memory. */
function addPixelBuffers(gl: WebGL2RenderingContext): void {
  const contents = new WeakMap<WebGLBuffer, ArrayBuffer>();
  let pack: WebGLBuffer;
  const bytes = () => contents.get(pack)!;
  replace(gl, "bindBuffer", (old, args) => {
    if (args[0] === gl.PIXEL_PACK_BUFFER) pack = args[1] as WebGLBuffer;
    else if (args[0] !== gl.PIXEL_UNPACK_BUFFER) old(...args);
  });
  replace(gl, "bufferData", (old, args) => {
    if (args[0] === gl.PIXEL_PACK_BUFFER) contents.set(pack, new ArrayBuffer(args[1] as number));
    else old(...args);
  });
  replace(gl, "readPixels", (old, args) => {
    const [width, height, , type, into] = args.slice(2) as number[];
    if (typeof into === "number") {
      const Values = type === gl.FLOAT ? Float32Array : type === gl.INT ? Int32Array : Uint32Array;
      args[6] = new Values(bytes(), into, width * height * 4);
    }
    old(...args);
  });
  replace(gl, "getBufferSubData", (_, [, from, into]) => {
    (into as Uint8Array).set(new Uint8Array(bytes(), from as number, (into as Uint8Array).length));
  });
}

/** Arguments that WebGL2 takes and it does not. */
function addArguments(gl: WebGL2RenderingContext): void {
  // Integers come as bytes only.
  replace(gl, "texSubImage2D", (old, args) => {
    const data = args[8];
    if (ArrayBuffer.isView(data) && !(data instanceof Float32Array)) {
      args[8] = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    }
    old(...args);
  });
  // Uniform arrays go by the name of their first element only.
  replace(
    gl,
    "getUniformLocation",
    (old, [program, name]) => old(program, `${name}[0]`) ?? old(program, name),
  );
  // Plain arrays of values crash it.
  replace(gl, "clearBufferiv", (old, [buffer, target, values]) =>
    old(buffer, target, Int32Array.from(values as number[])),
  );
  // It takes every colour attachment for the first: a draw has one target.
  replace(gl, "getParameter", (old, [which]) => (which === gl.MAX_DRAW_BUFFERS ? 1 : old(which)));
  // The first attachment is what framebuffers are read from unless told otherwise.
  replace(gl, "readBuffer", () => {});
}
