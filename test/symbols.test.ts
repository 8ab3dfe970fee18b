import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "./child.ts";

/** Addon and object files as `npm run build` leaves them. */
const addon = path.join(root, "build/Release/trainformer.node");
const targets = path.join(root, "build/cmake-release/CMakeFiles");
const isHere = process.platform === "linux" && process.arch === "x64" && existsSync(addon);

const output = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: "utf8", maxBuffer: 1 << 30 });
const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

const sources = ["ops", "gemm"]
  .flatMap((folder) => readdirSync(path.join(root, "native", folder)).map((file) => `${folder}/${file}`))
  .filter((file) => file.endsWith(".cc"));
const variants = ["scalar", "avx2", "avx512"].flatMap((isa) =>
  ["f32", "bf16"].map((real) => ({ isa, real, namespace: `${isa}_${real}` })),
);
const objectsOf = (namespace: string): string[] =>
  ["table.cc", ...sources].map((source) =>
    path.join(targets, `kernels_${namespace}.dir`, "native", `${source}.o`),
  );

/** What kernels may call: runtime.h, and functions of the C library that need no instruction set and no state. */
const runtimeFunctions = lines(readFileSync(path.join(root, "native/runtime.h"), "utf8"))
  .map((line) => line.match(/^[\w:]+\*? (\w+)\(.*\);/)?.[1])
  .filter((name) => name !== undefined);
const libraryFunctions = ["memcpy", "memmove", "memset", "log", "pow", "sin", "cos", "sincos"];

const disassembled = (object: string): string =>
  output("objdump", "--disassemble", "--no-show-raw-insn", object);

/** Encodings with a VEX or EVEX prefix have mnemonics with a v; masks and registers from 16 on are AVX-512. */
const anyAvx = /\tv\w+ +.*%[xyz]mm/;
const largerInstructions: Partial<Record<string, RegExp>> = {
  scalar: anyAvx,
  avx2: /%zmm|%k[0-7]|%[xy]mm(1[6-9]|2\d|3[01])/,
};

interface Symbol {
  name: string;
  type: string;
}
const symbolsOf = (file: string): Symbol[] =>
  lines(output("nm", "--format=posix", file)).map((line) => {
    const [name, type] = line.split(" ");
    return { name: name!, type: type! };
  });

test.runIf(process.platform === "linux" && process.arch === "x64")("the addon is built", () => {
  expect(isHere, "run `npm run build` first").toBe(true);
  expect(runtimeFunctions).toContain("parallel_chunks");
});

describe.runIf(isHere)("object files of kernels", () => {
  describe.each(variants)("for $namespace", ({ isa, namespace }) => {
    const objects = objectsOf(namespace);
    /** Functions and variables of the namespace, what is local to them, and templates made from them. */
    const own = new RegExp(`^_Z(GV|GR|TV|TI|TS)?Z*NK?${namespace.length}${namespace}`);

    test("define nothing outside of the namespace", () => {
      for (const object of objects) {
        const foreign = symbolsOf(object).filter(
          ({ name, type }) => /[A-TV-Zu]/.test(type) && !own.test(name),
        );
        expect(foreign, object).toEqual([]);
      }
    });

    test("refer to nothing but their namespace, runtime.h and the C library", () => {
      const allowed = (name: string) =>
        own.test(name) ||
        name === "_GLOBAL_OFFSET_TABLE_" ||
        libraryFunctions.includes(name) ||
        runtimeFunctions.some((f) => name.startsWith(`_Z${f.length}${f}`));
      for (const object of objects) {
        const symbols = symbolsOf(object);
        const foreign = symbols.filter(({ name, type }) => /^[Uvw]$/.test(type) && !allowed(name));
        expect(foreign, object).toEqual([]);
        const absent = symbols.filter(({ type }) => type === "v" || type === "w");
        expect(absent, `${object}: weak references, which are null if nobody defines them`).toEqual([]);
      }
    });

    test("run no code when they are loaded", () => {
      for (const object of objects)
        expect(output("readelf", "--section-headers", "--wide", object)).not.toMatch(/\.(init_array|ctors)/);
    });

    const larger = largerInstructions[isa];
    if (larger === undefined) return;
    test("have no instruction of a larger set", () => {
      for (const object of objects) {
        const found = lines(disassembled(object)).filter((line) => larger.test(line));
        expect(found.slice(0, 3), object).toEqual([]);
      }
    });
  });

  test("exist for each set and use it", () => {
    const gemm = (namespace: string) =>
      objectsOf(namespace)
        .filter((object) => /matmul|attention/.test(object))
        .map(disassembled)
        .join();
    expect(gemm("avx2_f32")).toMatch(/vfmadd.*%ymm/);
    expect(gemm("avx512_f32")).toMatch(/vfmadd.*%zmm/);
  });
});

