import { spawn } from "node:child_process";

/** What opens an address with the program that is set for it. */
const opener = process.platform === "darwin" ? "open" : "xdg-open";

/** Opens an address in the browser of whoever is logged in, without waiting; a failure is told and no more. */
export function openInBrowser(url: string, say: (line: string) => void): void {
  const child = spawn(opener, [url], { stdio: "ignore", detached: true });
  child.on("error", ({ message }) => say(`  the browser could not be opened: ${message}`));
  child.on("exit", (code) => {
    if (code) say(`  the browser could not be opened: ${opener} ended with ${code}`);
  });
  child.unref();
}
