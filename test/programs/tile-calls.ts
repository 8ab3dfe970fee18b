/**
 * Calls of products and of attention, which reach every tile that there is, on a device of 2 multiprocessors and the
 * compute capabilities 80, 86 and 90.
 */
import {
  add,
  addBoth,
  addMisaligned,
  below,
  type Draw,
  type Layout,
  type Options,
  table,
} from "./kernel-call.ts";

// ---- products

interface Product {
  readonly B: number;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}
const alongK = (rows: number, K: number): Layout => ({ strides: [rows * K, K, 1] });
const acrossK = (rows: number, K: number): Layout => ({ strides: [rows * K, 1, rows] });
/** a and b along K or not. */
function addLayouts(kernel: string, { B, M, N, K }: Product, options: Options = {}): void {
  for (const a of [alongK(M, K), acrossK(M, K)])
    for (const b of [{ strides: [K * N, N, 1] }, { strides: [K * N, 1, K] }])
      add(kernel, { B, M, N, K }, { ...options, layouts: { ...options.layouts, a, b } });
}
const products = [
  ...table("B M N K", "2 5 7 3"),
  ...table("B M N K", "1 1 131 520", "2 5 91 160"), // few rows
  ...table("B M N K", "1 40 50 43", "2 70 88 49", "1 130 140 75"),
  ...table("B M N K", "1 9 8 2000", "1 64 128 520"), // in parts of K
];
for (const product of products) addLayouts("matmul", product);
addLayouts("matmul", { B: 1, M: 130, N: 500, K: 77 }, { variants: ["f32", "bf16"] });
for (const N of [64, 128, 512])
  addLayouts("matmul", { B: 1, M: N === 64 ? 64 : 128, N, K: 256 }, { variants: ["bf16"], isWhole: true });
addLayouts("matmul", { B: 1, M: 128, N: 128, K: 128 }, { variants: ["f32", "strict"], isWhole: true });
for (const { B, M, N, K } of table("B M N K", "2 40 56 48", "2 72 136 64")) {
  const layouts = { a: alongK(M, K), b: { strides: [K * N, N, 1] } };
  addMisaligned("matmul", { B, M, N, K }, "a b y bias residual pre", {
    layouts,
    present: ["bias", "residual", "pre"],
  });
  addMisaligned("matmul", { B, M, N, K }, "slope", {
    layouts,
    present: ["slope"],
    numbers: { activation: 1 },
  });
  const apart = { a: { strides: [M * K + 1, K, 1] }, b: { strides: [K * N + 1, N, 1] } };
  add("matmul", { B, M, N, K }, { layouts: apart });
  // Rows on 16 bytes that end in between.
  const a = { strides: [M * K, 1, M] };
  const b = { strides: [K * N, N, 1] };
  add("matmul", { B, M: M - 5, N: N - 3, K }, { layouts: { a, b } });
  add("matmul", { B, M, N, K: K - 3 }, { layouts: { a: alongK(M, K), b: { strides: [K * N, 1, K] } } });
  add("matmul", { B, M, N, K }, { layouts: { ...layouts, b: { strides: [0, N, 1] } } });
  add("matmul", { B, M, N, K }, { layouts: { a: { strides: [2 * M * K, 2 * K, 2] } } });
}
for (const { M, N, K } of table(
  "M N K",
  "1 131 520",
  "6 139 80",
  "33 41 20",
  "70 72 40",
  "64 136 72",
  "9 8 2000",
))
  for (const activation of [0, 1, 2, 3, 4]) {
    const sizes = { B: 1, M, N, K };
    const layouts = { b: { strides: [K * N, 1, K] } };
    const given = { layouts, numbers: { activation } };
    add("matmul", sizes, { ...given, present: ["bias", "residual", "pre"] });
    add("matmul", sizes, { ...given, present: ["slope"] });
    const packs = { shape: [K, N], strides: activation % 2 ? [1, K] : [N, 1] } as const;
    const packed = { layouts: { b: { packs } }, numbers: { activation } };
    add("matmul_packed", sizes, { ...packed, present: ["bias", "residual", "pre"] });
  }
for (const adds of [0, 1]) {
  const options = { numbers: { add: adds } };
  for (const product of table("B M N K", "2 5 7 3", "1 6 18 80", "2 70 72 49"))
    addLayouts("matmul_accumulate", product, options);
  const layouts = { y: { strides: [0, 24, 1] } }; // one for all
  add("matmul_accumulate", { B: 3, M: 20, N: 24, K: 16 }, { layouts, ...options });
}

