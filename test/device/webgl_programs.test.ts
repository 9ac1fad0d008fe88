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

describe("warm-up of programs", () => {
  const completionStatus = 0x91b1;
  const linkStatus = 0x8b82;

  /** A driver that has compiled everything when it has been asked `looks` times about `question`. */
  function slowContext(question: number, looks: number) {
    const { gl, live } = countingContext();
    let asked = 0;
    Object.assign(gl, {
      LINK_STATUS: linkStatus,
      flush: () => {},
      isContextLost: () => false,
      getProgramParameter: (program: object, what: number) => {
        if (!live.Program.has(program)) throw new Error("a program is asked about that there is not");
        if (what !== question) throw new Error("asked about something else, which may block");
        return asked++ >= looks;
      },
    });
    return gl;
  }

  for (const [name, extension] of [
    ["in parallel", { COMPLETION_STATUS_KHR: completionStatus }],
    ["one after the other", null],
  ] as const) {
    it(`${name}: tells how many are done, and lets the event loop turn in between`, async () => {
      const gl = extension ? slowContext(completionStatus, 7) : slowContext(linkStatus, 0);
      const programs = new ProgramCache(gl, extension);
      const made = ["a", "b", "c"].map((text) => programs.acquire("vertex", text));
      const told: string[] = [];
      let turns = 0;
      const timer = setInterval(() => turns++, 0);
      await programs.warmup(made, (done, all) => told.push(`${done}/${all}`));
      clearInterval(timer);
      expect(told[0]).toBe("0/3");
      expect(told.at(-1)).toBe("3/3");
      expect(told).toEqual([...new Set(told)].sort());
      expect(turns).toBeGreaterThan(0);
      if (!extension) expect(told).toEqual(["0/3", "1/3", "2/3", "3/3"]);
      await programs.warmup(made, () => told.push("again"));
      expect(told).not.toContain("again");
    });
  }

  it("ends when programs are deleted or the context is lost meanwhile", async () => {
    const gl = slowContext(completionStatus, Number.POSITIVE_INFINITY);
    const programs = new ProgramCache(gl, { COMPLETION_STATUS_KHR: completionStatus });
    const waiting = programs.warmup([programs.acquire("vertex", "a")]);
    programs.close();
    await waiting;
    const other = new ProgramCache(gl, { COMPLETION_STATUS_KHR: completionStatus });
    const more = other.warmup([other.acquire("vertex", "a")]);
    gl.isContextLost = () => true;
    await more;
  });
});
