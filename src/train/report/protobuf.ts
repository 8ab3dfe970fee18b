/**
 * A message in the wire format of protocol buffers (protobuf.dev/programming-guides/encoding): each field is its number
 * and type, then its value. Fields are written in the order of the calls. A proto3 field outside of a `oneof` is absent
 * at its default: those methods are called `…Unless0`.
 */
export class Message {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  #push(part: Uint8Array): this {
    this.#parts.push(part);
    this.#length += part.length;
    return this;
  }

  #varint(value: number): this {
    const bytes: number[] = [];
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    return this.#push(Uint8Array.of(...bytes, rest));
  }

  /** Wire types: 0 varint, 1 eight bytes, 2 a length and as many bytes, 5 four bytes. */
  #key(field: number, wireType: 0 | 1 | 2 | 5): this {
    return this.#varint(8 * field + wireType);
  }

  /** int32, int64, enum: an integer from 0 to 2⁵³ − 1. */
  integer(field: number, value: number): this {
    return this.#key(field, 0).#varint(value);
  }

  integerUnless0(field: number, value: number): this {
    return value === 0 ? this : this.integer(field, value);
  }

  float(field: number, value: number): this {
    return this.#key(field, 5).#push(littleEndian(Float32Array.of(value)));
  }

  double(field: number, value: number): this {
    return this.#key(field, 1).#push(littleEndian(Float64Array.of(value)));
  }

  /** Negative zero is not the default. */
  doubleUnless0(field: number, value: number): this {
    return Object.is(value, 0) ? this : this.double(field, value);
  }

  /** `repeated double`, packed. */
  doubles(field: number, values: Float64Array): this {
    return values.length === 0 ? this : this.bytes(field, littleEndian(values));
  }

  bytes(field: number, value: Uint8Array): this {
    return this.#key(field, 2).#varint(value.length).#push(value);
  }

  string(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, value: Message): this {
    this.#key(field, 2).#varint(value.#length);
    for (const part of value.#parts) this.#push(part);
    return this;
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts, this.#length);
  }
}

/** The bytes of an array: the order of all machines that this library runs on. */
const littleEndian = ({ buffer, byteOffset, byteLength }: Float32Array | Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
