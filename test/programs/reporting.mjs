/** Ends, in the way that the first argument says, while something is reported. */
import { MetricsFile } from "../../dist/train/report/metrics-file.js";
import { ProgressBar } from "../../dist/train/report/progress-bar.js";

const [ending, file] = process.argv.slice(2);

if (ending === "kill") {
  const metrics = await MetricsFile.open(file);
  for (let step = 1; ; step++) {
    await metrics.append({ step, text: "x".repeat(step % 50_000) });
    if (step === 200) process.stdout.write("ready");
  }
}

process.stderr.isTTY = true;
process.stderr.columns = 60;
new ProgressBar().update({ step: 3, steps: 10 });
if (ending === "throw") throw new Error("out of luck");
if (ending === "reject") await Promise.reject(new Error("out of luck"));
if (ending === "exit") process.exit(3);