const linear = ["bias", "dx", "dweight", "dbias"];
for (const { N, C, V } of table("N C V", "5 20 13", "1 8 1", "70 72 100", "1030 8 9")) {
  const targets = { draw: below(V) };
  const packs = {
    targets,
    forward: { packs: { shape: [C, V], strides: [1, C], of: "weight" } },
    backward: { packs: { shape: [V, C], of: "weight" } },
  } as const;
  for (const kernel of ["linearcrossentropy_forward", "linearcrossentropy_backward"]) {
    const { backward: _, ...forward } = packs;
    const layouts = kernel.endsWith("forward") ? forward : packs;
    add(kernel, { N, C, V }, { layouts, present: linear });
    add(kernel, { N, C, V }, { layouts: { targets }, present: linear, variants: ["f32", "strict"] });
  }
  for (const present of [["dx"], ["dweight"], ["dbias"]])
    add("linearcrossentropy_backward", { N, C, V }, { layouts: packs, present });
}

// ---- attention

interface Attention extends Record<string, number | undefined> {
  readonly D: number;
  readonly T: number;
  readonly S: number;
  readonly B?: number;
  readonly H?: number;
  readonly G?: number;
}
function addAttention({ D, T, S, B = 1, H = 1, G = 1, ...flags }: Attention, options: Options = {}): void {
  const given = { ...options, numbers: flags as Record<string, number> };
  for (const kernel of ["attention_forward", "attention_backward"]) add(kernel, { B, T, S, H, G, D }, given);
}
const attentions: readonly Attention[] = [
  { D: 4, T: 5, S: 7, B: 2, H: 2, causal: 1 },
  { D: 20, T: 33, S: 33, H: 2, causal: 1 },
  { D: 20, T: 9, S: 40, scale: -0.3 },
  { D: 20, T: 40, S: 9, causal: 1 }, // some see nothing
  { D: 32, T: 32, S: 32, dropout: 0.2 },
  { D: 32, T: 130, S: 150, causal: 1, window: 20 },
  { D: 33, T: 17, S: 40, H: 2, G: 2 },
  { D: 64, T: 32, S: 30, causal: 1 },
  { D: 64, T: 133, S: 140, causal: 1 },
  { D: 64, T: 70, S: 70, causal: 1, dropout: 0.2 },
  { D: 64, T: 1, S: 160, H: 4, G: 2 },
  { D: 64, T: 160, S: 40, window: 30 },
  { D: 100, T: 40, S: 70 },
  { D: 128, T: 65, S: 65, causal: 1, dropout: 0.2 },
  { D: 128, T: 130, S: 66 },
  { D: 200, T: 33, S: 40, causal: 1 },
  { D: 256, T: 65, S: 40, H: 2 },
];
for (const attention of attentions) addAttention(attention);
for (const D of [32, 64, 128, 256])
  for (const { T, dropout } of table("T dropout", "32 0", "128 0", "128 0.2"))
    addAttention({ D, T, S: T, dropout }, { variants: ["bf16"], isWhole: true });
for (const { D, T, S } of table("D T S", "20 37 45", "64 40 70", "128 20 33")) {
  const lengths = { draw: (_: number, i: number) => [S, 3, 0][i]! };
  addAttention({ D, T, S, B: 3, causal: 1 }, { layouts: { lengths } });
  // Heads that are not next to each other, and rows that do not start on 16 bytes.
  const heads = (rows: number) => ({ strides: [2 * rows * D, D, rows * D, 1] });
  addAttention({ D, T, S, H: 2, G: 2 }, { layouts: { q: heads(T), k: heads(S), v: heads(S), dy: heads(T) } });
  const sizes = { B: 1, T, S, H: 2, G: 1, D };
  addBoth("attention", sizes, "q k v y", "dy q k v y dq dk dv", { variants: ["bf16"] });
  add("attention_backward", sizes, { layouts: { dy: { offset: 1 }, dq: { offset: 1 }, dv: { offset: 1 } } });
}
// Long enough for the kernels of attention/hopper.cu: tiles that only some rows see, places in shared memory that are
// used again, axes that end within a tile; what is behind the keys of a sequence is no number.
const longs: readonly Attention[] = [
  { D: 64, T: 200, S: 200, H: 2, causal: 1 },
  { D: 64, T: 64, S: 700, causal: 1 },
  { D: 64, T: 450, S: 450, causal: 1, window: 50 },
  { D: 64, T: 130, S: 260, H: 2, G: 2, causal: 1, dropout: 0.2 },
  { D: 40, T: 65, S: 1 },
  { D: 96, T: 200, S: 129, causal: 1 }, // some see nothing
  { D: 128, T: 150, S: 400, window: 40 },
  { D: 128, T: 129, S: 640, scale: -0.1, dropout: 0.2 },
];
const forwardOnly = { variants: ["bf16"] } as const;
for (const { D, T, S, B = 1, H = 1, G = 1, ...flags } of longs)
  add(
    "attention_forward",
    { B, T, S, H, G, D },
    { ...forwardOnly, numbers: flags as Record<string, number> },
  );
