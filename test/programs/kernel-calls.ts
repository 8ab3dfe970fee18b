/**
 * Calls of all kernels but those of tiles, which reach every CUDA kernel in between: those for accesses of 16 bytes and those
 * for elements, rows that registers hold and longer ones, sums in one and in two steps.
 */
import { add, addBoth, addMisaligned, below, type Draw, type Layout, table } from "./kernel-call.ts";

const wide: Draw = (x, i) =>
  i % 17 === 3 ? NaN : i % 17 === 4 ? Infinity : i % 17 === 5 ? -Infinity : 4 * x;
/** Sums of these are far from zero. */
const shifted: Draw = (x) => 3 * x + 1;
type Axes = readonly [number, number, number, number];
/** A shape, and strides of one or two tensors. */
const views = (row: string) =>
  row.split(", ").map((part) => part.split(" ").map(Number)) as unknown as readonly [Axes, Axes, Axes];

// ---- elements

for (const N of [1, 301]) {
  for (const kernel of ["fill", "fill32", "uniform", "normal"]) addMisaligned(kernel, { N }, "y");
  for (const kernel of ["to_f32", "from_f32", "scale_forward", "dropout_forward"])
    addMisaligned(kernel, { N }, "x y");
  addMisaligned("dropout_backward", { N }, "dy dx");
  for (const op of ["gelu", "gelutanh", "relu", "silu", "tanh"])
    addBoth(op, { N }, "x y", "dy x dx", { layouts: { x: { draw: wide } } });
  addMisaligned("adamw", { N }, "parameter m v gradient", {
    layouts: { v: { draw: Math.abs } },
    present: ["norm"],
  });
  const squares = { draw: Math.abs };
  add("adam", { N }, { layouts: { v: squares }, present: ["norm"] });
  add("adam", { N }, { layouts: { v: squares, largest: squares }, present: ["norm"] });
  for (const nesterov of [0, 1])
    add(
      "sgd",
      { N },
      { present: ["norm", "velocity"], numbers: { nesterov, dampening: 0.3 * (1 - nesterov) } },
    );
  add("sgd", { N });
  add("lion", { N }, { present: ["norm"] });
  for (const maxValue of [0, 0.5])
    addMisaligned("clip_gradient", { N }, "gradient", { present: ["norm"], numbers: { maxValue } });
  addMisaligned("lerp", { N }, "x y");
  for (const inverse of [0, 1])
    addMisaligned("root", { N }, "x y", { layouts: { x: { draw: Math.abs } }, numbers: { inverse } });
}
for (const N of [0, 5, 301, 5000]) addMisaligned("square_norm", { N }, "x");
for (const { N, K } of table("N K", "5 7", "33 100"))
  for (const packed of ["", "forward", "backward", "forward backward"]) {
    const layouts: Record<string, Layout> = { v: { draw: Math.abs } };
    if (packed.includes("f"))
      layouts.forward = { packs: { shape: [K, N], strides: [1, K], of: "parameter" } };
    if (packed.includes("b")) layouts.backward = { packs: { shape: [N, K], of: "parameter" } };
    add("adamw_packed", { N, K }, { layouts, present: ["norm"] });
  }

// ---- four axes, of which inputs broadcast some

const four = ([I, J, K, C]: Axes) => ({ I, J, K, C });
const broadcasts = [
  "1 3 5 7, 105 35 7 1, 105 35 7 1",
  "1 2 3 9, 54 27 9 1, 0 0 0 1",
  "1 2 3 16, 96 48 16 1, 0 0 16 1",
  "1 2 3 9, 54 27 9 1, 0 3 1 0",
  "1 2 3 16, 96 48 16 1, 0 3 1 0",
  "2 3 4 3, 36 12 3 1, 0 4 1 0",
  "2 3 5 8, 240 80 16 1, 128 40 8 1",
  "1 1 1 2000, 0 0 0 1, 0 0 0 0",
].map(views);
for (const [shape, a, b] of broadcasts) {
  for (const kernel of ["add_forward", "sub_forward", "mul_forward"]) {
    addMisaligned(kernel, four(shape), "a y", { layouts: { a: { strides: a }, b: { strides: b } } });
    add(kernel, four(shape), { layouts: { a: { strides: b }, b: { strides: a, offset: 1 } } });
  }
}

