import { readFileSync } from "node:fs";
import { expect } from "vitest";

/* A reader of event files that shares nothing with the writer. */

/** CRC-32C by definition: division of polynomials over GF(2), bit by bit, without a table. */
export function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  return Number(crc ^ 0xffffffffn);
}
function slowMask(bytes: Uint8Array): number {
  const crc = BigInt(slowCrc32c(bytes));
  return Number((((crc >> 15n) | (crc << 17n)) + 0xa282ead8n) & 0xffffffffn);
}

/** The payloads of a file of TFRecords whose checksums are right, and how many bytes are left behind the last one. */
export function records(file: Buffer): { payloads: Buffer[]; rest: number } {
  const payloads: Buffer[] = [];
  let at = 0;
  while (at + 12 <= file.length) {
    const length = Number(file.readBigUInt64LE(at));
    if (at + 16 + length > file.length) break;
    const payload = file.subarray(at + 12, at + 12 + length);
    expect(file.readUInt32LE(at + 8)).toBe(slowMask(file.subarray(at, at + 8)));
    expect(file.readUInt32LE(at + 12 + length)).toBe(slowMask(payload));
    payloads.push(payload);
    at += 16 + length;
  }
  return { payloads, rest: file.length - at };
}

/** Fields of a protocol buffer by number, the last of each: numbers of varints, bytes of everything else. */
export function fields(message: Uint8Array): Record<number, Buffer | number> {
  const bytes = Buffer.from(message);
  const found: Record<number, Buffer | number> = {};
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const type = key % 8;
    if (type === 0) found[key >> 3] = varint();
    else {
      const length = type === 2 ? varint() : type === 1 ? 8 : 4;
      found[key >> 3] = bytes.subarray(at, (at += length));
    }
  }
  return found;
}

export interface Read {
  step: number;
  wallTime: number;
  value: Record<number, Buffer | number>;
}
/** The events of a file after its first, each with one Summary.Value or none. */
export function events(file: string): Read[] {
  const { payloads, rest } = records(readFileSync(file));
  expect(rest).toBe(0);
  return payloads.slice(1).map((payload) => {
    const { 1: wallTime, 2: step = 0, 5: summary } = fields(payload);
    const value = summary === undefined ? {} : fields(fields(summary as Buffer)[1] as Buffer);
    return { step: step as number, wallTime: (wallTime as Buffer).readDoubleLE(), value };
  });
}
export const tagOf = ({ value }: Read) => (value[1] as Buffer).toString();
export const scalarOf = ({ value }: Read) => (value[2] as Buffer).readFloatLE();
