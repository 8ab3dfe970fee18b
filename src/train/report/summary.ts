import type { Histogram } from "./histogram.ts";
import { Message } from "./protobuf.ts";

/**
 * Messages of TensorFlow's summary.proto and tensor.proto, field for field as torch's SummaryWriter fills them. Scalars,
 * histograms and images have their classic fields, which every reader of event files knows and TensorBoard turns into
 * those of its plugins; text and hyperparameters have the metadata of theirs.
 */

/** Event.summary of one or more Summary.Value. */
export function summary(...values: readonly Message[]): Message {
  const message = new Message();
  for (const value of values) message.message(1, value);
  return message;
}

export const scalarValue = (tag: string, value: number): Message =>
  new Message().string(1, tag).float(2, value);

export function histogramValue(tag: string, histogram: Histogram): Message {
  const { min, max, count, sum, sumOfSquares, limits, counts } = histogram;
  const histo = new Message()
    .doubleUnless0(1, min)
    .doubleUnless0(2, max)
    .doubleUnless0(3, count)
    .doubleUnless0(4, sum)
    .doubleUnless0(5, sumOfSquares)
    .doubles(6, limits)
    .doubles(7, counts);
  return new Message().string(1, tag).message(5, histo);
}

/** `png` of 1 (gray), 2 (gray with alpha), 3 (RGB) or 4 (RGBA) channels. */
export function imageValue(
  tag: string,
  png: Uint8Array,
  height: number,
  width: number,
  channels: number,
): Message {
  const image = new Message().integer(1, height).integer(2, width).integer(3, channels).bytes(4, png);
  return new Message().string(1, tag).message(4, image);
}

const stringDtype = 7;

export function textValue(tag: string, text: string): Message {
  const shape = new Message().message(2, new Message().integer(1, 1));
  const tensor = new Message()
    .integer(1, stringDtype)
    .message(2, shape)
    .bytes(8, new TextEncoder().encode(text));
  return new Message()
    .string(1, `${tag}/text_summary`)
    .message(8, tensor)
    .message(9, metadata("text", new Uint8Array(0)));
}

/** A value without data: what it says is in its metadata. */
export const pluginValue = (tag: string, plugin: string, content: Uint8Array): Message =>
  new Message().string(1, tag).message(9, metadata(plugin, content));

function metadata(plugin: string, content: Uint8Array): Message {
  const data = new Message().string(1, plugin);
  if (content.length > 0) data.bytes(2, content);
  return new Message().message(1, data);
}