const copied = [
  "1 1 3 5, 0 0 5 1",
  "1 1 5 3, 0 0 1 5",
  "1 3 4 2, 0 1 3 12",
  "2 3 70 33, 0 2310 1 70",
  "2 8 12 64, 6144 64 512 1",
  "1 1 7 33, 0 0 3 0",
  "1 1 1 100, 0 0 0 7",
  "1 5 6 8, 0 3 1 0",
].map(views);
for (const [shape, strides] of copied)
  for (const kernel of ["copy", "copy_ids"])
    addMisaligned(kernel, four(shape), "x y", { layouts: { x: { strides } } });

const accumulated = [
  "1 1 40 24, 0 0 0 1",
  "1 3 40 37, 0 0 37 1",
  "2 3 4 5, 0 5 0 1",
  "2 3 4 5, 3 1 0 0",
  "2 3 4 16, 4 0 1 0",
  "2 3 4 5, 60 20 5 1",
  "1 1 1 1, 0 0 0 0",
  "1 1 1 4500, 0 0 0 0",
  "1 1 15 24, 0 0 1 0",
  "1 1 3 2100, 0 0 1 0",
  "1 2 700 4, 0 0 1 0",
].map(views);
for (const [shape, y] of accumulated)
  addMisaligned("accumulate", four(shape), "x", { layouts: { y: { strides: y } } });
for (const strides of views("0 0 4 1, 0 1 0 0"))
  add("accumulate", four([1, 6, 5, 4]), { layouts: { x: { strides: [0, 1, 6, 30] }, y: { strides } } });

// ---- reductions and rows

for (const { O, R, I } of table(
  "O R I",
  "1 1 1",
  "3 5 19",
  "15 24 1",
  "3 5 16",
  "2 40 16",
  "1 2100 1",
  "1 4100 1",
  "2 70 3",
  "3 300 64",
)) {
  addMisaligned("sum_forward", { O, R, I }, "x", { layouts: { x: { draw: shifted } } });
  const ties: Draw = (x, i) => (i % 97 === 96 ? NaN : i % 89 === 0 ? -Infinity : Math.round(x));
  addBoth("max", { O, R, I }, "x", "dy dx", { layouts: { x: { draw: ties } } });
}
add("sum_forward", { O: 2, R: 0, I: 3 });
for (const { N, C } of table("N C", "1 1", "5 1", "3 37", "100 64", "500 3"))
  addMisaligned("sum_rows", { N, C }, "x");
add("sum_rows", { N: 40, C: 16 }, { layouts: { x: { strides: [24, 1] } } });

// Up to 8192 numbers of a row are in registers.
for (const { N, C } of table("N C", "3 1", "33 3", "6 19", "300 8", "9 128", "2 1000", "1 4099", "2 8200")) {
  const layouts = { x: { draw: shifted } };
  addBoth("softmax", { N, C }, "x y", "dy y dx", { layouts });
  add("layernorm_forward", { N, C }, { layouts });
  if (C === 1) continue; // gradients would be zero but for rounding
  addBoth("rmsnorm", { N, C }, "x weight y", "dy x weight dx", { layouts });
  addBoth("layernorm", { N, C }, "x bias y", "dy x dx dbias", { layouts, present: ["bias", "dbias"] });
  const inputs = { x: { strides: [C + 8, 1], draw: shifted }, dy: { strides: [C + 8, 1] } };
  addBoth("layernorm", { N, C }, "weight", "weight", { layouts: inputs });
}

