/** Executes the draws of an executable: textures in and out, uniforms, bands of long draws. */

import type { WebglExecutable } from "./executable.js";
import type { WebglBuffer } from "./gl/buffer.js";
import { RunFlag } from "./gl/flag.js";
import type { Program, ProgramCache } from "./gl/programs.js";
import { type Format, formats, lanes, type TextureLayout } from "./gl/storage.js";
import type { Texture, TexturePool } from "./gl/texture_pool.js";
import { flagTexture, type Pass, type TextureId } from "./shader/pass.js";
import { ShaderBuilder, type ShaderTarget, texelHere } from "./shader/shader.js";

/** The executable and buffers of a run. */
interface Run {
  readonly executable: WebglExecutable;
  readonly leaves: readonly WebglBuffer[];
  readonly scalars: readonly number[];
  readonly flag: RunFlag | undefined;
}

export class Runner {
  /** The flag of runs that cannot fail, which is never set. */
  private noFlag: RunFlag | undefined;
  private scalarWords = new Int32Array(64);
  private scalarFloats = new Float32Array(this.scalarWords.buffer);

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly layout: TextureLayout,
    private readonly pool: TexturePool,
    private readonly programs: ProgramCache,
    private readonly flopsPerDraw: number,
  ) {}

  run(
    executable: WebglExecutable,
    leaves: readonly WebglBuffer[],
    scalars: readonly number[],
    flag: RunFlag | undefined,
  ): void {
    const run: Run = { executable, leaves, scalars, flag };
    const { steps, temporaries } = executable;
    const shaders = executable.shadersIn(this.programs);
    this.noFlag ??= this.makeFlag(1);
    try {
      steps.forEach(({ step, dies }, i) => {
        if (step.kind === "pass") this.draw(step.pass, shaders[i]!, run);
        else this.replace(step.slot, step.by, run);
        for (const id of dies) this.drop(id, temporaries);
      });
      // Otherwise the browser may delay the commands until the caller's task ends.
      this.gl.flush();
    } finally {
      // Temporaries remain only after an error.
      for (let id = executable.leafCount; id < temporaries.length; id++) this.drop(id, temporaries);
    }
  }

  private drop(id: TextureId, temporaries: (Texture | undefined)[]): void {
    const texture = temporaries[id];
    if (texture === undefined) return;
    this.pool.release(texture);
    temporaries[id] = undefined;
  }

  /** Copies texels of one buffer's texture to another by rendering. */
  copy(from: Texture, to: Texture, texels: number, target: ShaderTarget): void {
    const { gl, programs } = this;
    const shader = new ShaderBuilder(target, { formatOf: () => to.format, sizeOf: () => texels * lanes });
    shader.store(1, "float32", texelHere(shader, 0, "float32"));
    const { vertex, fragment } = shader.build({ name: "copy", texels, flops: 0 });
    const program = programs.acquire(vertex, fragment);
    programs.use(program, 1);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, from.handle);
    gl.bindSampler(0, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.pool.framebuffer([to]));
    const { width, height } = this.layout.region(texels);
    gl.viewport(0, 0, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    programs.release(program);
  }

  /** A flag with `size` texels, none set; the caller holds it once. */
  makeFlag(size: number): RunFlag {
    const row = { width: 2 ** Math.ceil(Math.log2(size)), height: 1 };
    const flag = new RunFlag(this.pool.acquire(formats.rgba32i, size, row), size, this.pool);
    this.clearFlag(flag);
    return flag;
  }

  clearFlag({ texture }: RunFlag): void {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.pool.framebuffer([texture]));
    gl.clearBufferiv(gl.COLOR, 0, [0, 0, 0, 0]);
  }

  /** Sets a texel of a flag if a texel of another flag is set. */
  mergeFlag(from: RunFlag, texel: number, to: RunFlag, at: number, target: ShaderTarget): void {
    const { gl, programs } = this;
    const shader = new ShaderBuilder(target, { formatOf: () => formats.rgba32i, sizeOf: () => lanes });
    shader.add(
      `sent = texelFetch(${shader.sampler(0, "int32")}, ivec2(${shader.int(texel)}, 0), 0);`,
      "gl_Position = vec4(sent.x != 0 ? 0.0 : 2.0, 0.0, 0.0, 1.0);",
    );
    const pass = shader.buildPoints({ name: "flag", texels: 1, flops: 0 }, 1, "ivec4", []);
    const program = programs.acquire(pass.vertex, pass.fragment);
    programs.use(program, 1);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, from.texture.handle);
    gl.bindSampler(0, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.pool.framebuffer([to.texture]));
    this.setUniforms(pass, program, []);
    gl.viewport(at, 0, 1, 1);
    gl.drawArrays(gl.POINTS, 0, 1);
    programs.release(program);
  }

  close(): void {
    this.noFlag?.release();
    this.noFlag = undefined;
  }

  private textureOf(id: TextureId, { executable, leaves, flag }: Run): Texture {
    if (id === flagTexture) return (flag ?? this.noFlag!).texture;
    if (id < executable.leafCount) return leaves[id].texture;
    executable.temporaries[id] ??= this.acquire(id, executable.formats[id], executable);
    return executable.temporaries[id];
  }

  private acquire(id: TextureId, format: Format, { texels, targetLayouts }: WebglExecutable): Texture {
    return this.pool.acquire(format, texels[id], targetLayouts[id]);
  }

  /** Replaces the texture of a slot and frees the old one. */
  private exchange(id: TextureId, texture: Texture, { executable, leaves }: Run): void {
    if (id < executable.leafCount) {
      this.pool.release(leaves[id].texture);
      leaves[id].texture = texture;
    } else {
      const old = executable.temporaries[id];
      if (old) this.pool.release(old);
      executable.temporaries[id] = texture;
    }
  }

  private replace(slot: TextureId, by: TextureId, run: Run): void {
    const texture = this.textureOf(by, run);
    run.executable.temporaries[by] = undefined;
    this.exchange(slot, texture, run);
  }

  private draw(pass: Pass, shader: Program, run: Run): void {
    const { gl, pool, programs } = this;
    const { executable } = run;
    programs.use(shader, pass.textures.length);
    const inputs = pass.textures.map((id) => this.textureOf(id, run));
    // A texture cannot be sampled and rendered to in one draw: such an output gets a new texture.
    const fresh: [TextureId, Texture][] = [];
    const isFlag = pass.flag !== undefined;
    const targets = isFlag
      ? [run.flag!.texture]
      : pass.outputs.map((id) => {
          const current = this.textureOf(id, run);
          if (!inputs.includes(current)) return current;
          const texture = this.acquire(id, current.format, executable);
          fresh.push([id, texture]);
          return texture;
        });
    inputs.forEach((texture, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(texture.layers === undefined ? gl.TEXTURE_2D : gl.TEXTURE_2D_ARRAY, texture.handle);
      gl.bindSampler(unit, null);
    });
    gl.bindFramebuffer(gl.FRAMEBUFFER, pool.framebuffer(targets));
    this.setUniforms(pass, shader, run.scalars);
    const whole = pass.targetLayout ?? this.layout.region(pass.texels);
    const { width, height } = isFlag ? { width: 1, height: 1 } : whole;
    gl.viewport(pass.flag ?? 0, 0, width, height);
    if (pass.points !== undefined) this.drawPoints(pass);
    else this.drawBands(pass, width, height);
    for (const [id, texture] of fresh) this.exchange(id, texture, run);
  }

  private drawPoints({ points, flag, channels }: Pass): void {
    const { gl } = this;
    const adds = flag === undefined && channels === undefined;
    const isMasked = channels !== undefined && channels !== 0b1111;
    if (isMasked)
      gl.colorMask((channels & 1) > 0, (channels & 2) > 0, (channels & 4) > 0, (channels & 8) > 0);
    if (adds) {
      gl.enable(gl.BLEND);
      gl.blendEquation(gl.FUNC_ADD);
      gl.blendFunc(gl.ONE, gl.ONE);
    }
    gl.drawArrays(gl.POINTS, 0, points!);
    if (isMasked) gl.colorMask(true, true, true, true);
    if (adds) gl.disable(gl.BLEND);
  }

  /** Draws the pass's texels in bands of at most `flopsPerDraw` operations. */
  private drawBands({ flops, range }: Pass, width: number, height: number): void {
    const { gl } = this;
    const isFolded = height > 1;
    let [start, end] = [0, isFolded ? height : width];
    if (range) {
      const unit = isFolded ? width : 1;
      [start, end] = [Math.floor(range[0] / unit), Math.ceil(range[1] / unit)];
    }
    const bands = Math.max(1, Math.min(end - start, Math.ceil(flops / this.flopsPerDraw)));
    if (bands === 1 && !range) {
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      return;
    }
    gl.enable(gl.SCISSOR_TEST);
    for (let band = 0; band < bands; band++) {
      const from = start + Math.floor((band * (end - start)) / bands);
      const to = start + Math.floor(((band + 1) * (end - start)) / bands);
      if (isFolded) gl.scissor(0, from, width, to - from);
      else gl.scissor(from, 0, to - from, height);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      if (bands > 1) gl.flush();
    }
    gl.disable(gl.SCISSOR_TEST);
  }

  private setUniforms(pass: Pass, shader: Program, values: readonly number[]): void {
    const { gl } = this;
    if (shader.parameters && shader.holds !== pass) {
      gl.uniform4iv(shader.parameters, pass.parameters);
      shader.holds = pass;
    }
    if (shader.scalars && pass.scalars.length > 0) {
      const { scalarWords, scalarFloats } = this;
      const words = Math.ceil(pass.scalars.length / 4) * 4;
      pass.scalars.forEach(({ index, integer }, i) => {
        if (integer) scalarWords[i] = values[index];
        else scalarFloats[i] = values[index];
      });
      gl.uniform4iv(shader.scalars, scalarWords, 0, words);
    }
  }
}
