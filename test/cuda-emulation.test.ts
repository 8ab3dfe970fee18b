import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isSanitized, program, root, run } from "./child.ts";

// test/programs/emulated_runtime.cu: the host side. test/programs/planted.cu in the checked build: every planted bug is
// found, in any order, with the line it is in.

const folder = mkdtempSync(path.join(os.tmpdir(), "trainformer-planted-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const source = readFileSync(program("planted.cu"), "utf8").split("\n");
const lines = (text: string): string[] =>
  source.flatMap((line, i) => (line.includes(text) ? [`planted.cu:${i + 1}`] : []));

interface Planted {
  message: RegExp;
  /** What stands in the lines of which the message must name one. */
  at: string;
}
const planted: Readonly<Record<string, Planted>> = {
  missing_barrier: { message: /^shared race: .* no barrier between/, at: "row[(i + 33) % kThreads]" },
  missing_copy_wait: {
    message: /^shared race: .* a cp.async that is under way/,
    at: "out[i] = reinterpret_cast<float*>(shared)[i]",
  },
  wrong_wait_count: {
    message: /^shared race: .* (a cp.async that is under way|no barrier)/,
    at: "x = row[i];",
  },
  global_read_out_of_bounds: {
    message: /^global memory out of bounds .* 4-byte read at offset 2048 of an allocation of 2048/,
    at: "in[4 * kThreads - i]",
  },
  shared_write_out_of_bounds: {
    message: /^shared memory out of bounds .* 4-byte write at offset 512 of 512/,
    at: "row[kRight ? i : i + 1] = in[i]",
  },
  divergent_barrier: { message: /^divergent barrier: /, at: "i < 64) __syncthreads" },
  half_warp_shuffle: { message: /shuffle at .* (waits for lanes|names lanes)/, at: "__shfl_xor_sync" },
  blocks_write_one_address: { message: /^global race: .* by another block/, at: "out[kRight ? block" },
  race_through_global_memory: {
    message: /^global race: .* no barrier between/,
    at: "out[(i + 33) % kThreads]",
  },
  misaligned_vector: { message: /^misaligned access .* 16 bytes/, at: "prim::load_global16(in + 4 * i + " },
  host_memory: { message: /^4-byte read of host memory/, at: "host[threadIdx.x]" },
  missing_tile_wait: { message: /^a block ends while load_tile at .* under way/, at: "prim::load_tile(" },
  wrong_parity: { message: /^a block ends while load_tile at .* under way/, at: "prim::load_tile(" },
  too_many_bytes_expected: {
    message: /^deadlock: .* phase of parity 0/,
    at: "prim::barrier_wait(tile.barrier, 0)",
  },
  missing_operand_fence: { message: /^product_bf16 .* no fence_async since/, at: "prim::product_bf16<" },
  missing_product_wait: { message: /^a block ends while product_bf16 /, at: "prim::product_bf16<" },
  left_operand_not_named: {
    message: /^product_bf16 .* product_fence was not told/,
    at: "prim::product_bf16<false>(sums, ones",
  },
  left_operand_written_late: {
    message: /^product_bf16 .* wrote registers of its left operand after product_fence/,
    at: "prim::product_bf16<false>(sums, ones",
  },
  left_operand_written_under_way: {
    message: /^product_bf16 .* is under way while thread \d+ .* writes registers of its left operand/,
    at: "prim::product_bf16<false>(sums, ones",
  },
  tile_of_too_few_axes: {
    message: /^load_tile .* 3 coordinates in a tensor of 4 axes/,
    at: "prim::load_tile(begin, of_four, barrier, 0, 0, 0)",
  },
  tile_over_operand: {
    message: /^load_tile .* overwrites what the product at .* reads/,
    at: "prim::load_tile(begin, map, barrier, 0, 0, 0)",
  },
};
const counted = ["bank_conflict", "uncoalesced_store", "vector_copy"];
const all = [...Object.keys(planted), ...counted];

const binary = (name: string): string => path.join(folder, name);
async function results(
  twin: "wrong" | "right",
  kernels: readonly string[],
  env: Record<string, string> = {},
  portable = false,
): Promise<Map<string, string>> {
  const { status, stdout, stderr } = await run(
    binary(portable ? "planted-portable" : "planted"),
    [twin, ...kernels],
    {
      env: { ...process.env, ...env },
    },
  );
  expect(status, stderr).toBe(0);
  const parsed = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kernel: string; result: string });
  expect(parsed.map(({ kernel }) => kernel)).toEqual(kernels);
  return new Map(parsed.map(({ kernel, result }) => [kernel, result]));
}

