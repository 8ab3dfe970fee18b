import type { Fail } from "./stored-tensor.ts";

/** Thrown where the bytes at hand end before the header does: more of the file is needed. */
export class MoreBytesNeeded extends Error {}

/** Reads the header of a GGUF file from front to back. Nothing is allocated for what the file is too short to hold. */
export class Cursor {
  position = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly fileBytes: number;
  private readonly fail: Fail;

  /** @param bytes the first of the file's `fileBytes` */
  constructor(bytes: Uint8Array, fileBytes: number, fail: Fail) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.fileBytes = fileBytes;
    this.fail = fail;
  }

  /** Goes over `count` things of `size` bytes at least and returns where they begin. */
  private skip(count: number, size: number, what: string): number {
    this.expect(count, size, what);
    const begin = this.position;
    const end = begin + count * size;
    if (end > this.bytes.length) throw new MoreBytesNeeded();
    this.position = end;
    return begin;
  }

  /** Throws unless the file can hold `count` things of `size` bytes from here on. */
  expect(count: number, size: number, what: string): void {
    const left = this.fileBytes - this.position;
    if (count * size <= left) return;
    const needed = size === 1 ? `${count}` : `${count} · ${size}`;
    this.fail(`${what} must have ${needed} bytes from byte ${this.position} on; got ${left} to the end`);
  }

  u32(what: string): number {
    return this.view.getUint32(this.skip(1, 4, what), true);
  }

  /** A count or an offset. */
  size(what: string): number {
    const value = this.view.getBigUint64(this.skip(1, 8, what), true);
    return value <= Number.MAX_SAFE_INTEGER
      ? Number(value)
      : this.fail(`${what} must be below 2^53; got ${value}`);
  }

  /** A copy, so that it is aligned. */
  copy(count: number, size: number, what: string): ArrayBuffer {
    const begin = this.skip(count, size, what);
    return new Uint8Array(this.bytes.subarray(begin, this.position)).buffer;
  }

  string(what: string): string {
    const length = this.size(`the length of ${what}`);
    const begin = this.skip(length, 1, what);
    try {
      return utf8.decode(this.bytes.subarray(begin, this.position));
    } catch {
      return this.fail(`${what} must be UTF-8`);
    }
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
