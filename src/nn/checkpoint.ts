import { BackwardPass, noGrad, record, withRecording } from "../autograd.ts";
import { ArgumentError } from "../errors.ts";
import { generatorState, setGeneratorState } from "../generator.ts";
import { scope } from "../memory.ts";
import { Tensor } from "../tensor.ts";

/**
 * Runs `body(...inputs)` without keeping what its backward pass would need, and runs it again when that pass comes:
 * memory for one more forward pass. Dropout draws the same numbers both times.
 *
 * Gradients reach the inputs given here and every parameter used inside; other tensors that `body` refers to are taken
 * as constants.
 *
 * @see Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"
 */
export function checkpoint(body: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor {
  const before = generatorState();
  const result = noGrad(() => scope(() => body(...inputs)));
  if (!(result instanceof Tensor)) throw new ArgumentError("checkpoint: the function must return a tensor");
  const output = result.detach();
  // The parameters inside are not known yet, so the call is recorded as if one of them were among its inputs.
  const marker = new Tensor(output.storage, output.shape, output.strides, output.offset);
  marker.requiresGrad = true;
  record("checkpoint", [...inputs, marker], [output], {
    backward(pass, [dy]) {
      const after = generatorState();
      setGeneratorState(before);
      const given = scope(() => {
        const detached = inputs.map((input) => {
          const copy = input.detach();
          copy.requiresGrad = input.requiresGrad;
          return copy;
        });
        const again = withRecording(true, () => body(...detached));
        if (again.requiresGrad) new BackwardPass().run([[again, dy!]], false);
        return detached.map((copy) => copy.grad);
      });
      setGeneratorState(after);
      inputs.forEach((input, i) => {
        const gradient = given[i];
        if (gradient !== undefined) pass.give(input, gradient);
      });
    },
  });
  return output;
}
