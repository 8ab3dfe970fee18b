// Types of GGUF: of metadata values and of tensors, with their numbers in the file.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

/** A value of the metadata with its type: integers of 64 bits are bigint, a list of numbers is a typed array. */
export type GGUFValue =
  | { type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64"; value: number }
  | { type: "u64" | "i64"; value: bigint }
  | { type: "bool"; value: boolean }
  | { type: "string"; value: string }
  | GGUFList;

/** `of` says of what type the items are; those of "bool" are 0 and 1. */
export type GGUFList =
  | { type: "array"; of: GGUFNumberType; value: GGUFNumbers }
  | { type: "array"; of: "string"; value: readonly string[] };

export type GGUFNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array;

/** The types of fixed size, by name: their number, and the typed array of a list of them. */
export const numberTypes = {
  u8: { id: 0, array: Uint8Array },
  i8: { id: 1, array: Int8Array },
  u16: { id: 2, array: Uint16Array },
  i16: { id: 3, array: Int16Array },
  u32: { id: 4, array: Uint32Array },
  i32: { id: 5, array: Int32Array },
  f32: { id: 6, array: Float32Array },
  bool: { id: 7, array: Uint8Array },
  u64: { id: 10, array: BigUint64Array },
  i64: { id: 11, array: BigInt64Array },
  f64: { id: 12, array: Float64Array },
} as const;
export const stringId = 8;
export const arrayId = 9;

export type GGUFNumberType = keyof typeof numberTypes;

export const numberTypeById: ReadonlyMap<number, GGUFNumberType> = new Map(
  Object.entries(numberTypes).map(([name, { id }]) => [id, name as GGUFNumberType]),
);

/** A type of tensors: rows are cut into blocks of so many elements, each stored in so many bytes. */
export interface GGUFTensorType {
  readonly id: number;
  readonly name: string;
  readonly blockElements: number;
  readonly blockBytes: number;
}

const table: readonly (readonly [id: number, name: string, elements: number, bytes: number])[] = [
  [0, "F32", 1, 4],
  [1, "F16", 1, 2],
  [2, "Q4_0", 32, 18],
  [3, "Q4_1", 32, 20],
  [6, "Q5_0", 32, 22],
  [7, "Q5_1", 32, 24],
  [8, "Q8_0", 32, 34],
  [9, "Q8_1", 32, 40],
  [10, "Q2_K", 256, 84],
  [11, "Q3_K", 256, 110],
  [12, "Q4_K", 256, 144],
  [13, "Q5_K", 256, 176],
  [14, "Q6_K", 256, 210],
  [15, "Q8_K", 256, 292],
  [16, "IQ2_XXS", 256, 66],
  [17, "IQ2_XS", 256, 74],
  [18, "IQ3_XXS", 256, 98],
  [19, "IQ1_S", 256, 50],
  [20, "IQ4_NL", 32, 18],
  [21, "IQ3_S", 256, 110],
  [22, "IQ2_S", 256, 82],
  [23, "IQ4_XS", 256, 136],
  [24, "I8", 1, 1],
  [25, "I16", 1, 2],
  [26, "I32", 1, 4],
  [27, "I64", 1, 8],
  [28, "F64", 1, 8],
  [29, "IQ1_M", 256, 56],
  [30, "BF16", 1, 2],
  [34, "TQ1_0", 256, 54],
  [35, "TQ2_0", 256, 66],
  [39, "MXFP4", 32, 17],
  [40, "NVFP4", 64, 36],
  [41, "Q1_0", 128, 18],
];

const tensorTypes = table.map(
  ([id, name, blockElements, blockBytes]): GGUFTensorType => ({ id, name, blockElements, blockBytes }),
);
export const tensorTypeById: ReadonlyMap<number, GGUFTensorType> = new Map(
  tensorTypes.map((type) => [type.id, type]),
);
export const tensorTypeByName: ReadonlyMap<string, GGUFTensorType> = new Map(
  tensorTypes.map((type) => [type.name, type]),
);