// A row of scores is in registers, or is read again.
for (const { B, H, T, S } of table(
  "B H T S",
  "1 1 1 1",
  "2 2 3 7",
  "1 2 5 64",
  "1 1 3 1000",
  "1 1 2 4104",
  "2 1 2 5003",
)) {
  const layouts = {
    bias: { strides: [0, T * S, S, 1] },
    lengths: { draw: (_: number, i: number) => S - i },
    starts: { draw: (_: number, i: number) => (i === 1 ? S : i) },
    blocks: { draw: (_: number, i: number) => Number(i % 3 !== 1) },
    slopes: { draw: (x: number) => x / S },
  };
  const flags = { causal: 1, window: Math.ceil(S * 0.9), blockSize: 3 };
  const given = { layouts, numbers: flags };
  const sizes = { B, H, T, S, M: Math.ceil(T / 3), N: Math.ceil(S / 3) };
  addBoth("maskedsoftmax", sizes, "scores p", "dp p ds", given);
  addMisaligned("maskedsoftmax_forward", sizes, "scores p");
  addMisaligned("maskedsoftmax_forward", sizes, "bias", { layouts: { bias: {} } });
}

// ---- tokens and positions

for (const { B, T, S, G, D } of table("B T S G D", "2 3 7 2 5", "3 1 40 3 16", "1 9 9 1 64")) {
  const layouts = { starts: { draw: (_: number, i: number) => Math.min(i * 2, S - T) } };
  addMisaligned("cache_write", { B, T, S, G, D }, "x cache", { layouts });
  for (const start of [S - T + 1, -1]) {
    const outside = { starts: { draw: (_: number, i: number) => (i === B - 1 ? start : 0) } };
    add("cache_write", { B, T, S, G, D }, { layouts: outside });
  }
}
for (const { N, M, C } of table("N M C", "4 6 15", "3 2 128", "2 3 33000")) {
  const ids = { draw: below(N) };
  addMisaligned("gather_rows", { N, M, C }, "x y", { layouts: { ids } });
  for (const id of [N, -1])
    add("gather_rows", { N, M, C }, { layouts: { ids: { draw: (_, i) => (i === 1 ? id : 0) } } });
}

for (const { N, V, C } of table("N V C", "10 7 19", "70 3 16", "1 1 1", "1030 300 8")) {
  const ids = { draw: below(V) };
  const some = { draw: (x: number, i: number) => (i === 3 ? V : below(V)(x, i)) };
  addMisaligned("embedding_forward", { N, V, C }, "weight y", { layouts: { ids } });
  addMisaligned("embedding_backward", { N, V, C }, "dy dweight", { layouts: { ids } });
  for (const kernel of ["embedding_forward", "embedding_backward"])
    add(kernel, { N, V, C }, { layouts: { ids: some } });
}
for (const { T, C } of table("T C", "1 1", "5 7", "9 130"))
  for (const start of [3, 100_000]) add("sinusoidal_forward", { T, C }, { numbers: { start } });
for (const { B, T, H, D } of table("B T H D", "2 5 3 6", "1 3 2 70", "2 3 4 32"))
  for (const direction of [1, -1])
    addMisaligned("rotary_forward", { B, T, H, D, E: D / 2 }, "x cos sin y", { numbers: { direction } });
for (const { N, V } of table("N V", "7 37", "1 1", "40 64", "2 5003"))
  for (const mean of [0, 1]) {
    const logits = { draw: (x: number) => 4 * x };
    const layouts = { logits, targets: { draw: below(V) } };
    addBoth("crossentropy", { N, V }, "logits", "logits dlogits", { layouts, numbers: { mean } });
    const moved = { ...layouts, logits: { ...logits, offset: 3 }, dlogits: { offset: 3 } };
    add("crossentropy_backward", { N, V }, { layouts: moved, numbers: { labelSmoothing: 0 } });
  }

// ---- ceilings

for (const { N, M } of table("N M", "4096 4", "1003 3", "5 2")) addMisaligned("peak_read", { N, M }, "x");
// Of nothing: the processor has another number of accumulators.
add("peak_fma", { N: 3 }, { layouts: { x: { draw: () => 0 } } });
