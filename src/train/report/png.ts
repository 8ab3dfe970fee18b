import { crc32, deflateSync } from "node:zlib";

/** PNG's colour types by channels: gray, gray with alpha, red green blue, and these with alpha. */
const colourTypes = [0, 4, 2, 6] as const;

/**
 * A PNG file (ISO/IEC 15948) of 8-bit samples.
 *
 * @param samples [height, width, channels], row-major; 1 to 4 channels
 */
export function encodePNG(samples: Uint8Array, height: number, width: number, channels: number): Uint8Array {
  const rowBytes = width * channels;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8; // bits a sample
  header[9] = colourTypes[channels - 1]!;
  // Each row with its filter before it: 2, the difference to the row above, whose bytes are often alike.
  const rows = new Uint8Array(height * (1 + rowBytes));
  for (let y = 0; y < height; y++) {
    const out = y * (1 + rowBytes);
    rows[out] = 2;
    for (let x = 0; x < rowBytes; x++) {
      const above = y === 0 ? 0 : samples[(y - 1) * rowBytes + x]!;
      rows[out + 1 + x] = samples[y * rowBytes + x]! - above;
    }
  }
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Length, type, data, and the CRC-32 of type and data. */
function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(4 + 4 + data.length + 4);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, "latin1");
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}
