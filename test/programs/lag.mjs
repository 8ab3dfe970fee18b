/**
 * Measures how late a timer of 10 ms comes while native work of about half a second at a time runs. Prints the 99th
 * percentile of the lag, in ms, and how long the work took.
 */
import { matmul, randn, scope } from "trainformer";

const weight = randn([512, 512], { std: 1 / 23 });
const work = (count) =>
  scope(() => {
    let x = weight;
    for (let i = 0; i < count; i++) x = matmul(x, weight);
    return x;
  });

/** How many products take about half a second. */
async function calibrate() {
  for (let count = 8; ; count *= 2) {
    const start = performance.now();
    await work(count).toTypedArray();
    const elapsed = performance.now() - start;
    if (elapsed > 100) return Math.min(1500, Math.ceil((count * 500) / elapsed));
  }
}

const count = await calibrate();
const lags = [];
let due = performance.now() + 10;
const timer = setInterval(() => {
  const now = performance.now();
  lags.push(Math.max(0, now - due));
  due = now + 10;
}, 10);
const start = performance.now();
for (let i = 0; i < 6; i++) await work(count).data();
const elapsed = performance.now() - start;
clearInterval(timer);
lags.sort((a, b) => a - b);
console.log(JSON.stringify({ p99: lags[Math.floor(lags.length * 0.99)], ticks: lags.length, elapsed }));
