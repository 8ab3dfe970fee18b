import { backward } from "./autograd.ts";
import * as ops from "./ops/index.ts";
import { bindFunctional } from "./tensor.ts";

export { backward } from "./autograd.ts";
export * from "./ops/index.ts";

bindFunctional({ backward, ...ops });