describe.skipIf(isSanitized || process.platform !== "linux")("the emulation", () => {
  beforeAll(async () => {
    const emulation = path.join(root, "cuda/emulation");
    const sources = readdirSync(emulation)
      .filter((name) => name.endsWith(".cc") && !name.startsWith("ptx"))
      .map((name) => path.join(emulation, name));
    const objects = sources.map((name) => `${path.basename(name, ".cc")}.o`);
    const options = [
      "-std=c++17",
      "-g1",
      "-Wno-psabi",
      ...(process.arch === "x64" ? ["-march=x86-64-v3"] : []),
    ];
    const kernels = (name: string, ...more: string[]): string[] => [
      ...["-O1", ...more, `-I${path.join(root, "cuda")}`, "-x", "c++", "-c", program(`${name}.cu`)],
      ...["-o", `${name}.program.o`],
    ];
    const link = (name: string, from: string, library: readonly string[]): string[] => [
      ...[`${from}.program.o`, ...library, "-lpthread", "-ldl", "-o", name],
    ];
    const portable = objects.map((name) => (name === "fiber.o" ? "portable.o" : name));
    for (const step of [
      ["-c", ...sources],
      ["-c", path.join(emulation, "fiber.cc"), "-DTRAINFORMER_UCONTEXT", "-o", "portable.o"],
      kernels("planted", "-fsanitize=thread"),
      kernels("emulated_runtime"),
      link("planted", "planted", objects),
      link("planted-portable", "planted", portable),
      link("emulated_runtime", "emulated_runtime", objects),
    ]) {
      const { status, stderr } = await run("c++", [...options, ...step], { cwd: folder });
      expect(status, stderr).toBe(0);
    }
  }, 300_000);

  test.each([
    ["eager", "forward"],
    ["eager", "random"],
    ["lazy", "reverse"],
  ])("the host side: %s streams, %s", async (streams, order) => {
    const env = { ...process.env, TRAINFORMER_CUDA_STREAMS: streams, TRAINFORMER_CUDA_ORDER: order };
    const { status, stdout } = await run(binary("emulated_runtime"), [], { env });
    expect(stdout).toBe("");
    expect(status).toBe(0);
  });

  test.each(["forward", "reverse", "random"])("finds what is planted, %s", async (order) => {
    const env = { TRAINFORMER_CUDA_ORDER: order };
    const wrong = await results("wrong", Object.keys(planted), env);
    for (const [kernel, { message, at }] of Object.entries(planted)) {
      expect(wrong.get(kernel), kernel).toMatch(message);
      const candidates = lines(at);
      expect(candidates.length, at).toBeGreaterThan(0);
      expect(
        candidates.some((line) => wrong.get(kernel)!.includes(line)),
        `${kernel}: ${wrong.get(kernel)}`,
      ).toBe(true);
    }
    const right = await results("right", [...all, "unawaited_event"], env);
    for (const [kernel, result] of right) expect(result, kernel).toBe("");
  });

  test("the portable switch of stacks", async () => {
    for (const [kernel, result] of await results("right", all, {}, true)) expect(result, kernel).toBe("");
    const wrong = await results("wrong", ["divergent_barrier"], {}, true);
    expect(wrong.get("divergent_barrier")).toMatch(planted.divergent_barrier!.message);
  });

  test("copies that land early hide a wait that is missing", async () => {
    const env = { TRAINFORMER_CUDA_COPIES: "early" };
    for (const twin of ["wrong", "right"] as const)
      expect((await results(twin, ["wrong_wait_count"], env)).get("wrong_wait_count")).toBe("");
  });

  test("lazy streams show an event that nobody waits for", async () => {
    const env = { TRAINFORMER_CUDA_STREAMS: "lazy" };
    expect((await results("wrong", ["unawaited_event"], env)).get("unawaited_event")).toBe("wrong result");
    const right = await results("right", [...all, "unawaited_event"], env);
    for (const [kernel, result] of right) expect(result, kernel).toBe("");
  });

  test("counts of bank conflicts and sectors", async () => {
    /** What accesses cost against the ideal, by line and space. */
    async function costs(twin: "wrong" | "right"): Promise<(at: string, space: string) => number> {
      const file = path.join(folder, `${twin}.jsonl`);
      await results(twin, counted, { TRAINFORMER_CUDA_STATS: file });
      const rows = readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .map((row) => JSON.parse(row) as { line: string; space: string; cost: number; ideal: number });
      return (at, space) => {
        const row = rows.find(({ line, space: of }) => lines(at).includes(line) && of === space)!;
        return row.cost / row.ideal;
      };
    }
    const wrong = await costs("wrong");
    expect(wrong("tile[i / 32 + i % 32 * pitch] = in[i]", "shared")).toBe(32);
    expect(wrong("out[i * step] = x", "global")).toBe(4);
    const right = await costs("right");
    expect(right("tile[i / 32 + i % 32 * pitch] = in[i]", "shared")).toBe(1);
    expect(right("out[i * step] = x", "global")).toBe(1);
    for (const cost of [wrong, right]) {
      for (const space of ["shared", "global"]) {
        expect(cost("prim::store_shared16(own", space)).toBe(1);
      }
      expect(cost("prim::store_global16(out + 4 * threadIdx.x", "global")).toBe(1);
    }
  });
});
