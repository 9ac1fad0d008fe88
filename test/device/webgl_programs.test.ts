/** Which shader programs of the WebGL device live: those that are held, and the latest that are not. */
import { describe, expect, it } from "vitest";
import { ProgramCache } from "../../src/device/webgl/programs.js";

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
