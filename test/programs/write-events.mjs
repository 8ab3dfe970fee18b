/** Writes event files of everything that SummaryWriter can, into the folder given: see test/golden/check_tensorboard.py. */
import { SummaryWriter } from "../../dist/train/report/summary-writer.js";

const [folder] = process.argv.slice(2);
const now = () => 1700000000.25;

const first = new SummaryWriter(folder, { now });
for (let step = 0; step < 20; step++) first.addScalar("train/loss", 20 - step, step);
await first.addHistogram(
  "weights/a",
  Float64Array.from({ length: 300 }, (_, i) => (((37 * i) % 101) - 50) / 64),
  3,
);
first.addText("args", "# größer", 0);
const pixels = Uint8Array.from({ length: 5 * 7 * 3 }, (_, i) => (i * i * 7) % 256);
await first.addImage("image/rgb", { data: pixels, shape: [5, 7, 3] }, 2, { dataformats: "HWC" });
const gray = Float32Array.from({ length: 5 * 7 }, (_, i) => i / 34);
await first.addImage("image/gray", { data: gray, shape: [5, 7] }, 2, { dataformats: "HW" });
const translucent = Uint8Array.from({ length: 4 * 5 * 7 }, (_, i) => (i * 11) % 256);
await first.addImage("image/rgba", { data: translucent, shape: [4, 5, 7] }, 2);
first.addScalars("both", { train: 1.5, eval: 2.5 }, 4);
first.addHparams(
  { lr: 0.5, name: "b", bf16: true },
  { "eval/loss": 2.5 },
  { runName: "trial", globalStep: 9 },
);
await first.close();

// A run that was resumed at step 9.
const second = new SummaryWriter(folder, { purgeStep: 10, now });
for (let step = 10; step < 15; step++) second.addScalar("train/loss", 100 - step, step);
await second.close();
