import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { add, tensor } from "../src/index.ts";
import { allocate, callKernel, configure, free, info, kernelNamed, readSync, write } from "../src/native.ts";
import { isSanitized, program, root, run, runNode, runSource } from "./child.ts";

const folder = mkdtempSync(path.join(tmpdir(), "trainformer-border-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The native functions themselves, without the checks of src/. */
const prelude = `
  import { createRequire } from "node:module";
  const require = createRequire(process.cwd() + "/package.json");
  const addon = process.env.TRAINFORMER_ADDON
    ? require(process.env.TRAINFORMER_ADDON)
    : require("node-gyp-build")(process.cwd());
  const { words, kernels } = addon.info();
  function call(name, ...args) {
    words.set(args);
    addon.call(kernels.findIndex((kernel) => kernel.name === name), 0, args.length);
  }
  function codeOf(body) {
    try {
      body();
      return "none";
    } catch (error) {
      return error.code;
    }
  }
  async function forget() {
    for (let i = 0; i < 5; i++) {
      globalThis.gc();
      await new Promise(setImmediate);
    }
  }
`;

describe("whatever JavaScript passes to the native addon", () => {
  const calls = isSanitized ? 8_000 : 30_000;
  test.each([1, 2, 3, 4])("works or throws an error with a code (seed %i)", async (seed) => {
    const log = path.join(folder, `calls-${seed}.log`);
    const { status, stdout, stderr } = await runNode([
      "--expose-gc",
      program("fuzz.mjs"),
      ...[seed, calls].map(String),
      log,
    ]);
    const last = readFileSync(log, "utf8").slice(-1500);
    expect(status, `${stderr.slice(-4000)}\nthe last calls:\n${last}`).toBe(0);
    const counts = JSON.parse(stdout);
    expect(counts.worked).toBeGreaterThan(calls / 2);
    for (const code of ["ERR_ARGUMENT", "ERR_SHAPE", "ERR_DTYPE", "ERR_DISPOSED", "ERR_INDEX"])
      expect(counts[code], code).toBeGreaterThan(0);
  });

  const emulated = path.join(root, "build/Release/trainformer_cuda_emulated.so");
  test.runIf(!isSanitized && existsSync(emulated)).each([1, 2])(
    "does so on a CUDA device beside the processor (seed %i)",
    async (seed) => {
      const log = path.join(folder, `calls-cuda-${seed}.log`);
      const { status, stdout, stderr } = await run(
        process.execPath,
        ["--expose-gc", program("fuzz.mjs"), String(seed), "10000", log],
        { cwd: root, env: { ...process.env, TRAINFORMER_CUDA: emulated } },
      );
      const last = readFileSync(log, "utf8").slice(-1500);
      expect(status, `${stderr.slice(-4000)}\nthe last calls:\n${last}`).toBe(0);
      const counts = JSON.parse(stdout);
      expect(counts.worked).toBeGreaterThan(5000);
      for (const code of [
        "ERR_ARGUMENT",
        "ERR_SHAPE",
        "ERR_DISPOSED",
        "ERR_INDEX",
        "ERR_DEVICE",
        "ERR_NO_DEVICE",
      ])
        expect(counts[code], code).toBeGreaterThan(0);
    },
  );

  test("an adopted array whose buffer was transferred is refused", async () => {
    const { status, stdout, stderr } = await runSource(`${prelude}
      let array = new Float32Array(1 << 22).fill(1);
      const n = array.length;
      const handle = addon.adopt(array);
      const target = addon.alloc(0, n);
      call("scale_forward", handle, 0, n, 1, target, 0, n, 1, 2);
      const before = new Float32Array(addon.read(target, n - 1, 1, 2))[0];
      array = structuredClone(array.buffer, { transfer: [array.buffer] });
      array = undefined;
      await forget();
      console.log(JSON.stringify([
        before,
        codeOf(() => call("scale_forward", handle, 0, n, 1, target, 0, n, 1, 2)),
        codeOf(() => addon.read(handle, 0, n, 2)),
        codeOf(() => addon.write(handle, 0, new Float32Array(n))),
        codeOf(() => addon.free(handle)),
        codeOf(() => addon.free(handle)),
      ]));`);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual([
      2,
      "ERR_DISPOSED",
      "ERR_DISPOSED",
      "ERR_DISPOSED",
      "none",
      "ERR_DISPOSED",
    ]);
  });

  test("rows too long for the memory of a kernel are an error", async () => {
    const { status, stdout } = await runSource(`${prelude}
      const n = 70_000_000;
      const [x, y] = [addon.alloc(0, n), addon.alloc(0, n)];
      call("sum_rows", x, 0, 1, n, n, 1, y, 0, n, 1);
      console.log(codeOf(() => addon.read(y, 0, 1, 2)));`);
    expect(status).toBe(0);
    expect(stdout.trim()).toBe("ERR_INDEX");
  });

  test("an empty array is not taken for an argument that was left out", async () => {
    const { status, stdout } = await runSource(`${prelude}
      const [b, packed] = [addon.alloc(0, 6), addon.adopt(new Float32Array(0))];
      call("pack_weight", b, 0, 2, 3, 3, 1, packed, 0, 0, 1);
      console.log(codeOf(() => addon.read(b, 0, 1, 2)));`);
    expect(status).toBe(0);
    expect(stdout.trim()).toBe("ERR_INDEX");
  });

  test("a resizable buffer is not adopted", async () => {
    const { stdout } = await runSource(`${prelude}
      const buffer = new ArrayBuffer(64, { maxByteLength: 128 });
      console.log(codeOf(() => addon.adopt(new Float32Array(buffer))));`);
    expect(stdout.trim()).toBe("ERR_ARGUMENT");
  });

  test("arguments whose buffer was transferred are refused", async () => {
    const { status, stdout } = await runSource(`${prelude}
      structuredClone(words.buffer, { transfer: [words.buffer] });
      await forget();
      console.log(codeOf(() => addon.call(0, 0, 10)));`);
    expect(status).toBe(0);
    expect(stdout.trim()).toBe("ERR_ARGUMENT");
  });

  test("views keep the memory of a freed tensor", async () => {
    const { status, stdout, stderr } = await runSource(`${prelude}
      let sum = 0;
      for (let i = 0; i < 50; i++) {
        const handle = addon.alloc(0, 1 << 20);
        addon.write(handle, 0, new Float32Array(1 << 20).fill(i));
        const view = new Float32Array(await addon.read(handle, 0, 1 << 20, 0));
        addon.free(handle);
        const other = addon.alloc(0, 1 << 20);
        addon.write(other, 0, new Float32Array(1 << 20).fill(-1));
        await addon.read(other, 0, 1, 1);
        addon.free(other);
        sum += view[view.length - 1];
        if (i % 10 === 9) await forget();
      }
      await forget();
      const { tensors, devices: [{ memory: { liveBytes } }] } = addon.info();
      console.log(JSON.stringify({ sum, tensors, few: liveBytes < 20 << 20 }));`);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ sum: (49 * 50) / 2, tensors: 0, few: true });
  });
});

