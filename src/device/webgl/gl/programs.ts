/**
 * Shader programs, one per source text. Compilation and linking are submitted at once and queried as late as possible, so that drivers
 * compile many in parallel (twgl waits for each). Executables hold the programs they use; the most recent unused ones are kept, because
 * new recordings of a function often need them again.
 */
import { DeviceError } from "../../../core/errors.js";
import type { WarmupProgress } from "../../device.js";

export interface Program {
  readonly handle: WebGLProgram;
  readonly fragment: WebGLShader;
  readonly vertex: VertexShader;
  readonly text: string;
  /** Number of executables that hold it. */
  holders: number;
  deleted: boolean;
  /** Set at the first use: the program is linked and its locations are known. */
  linked: boolean;
  parameters: WebGLUniformLocation | null;
  scalars: WebGLUniformLocation | null;
  /** The pass whose parameters are in the uniform array. */
  holds: unknown;
}

/** Shared by the programs of its text. */
interface VertexShader {
  readonly shader: WebGLShader;
  readonly text: string;
  programs: number;
}

/** Maximum number of unused programs kept: about those of two training steps. */
const keptIdle = 64;

/** Poll interval of a warm-up in ms. */
const pollInterval = 5;
/** Maximum time in ms of one poll before it yields to the page: half a frame. */
const turnMilliseconds = 8;

export class ProgramCache {
  private readonly programs = new Map<string, Program>();
  private readonly vertexShaders = new Map<string, VertexShader>();
  /** Unused programs, the most recently released last. */
  private readonly idle = new Set<Program>();
  private current: Program | undefined;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly parallel: { readonly COMPLETION_STATUS_KHR: number } | null,
  ) {}

  /** Number of programs. */
  get count(): number {
    return this.programs.size;
  }

  /** The program of these texts, held until `release`; submits it to the driver if it is new. */
  acquire(vertex: string, fragment: string): Program {
    const key = keyOf(vertex, fragment);
    let program = this.programs.get(key);
    if (program === undefined) {
      program = this.submit(vertex, fragment);
      this.programs.set(key, program);
    }
    program.holders++;
    this.idle.delete(program);
    return program;
  }

  /** Ends one `acquire`. */
  release(program: Program): void {
    program.holders--;
    if (program.holders > 0) return;
    this.idle.add(program);
    for (const oldest of this.idle) {
      if (this.idle.size <= keptIdle) break;
      this.idle.delete(oldest);
      this.delete(oldest);
    }
  }

  /** Makes the program current. @throws DeviceError with the driver's log if it does not compile. */
  use(program: Program, textures: number): void {
    if (!program.linked) this.finish(program, textures);
    if (this.current === program) return;
    this.gl.useProgram(program.handle);
    this.current = program;
  }

  /** Forgets the current program, because other code may have used the context. */
  forgetCurrent(): void {
    this.current = undefined;
  }

  /**
   * Resolves when the driver has compiled all programs and they are linked, or when the context is lost or the programs are deleted. The
   * map's values are numbers of textures. Later uses do not query the driver, because the answer would wait for earlier draws, during
   * which some drivers continue compiling.
   * @throws DeviceError with the driver's log if one does not compile.
   */
  async warmup(programs: ReadonlyMap<Program, number>, progress?: WarmupProgress): Promise<void> {
    const waiting = new Set([...programs.keys()].filter(({ linked }) => !linked));
    if (waiting.size === 0) return;
    const all = waiting.size;
    const { gl, parallel } = this;
    gl.flush();
    progress?.(0, all);
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, parallel === null ? 0 : pollInterval));
      const before = waiting.size;
      const end = performance.now() + turnMilliseconds;
      for (const program of waiting) {
        const isGone = program.deleted || gl.isContextLost();
        // Without KHR_parallel_shader_compile, finish() waits for the program.
        const isReady =
          isGone ||
          parallel === null ||
          gl.getProgramParameter(program.handle, parallel.COMPLETION_STATUS_KHR);
        if (!isGone && !program.linked && isReady) this.finish(program, programs.get(program)!);
        if (isGone || program.linked) waiting.delete(program);
        if (performance.now() > end) break;
      }
      if (waiting.size < before) progress?.(all - waiting.size, all);
      if (waiting.size === 0) return;
    }
  }

  close(): void {
    for (const program of this.programs.values()) this.delete(program);
    this.idle.clear();
    this.current = undefined;
  }

  private delete(program: Program): void {
    const { gl } = this;
    const { handle, fragment, vertex, text } = program;
    program.deleted = true;
    gl.deleteProgram(handle);
    gl.deleteShader(fragment);
    if (this.current === program) this.current = undefined;
    this.programs.delete(keyOf(vertex.text, text));
    vertex.programs--;
    if (vertex.programs > 0) return;
    gl.deleteShader(vertex.shader);
    this.vertexShaders.delete(vertex.text);
  }

  private submit(vertexText: string, text: string): Program {
    const { gl } = this;
    let vertex = this.vertexShaders.get(vertexText);
    if (vertex === undefined) {
      const shader = this.compile(gl.VERTEX_SHADER, vertexText);
      vertex = { shader, text: vertexText, programs: 0 };
      this.vertexShaders.set(vertexText, vertex);
    }
    vertex.programs++;
    const fragment = this.compile(gl.FRAGMENT_SHADER, text);
    const handle = gl.createProgram();
    gl.attachShader(handle, vertex.shader);
    gl.attachShader(handle, fragment);
    gl.linkProgram(handle);
    const unknown = {
      compiled: false,
      deleted: false,
      linked: false,
      parameters: null,
      scalars: null,
      holds: undefined,
    };
    return { handle, fragment, vertex, text, holders: 0, ...unknown };
  }

  private compile(type: number, text: string): WebGLShader {
    const { gl } = this;
    const shader = gl.createShader(type)!;
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    return shader;
  }

  private finish(program: Program, textures: number): void {
    const { gl } = this;
    const { handle, fragment } = program;
    if (!gl.getProgramParameter(handle, gl.LINK_STATUS) && !gl.isContextLost()) {
      const said = [gl.getShaderInfoLog(fragment), gl.getProgramInfoLog(handle)].filter(Boolean).join("\n");
      throw new DeviceError(`a shader does not compile: ${said}`, {
        device: "webgl",
        hint: "please report it with the name of the graphics card; the wasm device works everywhere",
        cause: program.text,
      });
    }
    program.linked = true;
    program.parameters = gl.getUniformLocation(handle, "p");
    program.scalars = gl.getUniformLocation(handle, "s");
    gl.useProgram(handle);
    this.current = program;
    for (let i = 0; i < textures; i++) gl.uniform1i(gl.getUniformLocation(handle, `t${i}`), i);
  }
}

function keyOf(vertex: string, fragment: string): string {
  return `${vertex}\n${fragment}`;
}