function expectUsualLibraries(file: string): void {
  const needed = [...output("readelf", "--dynamic", "--wide", file).matchAll(/NEEDED.*\[(.*)\]/g)];
  const usual =
    /^(libstdc\+\+\.so\.6|libm\.so\.6|libgcc_s\.so\.1|libc\.so\.6|libpthread\.so\.0|libdl\.so\.2|ld-linux-x86-64\.so\.2)$/;
  expect(needed.map(([, library]) => library!).filter((library) => !usual.test(library))).toEqual([]);
  expect(needed.length).toBeGreaterThan(1);
}

/** The functions of `library` that `file` needs in a version newer than `newest`. */
function newerThan(file: string, library: string, newest: string): string[] {
  const isNewer = (version: string) => {
    const [a, b] = [version, newest].map((v) => v.split(".").map(Number));
    const at = a!.findIndex((part, i) => part !== (b![i] ?? 0));
    return at >= 0 && a![at]! > (b![at] ?? 0);
  };
  const wanted = lines(output("objdump", "--dynamic-syms", file))
    .map((line) => line.match(new RegExp(`\\(${library}_([\\d.]+)\\) +(\\S+)`)))
    .filter((match) => match !== null);
  expect(wanted.length).toBeGreaterThan(0);
  return wanted.filter(([, version]) => isNewer(version!)).map(([, version, name]) => `${name}@${version}`);
}

describe.runIf(isHere)("the addon", () => {
  const text = readdirSync(path.join(root, "native/text"))
    .filter((file) => file.endsWith(".cc"))
    .map((file) => `text/${file.slice(0, -".cc".length)}`);
  const common = [
    ...["addon", "addon_text", "engine", "signature", "queue", "arena", "mapping", "threads", "cpu"],
    ...text,
  ];

  test.each(common)("needs no AVX in %s.cc", (name) => {
    const object = path.join(targets, "trainformer.dir/native", `${name}.cc.o`);
    expect(disassembled(object)).not.toMatch(anyAvx);
  });

  test("exports what Node.js looks for and nothing else", () => {
    const exported = lines(output("nm", "--dynamic", "--defined-only", "--format=posix", addon));
    expect(exported.map((line) => line.split(" ")[0]).sort()).toEqual([
      "napi_register_module_v1",
      "node_api_module_get_api_version_v1",
    ]);
  });

  test("stays loaded: its threads outlive a worker that used it", () => {
    expect(output("readelf", "--dynamic", "--wide", addon)).toMatch(/FLAGS_1.*NODELETE/);
  });

  test("needs only libraries that Node.js needs as well", () => expectUsualLibraries(addon));

  /** What official Node.js 20 needs. native/glibc.cc keeps the addon below it. */
  test.each([
    ["GLIBC", "2.28"],
    ["GLIBCXX", "3.4.25"],
    ["CXXABI", "1.3.11"],
  ])("needs no %s newer than %s", (library, newest) => {
    expect(newerThan(addon, library, newest), "wrap these in native/glibc.cc").toEqual([]);
  });
});

const cudaModule = path.join(root, "build/Release/trainformer_cuda.so");

/** Where nvcc is found, the build makes it. NVIDIA's runtime, which is a part of it, needs glibc 2.34. */
describe.runIf(isHere && existsSync(cudaModule))("the CUDA module", () => {
  test("needs no library of CUDA", () => expectUsualLibraries(cudaModule));

  test("exports what the engine looks for and nothing else", () => {
    const exported = lines(output("nm", "--dynamic", "--defined-only", "--format=posix", cudaModule));
    expect(exported.map((line) => line.split(" ")[0])).toEqual(["trainformer_device_module"]);
  });

  test.each([
    ["GLIBC", "2.34"],
    ["GLIBCXX", "3.4.25"],
    ["CXXABI", "1.3.11"],
  ])("needs no %s newer than %s", (library, newest) => {
    expect(newerThan(cudaModule, library, newest)).toEqual([]);
  });
});