for (const [D, dropout] of [
  [64, 0],
  [64, 0.2],
  [128, 0],
  [128, 0.2],
] as const) {
  const [T, S, H, G] = [140, 300, 4, 2];
  const lengths = [300, 131, 0, 40];
  const sizes = { B: lengths.length, T, S, H, G, D };
  const unseen = {
    draw: (x: number, i: number) =>
      Math.floor(i / (G * D)) % S < lengths[Math.floor(i / (S * G * D))]! ? x : Number.NaN,
  };
  add("attention_forward", sizes, {
    ...forwardOnly,
    layouts: { lengths: { draw: (_, i) => lengths[i]! }, k: unseen, v: unseen },
    numbers: { causal: 1, dropout },
  });
  // Views of one product of q, k and v; and heads that lie farther apart than rows.
  const width = (H + 2 * G) * D;
  const view = (rows: number, offset: number) => ({
    strides: [rows * width, width, D, 1],
    offset: offset * D,
  });
  add(
    "attention_forward",
    { ...sizes, B: 2 },
    {
      ...forwardOnly,
      layouts: { q: view(T, 0), k: view(S, H), v: view(S, H + G) },
      numbers: { causal: 1, dropout },
    },
  );
  const apart = { strides: [H * T * D, D, T * D, 1] };
  add(
    "attention_forward",
    { ...sizes, B: 2 },
    { ...forwardOnly, layouts: { q: apart }, numbers: { dropout } },
  );
}

// Starts, slopes and blocks, by themselves and together: tiles that are hidden, mixed and shown.
interface Masked extends Attention {
  readonly blockSize: number;
}
const masked: readonly Masked[] = [
  { D: 20, T: 150, S: 150, B: 2, H: 2, blockSize: 64, causal: 1 },
  { D: 33, T: 5, S: 200, H: 2, G: 2, blockSize: 16 },
  { D: 24, T: 40, S: 30, H: 2, blockSize: 7 },
  { D: 64, T: 200, S: 280, B: 2, blockSize: 48, causal: 1, dropout: 0.2 },
  { D: 64, T: 150, S: 40, H: 2, blockSize: 7, window: 30, scale: -0.3 },
  { D: 100, T: 70, S: 200, blockSize: 32 },
  { D: 128, T: 130, S: 130, blockSize: 64, causal: 1, dropout: 0.2 },
  { D: 200, T: 40, S: 130, blockSize: 32 },
  { D: 256, T: 66, S: 70, H: 2, blockSize: 16, causal: 1 },
];
for (const { blockSize, ...attention } of masked) {
  const { T, S, D, B = 1, H = 1, G = 1, ...flags } = attention;
  const documents: Draw = (_, i) => Math.max(0, Math.floor(((i % T) + S - T + Math.floor(i / T)) / 60) * 60);
  const columns = Math.ceil(S / blockSize);
  const pattern: Draw = (_, i) => Number(i % columns === Math.floor(i / columns) || i % 3 === 0);
  const layouts: Record<string, Layout> = {
    starts: { draw: documents },
    slopes: { draw: (x) => Math.abs(x) / 8 },
    blocks: { draw: pattern },
    lengths: { draw: (_, i) => S - 7 * i },
  };
  const sizes = { B, T, S, H, G, D, M: Math.ceil(T / blockSize), N: columns };
  for (const names of ["starts", "slopes", "blocks", "starts slopes blocks lengths"]) {
    const given = Object.fromEntries(names.split(" ").map((name) => [name, layouts[name]!]));
    for (const kernel of ["attention_forward", "attention_backward"])
      add(kernel, sizes, {
        layouts: given,
        present: names.split(" "),
        numbers: { ...flags, blockSize },
        tolerance: 6e-6, // of sums over up to 256 products
      });
  }
}
