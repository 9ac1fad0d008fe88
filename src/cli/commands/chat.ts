/** `wattgrad chat`: a conversation with a language model, in a terminal or through pipes. */
import { createInterface, type Interface } from "node:readline";
import { Command } from "commander";
import { type DeviceChoice, openDevice } from "../../device/select.js";
import { ContextFullError } from "../../generation/index.js";
import type { TextGenerationPipeline } from "../../pipeline/index.js";
import type { Message } from "../../text/index.js";
import { exitCodes, InterruptedError, lineOf, UsageError } from "../exit.js";
import { type LanguageScheme, modelArgument, openPipeline, quantizeOption } from "../language.js";
import { deviceOption } from "../options.js";
import { type SamplingOptions, settingsOf, textFor, withSamplingOptions } from "../sampling.js";
import { say } from "../terminal.js";

interface ChatCommandOptions extends SamplingOptions {
  readonly system?: string;
  readonly quantize?: LanguageScheme;
  readonly device: DeviceChoice;
  readonly quiet?: boolean;
}

const examples = `
A line is a message. /reset begins a new chat, /exit or the end of the input leaves. Ctrl-C stops an answer; where there is none, it leaves.

Examples:
  wattgrad chat models/smollm2
  wattgrad chat hub:HuggingFaceTB/SmolLM2-135M-Instruct --system "Answer in one sentence." --quantize int8-dynamic
  printf 'What is the capital of France?\\n' | wattgrad chat models/smollm2 --quiet`;

export function chatCommand(): Command {
  const command = new Command("chat")
    .description("chat with a language model")
    .argument("<model>", modelArgument)
    .option("--system <text>", "a system message in front of the chat");
  return withSamplingOptions(command, 512)
    .addOption(quantizeOption())
    .addOption(deviceOption())
    .option("--quiet", "no progress and no figures")
    .addHelpText("after", examples)
    .action(runChat);
}

async function runChat(name: string, options: ChatCommandOptions): Promise<void> {
  const { quiet, quantize } = options;
  const ending = new Ending();
  try {
    const device = await openDevice(options.device);
    const opening = { device, signal: ending.signal, quiet, quantize };
    const write = await openPipeline("text-generation", name, opening);
    if (write.tokenizer.chatTemplates.length === 0) {
      throw new UsageError(`${name} has no chat template: wattgrad generate continues texts with it`);
    }
    await converse(write, options, ending);
  } catch (error) {
    if (!ending.signal.aborted) throw error;
    throw new InterruptedError("interrupted");
  } finally {
    ending.dispose();
  }
}

/** Ctrl-C: stops the answer that is being written; where there is none, the program. */
class Ending {
  readonly #program = new AbortController();
  #answer: AbortController | undefined;
  readonly #listener = () => this.interrupt();

  constructor() {
    process.on("SIGINT", this.#listener);
  }

  /** Aborted when the program is to end. */
  get signal(): AbortSignal {
    return this.#program.signal;
  }

  interrupt(): void {
    if (this.#answer !== undefined && !this.#answer.signal.aborted) this.#answer.abort();
    else if (this.#program.signal.aborted) process.exit(exitCodes.interrupted);
    else this.#program.abort();
  }

  /** Runs `work`, whose signal the next interrupt aborts. */
  async answer<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#answer = new AbortController();
    try {
      return await work(this.#answer.signal);
    } finally {
      this.#answer = undefined;
    }
  }

  dispose(): void {
    process.off("SIGINT", this.#listener);
  }
}

async function converse(
  write: TextGenerationPipeline,
  options: ChatCommandOptions,
  ending: Ending,
): Promise<void> {
  const isTerminal = process.stdin.isTTY && process.stderr.isTTY;
  const start = (): Message[] =>
    options.system === undefined ? [] : [{ role: "system", content: options.system }];
  let chat = start();
  const reader = createInterface({
    input: process.stdin,
    // The prompt and what is typed are no output of the command.
    ...(isTerminal && { output: process.stderr, prompt: "> " }),
  });
  // In a terminal the reader takes Ctrl-C.
  reader.on("SIGINT", () => ending.interrupt());
  ending.signal.addEventListener("abort", () => reader.close());
  try {
    if (isTerminal) reader.prompt();
    for await (const line of linesOf(reader)) {
      const message = line.trim();
      if (message === "/exit") break;
      if (message === "/reset") chat = start();
      else if (message.startsWith("/")) say("/reset begins a new chat, /exit leaves");
      else if (message !== "")
        chat = await reply(write, [...chat, { role: "user", content: message }], options, ending);
      if (isTerminal) reader.prompt();
    }
  } finally {
    reader.close();
  }
  ending.signal.throwIfAborted();
}

/** Lines as they come, also those that come while an answer is being written. */
async function* linesOf(reader: Interface): AsyncGenerator<string, undefined> {
  const lines: string[] = [];
  let isClosed = false;
  let wake = () => {};
  reader.on("line", (line) => {
    lines.push(line);
    wake();
  });
  reader.on("close", () => {
    isClosed = true;
    wake();
  });
  for (;;) {
    const line = lines.shift();
    if (line !== undefined) yield line;
    else if (isClosed) return;
    else {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
}

/** The chat with the model's answer; without the message where it could not be answered. */
async function reply(
  write: TextGenerationPipeline,
  chat: readonly Message[],
  options: ChatCommandOptions,
  ending: Ending,
): Promise<Message[]> {
  let answer = "";
  let tokens = 0;
  let [first, last] = [0, 0];
  const begin = performance.now();
  let isFull = false;
  try {
    await ending.answer(async (signal) => {
      const stream = write.stream(chat, { ...settingsOf(options), signal });
      for await (const { text } of stream) {
        last = performance.now();
        first ||= last;
        tokens++;
        answer += text;
        process.stdout.write(textFor(process.stdout, text));
      }
      isFull = (await stream.finish()).reasons[0] === "context";
    });
  } catch (error) {
    if (error instanceof ContextFullError) {
      const sentence = `${lineOf(error).replace("wattgrad: ", "")}. /reset begins a new chat`;
      if (!process.stdin.isTTY) throw new Error(sentence);
      say(sentence);
      return chat.slice(0, -1);
    }
    // Only the answer was stopped: it stays as far as it came.
    if ((error as Error)?.name !== "AbortError" || ending.signal.aborted) throw error;
  }
  process.stdout.write("\n");
  if (isFull) say("the context is full: /reset begins a new chat");
  else if (!options.quiet && tokens > 1) {
    const speed = (1000 * (tokens - 1)) / (last - first);
    say(
      `(${tokens} tokens at ${speed.toFixed(1)}/s, the first after ${((first - begin) / 1000).toFixed(1)} s)`,
    );
  }
  return [...chat, { role: "assistant", content: answer }];
}
