/**
 * Multiplies matrices of bf16 on the default device, in the layouts that training needs, and prints the largest error of
 * each, relative to the largest value; or what went wrong.
 */
import { matmul, tensor } from "trainformer";

const [M, N, K] = [100, 136, 328];

/** Numbers that bf16 has. */
const values = (count, salt) =>
  Float32Array.from({ length: count }, (_, i) => ((i * 37 + salt) % 61) / 16 - 2);

function worstError(y, a, b) {
  let largest = 0;
  let error = 0;
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0; k < K; k++) sum += a(m, k) * b(k, n);
      largest = Math.max(largest, Math.abs(sum));
      const off = Math.abs(sum - y[m * N + n]);
      error = off <= error ? error : off; // a NaN stays
    }
  }
  return error / largest;
}

const bf16 = (data, shape) => tensor(data, shape).to("bf16");
const [x, w] = [values(M * K, 5), values(K * N, 11)];
const layouts = {
  NN: () => matmul(bf16(x, [M, K]), bf16(w, [K, N])),
  NT: () => matmul(bf16(x, [M, K]), bf16(w, [N, K]).transpose(0, 1)),
  TN: () => matmul(bf16(x, [K, M]).transpose(0, 1), bf16(w, [K, N])),
};
const errors = {};
for (const [layout, product] of Object.entries(layouts)) {
  try {
    const y = await product().toTypedArray();
    const a = layout[0] === "N" ? (m, k) => x[m * K + k] : (m, k) => x[k * M + m];
    const b = layout[1] === "N" ? (k, n) => w[k * N + n] : (k, n) => w[n * K + k];
    const error = worstError(y, a, b);
    errors[layout] = Number.isNaN(error) ? "NaN" : error;
  } catch (error) {
    errors[layout] = error.message;
  }
}
console.log(JSON.stringify(errors));
