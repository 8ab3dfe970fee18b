import { ArgumentError } from "../../errors.ts";
import { Message } from "./protobuf.ts";
import { pluginValue } from "./summary.ts";

export type Hparam = number | string | boolean;

const dataTypes = { string: 1, boolean: 2, number: 3 } as const;
const success = 1;

/** google.protobuf.Value: 2 number_value, 3 string_value, 4 bool_value. */
function protobufValue(value: Hparam): Message {
  if (typeof value === "number") return new Message().double(2, value);
  if (typeof value === "string") return new Message().string(3, value);
  return new Message().integer(4, Number(value));
}

/**
 * The three values of the plugin for hyperparameters (tensorboard/plugins/hparams): the experiment with the names of its
 * settings and metrics, the session with its settings, and that it has ended.
 *
 * @throws ArgumentError unless every setting is a finite number, a string or a boolean
 */
export function hparamsValues(
  hparams: Readonly<Record<string, Hparam>>,
  metrics: Readonly<Record<string, number>>,
): [experiment: Message, start: Message, end: Message] {
  const experiment = new Message();
  const start = new Message();
  for (const [name, value] of Object.entries(hparams)) {
    const type = dataTypes[typeof value as keyof typeof dataTypes];
    if (type === undefined || (typeof value === "number" && !Number.isFinite(value)))
      throw new ArgumentError(
        `addHparams: ${name} must be a finite number, a string or a boolean; got ${String(value)}`,
      );
    experiment.message(4, new Message().string(1, name).integer(4, type));
    start.message(1, new Message().string(1, name).message(2, protobufValue(value)));
  }
  for (const tag of Object.keys(metrics))
    experiment.message(5, new Message().message(1, new Message().string(2, tag)));
  const end = new Message().integer(1, success);
  const value = (tag: string, field: number, content: Message) =>
    pluginValue(`_hparams_/${tag}`, "hparams", new Message().message(field, content).finish());
  return [
    value("experiment", 2, experiment),
    value("session_start_info", 3, start),
    value("session_end_info", 4, end),
  ];
}
