/**
 * Shader programs, one per text. Compiling and linking are submitted at once and asked about as late as possible, so
 * that drivers compile many in parallel (twgl's functions wait for each). Executables hold the programs they use; of
 * those that none holds, the latest are kept, as captures that are made anew want the same again.
 */
import { DeviceError } from "../../../core/errors.js";
import type { WarmupProgress } from "../../device.js";

export interface Program {
  readonly handle: WebGLProgram;
  readonly fragment: WebGLShader;
  readonly vertex: VertexShader;
  readonly text: string;
  /** Executables that hold it. */
  holders: number;
  deleted: boolean;
  /** Set when the program was first used: linked, locations known. */
  linked: boolean;
  parameters: WebGLUniformLocation | null;
  scalars: WebGLUniformLocation | null;
  /** Whose parameters the uniform array holds. */
  holds: unknown;
}

/** Shared by the programs of its text. */
interface VertexShader {
  readonly shader: WebGLShader;
  readonly text: string;
  programs: number;
}

/** Programs that are kept though no executable holds them: about those of two training steps. */
const keptIdle = 64;

/** How often a waiting warm-up looks whether the driver is done, in milliseconds. */
const pollInterval = 5;
/** How long it asks at most, before the page has its turn: half a frame. */
const turnMilliseconds = 8;

export class ProgramCache {
  private readonly programs = new Map<string, Program>();
  private readonly vertexShaders = new Map<string, VertexShader>();
  /** Those that nobody holds, the one let go last at the end. */
  private readonly idle = new Set<Program>();
  private current: Program | undefined;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly parallel: { readonly COMPLETION_STATUS_KHR: number } | null,
  ) {}

  /** Programs that exist now. */
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

  /** Takes back one `acquire`. */
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

  /** Makes the program current. @throws DeviceError with the driver's words if it does not compile. */
  use(program: Program, textures: number): void {
    if (!program.linked) this.finish(program, textures);
    if (this.current === program) return;
    this.gl.useProgram(program.handle);
    this.current = program;
  }

  /** Somebody else may have used the context. */
  forgetCurrent(): void {
    this.current = undefined;
  }

  /**
   * Resolves when the driver has compiled all and they are ready for use, or there is nothing to wait for any more: the
   * context lost, the program deleted. `programs` come with the number of their textures. Later uses ask the driver
   * nothing: the answer would wait for the draws before, in which some drivers go on compiling.
   * @throws DeviceError with the driver's words if one does not compile.
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
        // Without the extension finish() itself waits for the program.
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
