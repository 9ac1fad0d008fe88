/** The lifetimes of the WebGL device's shader programs: held ones, and the most recent unused ones. */
import { describe, expect, it } from "vitest";
import { ProgramCache } from "../../src/device/webgl/gl/programs.js";

/** A context that makes and deletes shaders and programs, and knows which there are. */
function countingContext() {
  const live = { Shader: new Set<object>(), Program: new Set<object>() };
  const make = (kind: keyof typeof live) => () => {
    const made = {};
    live[kind].add(made);
    return made;
  };
  const drop = (kind: keyof typeof live) => (made: object) => {
    if (!live[kind].delete(made)) throw new Error(`a ${kind} is deleted that there is not`);
  };
  const nothing = () => {};
  const gl = {
    createShader: make("Shader"),
    deleteShader: drop("Shader"),
    createProgram: make("Program"),
    deleteProgram: drop("Program"),
    shaderSource: nothing,
    compileShader: nothing,
    attachShader: nothing,
    linkProgram: nothing,
  };
  return { gl: gl as unknown as WebGL2RenderingContext, live };
}

describe("programs of the WebGL device", () => {
  it("one text is one program, as long as somebody holds it", () => {
    const { gl, live } = countingContext();
    const programs = new ProgramCache(gl, null);
    const first = programs.acquire("vertex", "a");
    expect(programs.acquire("vertex", "a")).toBe(first);
    expect(programs.acquire("other", "a")).not.toBe(first);
    expect(live.Program.size).toBe(2);
    expect(live.Shader.size).toBe(4);
    programs.close();
    expect([live.Program.size, live.Shader.size]).toEqual([0, 0]);
  });

  it("of those that nobody holds the latest stay, and come back as they are", () => {
    const { gl, live } = countingContext();
    const programs = new ProgramCache(gl, null);
    const held = programs.acquire("vertex", "held");
    programs.acquire("vertex", "held");
    programs.release(held);
    const count = 1000;
    const made = Array.from({ length: count }, (_, i) => programs.acquire(`points ${i % 3}`, `${i}`));
    expect(programs.count).toBe(count + 1);
    for (const program of made) programs.release(program);
    expect(programs.count).toBeLessThan(count / 4);
    expect(live.Program.size).toBe(programs.count);
    expect(programs.acquire("points 0", `${count - 1}`)).toBe(made[count - 1]);
    expect(programs.acquire("points 0", "0")).not.toBe(made[0]);
    expect(programs.acquire("vertex", "held")).toBe(held);
    programs.close();
    expect([live.Program.size, live.Shader.size]).toEqual([0, 0]);
  });
});

describe("warm-up of programs", () => {
  const completionStatus = 0x91b1;
  const linkStatus = 0x8b82;

  /** A driver that is done with compiling when it has been asked `looks` times whether it is. */
  function slowContext(isParallel: boolean, looks: number) {
    const { gl, live } = countingContext();
    let asked = 0;
    const finished = new Set<object>();
    Object.assign(gl, {
      LINK_STATUS: linkStatus,
      flush: () => {},
      useProgram: () => {},
      getUniformLocation: (program: object, name: string) => ({ program, name }),
      uniform1i: () => {},
      isContextLost: () => false,
      getProgramParameter: (program: object, question: number) => {
        if (!live.Program.has(program)) throw new Error("a program is asked about that there is not");
        if (question === linkStatus) {
          if (isParallel && !finished.has(program)) throw new Error("this question would have blocked");
          return true;
        }
        if (asked++ >= looks) finished.add(program);
        return finished.has(program);
      },
    });
    return gl;
  }

  for (const [name, extension] of [
    ["in parallel", { COMPLETION_STATUS_KHR: completionStatus }],
    ["one after the other", null],
  ] as const) {
    it(`${name}: tells how many are done, and lets the event loop turn in between`, async () => {
      const gl = slowContext(extension !== null, 7);
      const programs = new ProgramCache(gl, extension);
      const made = new Map(["a", "b", "c"].map((text) => [programs.acquire("vertex", text), 2]));
      const told: string[] = [];
      let turns = 0;
      const timer = setInterval(() => turns++, 0);
      await programs.warmup(made, (done, all) => told.push(`${done}/${all}`));
      clearInterval(timer);
      expect(told[0]).toBe("0/3");
      expect(told.at(-1)).toBe("3/3");
      expect(told).toEqual([...new Set(told)].sort());
      expect(turns).toBeGreaterThan(0);
      await programs.warmup(made, () => told.push("again"));
      expect(told).not.toContain("again");
      // Nothing is asked any more.
      gl.getProgramParameter = () => {
        throw new Error("this question may block");
      };
      for (const [program, textures] of made) programs.use(program, textures);
    });
  }

  it("tells of a shader that does not compile", async () => {
    const gl = slowContext(false, 0);
    Object.assign(gl, {
      getProgramParameter: () => false,
      getShaderInfoLog: () => "line 7",
      getProgramInfoLog: () => "",
    });
    const programs = new ProgramCache(gl, null);
    await expect(programs.warmup(new Map([[programs.acquire("vertex", "a"), 1]]))).rejects.toThrow(
      /does not compile: line 7/,
    );
  });

  it("ends when programs are deleted or the context is lost meanwhile", async () => {
    const gl = slowContext(true, Number.POSITIVE_INFINITY);
    const programs = new ProgramCache(gl, { COMPLETION_STATUS_KHR: completionStatus });
    const waiting = programs.warmup(new Map([[programs.acquire("vertex", "a"), 1]]));
    programs.close();
    await waiting;
    const other = new ProgramCache(gl, { COMPLETION_STATUS_KHR: completionStatus });
    const more = other.warmup(new Map([[other.acquire("vertex", "a"), 1]]));
    gl.isContextLost = () => true;
    await more;
  });
});
