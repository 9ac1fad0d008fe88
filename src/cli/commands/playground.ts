/** `wattgrad playground`: serves the page that trains in the browser. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Command } from "commander";
import { isPublicAddress } from "../../playground/local_server.js";
import { startPlayground } from "../../playground/server.js";
import { listenForInterrupt } from "../interrupt.js";
import { portNumber } from "../options.js";
import { packageRoot } from "../package.js";
import { print, say } from "../terminal.js";

interface PlaygroundCommandOptions {
  readonly port: number;
  readonly host: string;
  readonly open?: boolean;
}

const defaultPort = 8470;

const examples = `
Ctrl-C ends it.

Examples:
  wattgrad playground --open
  wattgrad playground --host 0.0.0.0              for the phones in your network, too`;

export function playgroundCommand(): Command {
  return new Command("playground")
    .description("serve a page that trains in the browser: plots, test images, digits of your own")
    .option("--port <n>", "port to listen on; 0 for any that is free", portNumber, defaultPort)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--open", "open the page in the default browser")
    .addHelpText("after", examples)
    .action(runPlayground);
}

async function runPlayground({ port, host, open }: PlaygroundCommandOptions): Promise<void> {
  const playground = await startPlayground({ root: packageRoot(), port, host });
  const interrupt = listenForInterrupt(() => {});
  if (isPublicAddress(host))
    say(`wattgrad: ${host} is no address of this machine alone: whoever reaches it can open the page`);
  try {
    print(`wattgrad playground: ${playground.url} (Ctrl-C ends it)`);
    if (open) openInBrowser(playground.url);
    if (!interrupt.signal.aborted) await once(interrupt.signal, "abort");
  } finally {
    await playground.close();
    interrupt.dispose();
  }
}

/** Hands the address to the desktop; where there is none, the user has it on the screen. */
function openInBrowser(url: string): void {
  const commands: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
    darwin: ["open"],
    win32: ["cmd", "/c", "start", ""],
  };
  const [command, ...args] = commands[process.platform] ?? ["xdg-open"];
  const failed = () => say(`wattgrad: no browser could be opened; the address is ${url}`);
  const child = spawn(command, [...args, url], { stdio: "ignore", detached: true });
  child.on("error", failed);
  child.on("exit", (code) => {
    if (code !== 0) failed();
  });
  child.unref();
}