describe("settings", () => {
  afterEach(() => {
    configure("synchronous", false);
    configure("externalBuffers", true);
  });

  test("each command runs once when synchronous mode is switched on and off", () => {
    const size = 1000;
    const one = allocate("f32", size, 0);
    const total = allocate("f32", size, 0);
    write(one, 0, new Float32Array(size).fill(1));
    write(total, 0, new Float32Array(size));
    const view = (handle: number) => ({ handle, offset: 0, shape: [1, 1, 1, size], strides: [0, 0, 0, 1] });
    const rounds = 300;
    for (let i = 0; i < rounds; i++) {
      configure("synchronous", i % 2 === 1);
      for (let j = 0; j < 3; j++) callKernel(kernelNamed("accumulate"), "f32", [view(one), view(total)]);
    }
    expect(new Set(new Float32Array(readSync(total, 0, size)))).toEqual(new Set([3 * rounds]));
    free(one);
    free(total);
  });

  test("data() shares the tensor's memory, or copies where external buffers are not allowed", async () => {
    const t = add(tensor([1, 2, 3]), 0);
    expect(info().externalBuffers).toBe(true);
    const view = await t.data();
    view[0] = 10;
    expect([...(await t.data())]).toEqual([10, 2, 3]);

    configure("externalBuffers", false);
    expect(info().externalBuffers).toBe(false);
    const copy = await t.data();
    expect([...copy]).toEqual([10, 2, 3]);
    copy[0] = 20;
    expect([...(await t.data())]).toEqual([10, 2, 3]);
    expect((await add(t, 1).data())[0]).toBe(11);
    t.dispose();
    expect([...copy]).toEqual([20, 2, 3]);
  });

  test.each([
    ["isa", "sse9"],
    ["threads", 0],
    ["threads", 1.5],
    ["externalBytes", Number.NaN],
  ] as const)("configure(%s, %s) is refused", (name, value) => {
    expect(() => configure(name, value as never)).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
  });
});
