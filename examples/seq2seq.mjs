// What the encoder–decoder examples share: batches of token pairs, and a training loop.
import { AdamW, bucketedBatches, cosineSchedule, noGrad, seq2seqBatch, step, tensor } from "trainformer";

const lengthOf = ({ source, target }) => Math.max(source.length, target.length) + 1; // and the token that ends it

/**
 * Pairs { source, target } of token ids as what the model takes: `[B, S]` ids and the rest by name. The first `given`
 * tokens of a target are not for the model to find: a language, for example.
 */
export function batchOf(model, pairs, { given = 0 } = {}) {
  const batch = seq2seqBatch(pairs, model.config);
  const [B, T] = batch.labelShape;
  for (let b = 0; b < B; b++) batch.labels.fill(-100, b * T, b * T + given);
  return {
    inputIds: tensor(batch.inputIds, batch.inputShape),
    lengths: tensor(batch.inputLengths, [B]),
    decoderInputIds: tensor(batch.decoderInputIds, [B, T]),
    labels: tensor(batch.labels, [B, T]),
    tokens: batch.labels.filter((label) => label !== -100).length,
  };
}

/** Mean loss of the tokens of all targets, in nats. */
export async function lossOf(model, pairs, { given, maxTokens = 2048 } = {}) {
  let [sum, count] = [0, 0];
  model.eval();
  for (const { indices } of bucketedBatches(pairs.map(lengthOf), { maxTokens, seed: 0 })) {
    const batch = Array.from(indices, (i) => pairs[i]);
    const { inputIds, tokens, ...input } = batchOf(model, batch, { given });
    const loss = step(() => noGrad(() => model(inputIds, input).loss));
    sum += (await loss.item()) * tokens;
    count += tokens;
  }
  model.train();
  return sum / count;
}

/**
 * Texts to restore from every third word. They teach that the words to write have to do with those that are read, for
 * which a few hundred examples of the task itself are not enough.
 *
 * See Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training".
 */
export const fragmentsOf = (texts) =>
  texts.map((target, n) => {
    const kept = target.split(" ").filter((_, i) => (i + n) % 3 === 0);
    return { source: kept.join(" "), target };
  });

/**
 * Trains with label smoothing on batches of pairs of similar length. `save` is called whenever the loss of the
 * validation pairs is the lowest so far.
 */
export async function trainSeq2Seq(model, { train, validation, given, steps, maxTokens, peak, seed, save }) {
  const optimizer = new AdamW(model.parameters(), { betas: [0.9, 0.98] });
  const warmupSteps = Math.ceil(steps / 10);
  const learningRate = cosineSchedule({ peak, floor: peak / 50, warmupSteps, steps });
  const lengths = train.map(lengthOf);
  const losses = [];
  let [done, best, start] = [0, Infinity, performance.now()];
  for (let epoch = 0; done < steps; epoch++) {
    for (const { indices } of bucketedBatches(lengths, { maxTokens, seed, epoch })) {
      const batch = Array.from(indices, (i) => train[i]);
      const { inputIds, tokens, ...input } = batchOf(model, batch, { given });
      const loss = step(() => {
        const { loss } = model(inputIds, { ...input, labelSmoothing: 0.1 });
        loss.backward();
        optimizer.step({ learningRate: learningRate(done), maxGradNorm: 1 });
        return loss;
      });
      done++;
      if (done % Math.ceil(steps / 20) === 0 || done === steps) {
        const [now, heldOut] = [await loss.item(), await lossOf(model, validation, { given })];
        losses.push(heldOut);
        if (heldOut < best) await save?.();
        const mark = heldOut < best ? " *" : "";
        best = Math.min(best, heldOut);
        const seconds = ((performance.now() - start) / 1000).toFixed(0);
        const shown = [`loss ${now.toFixed(3)}`, `validation ${heldOut.toFixed(3)}${mark}`, `${seconds} s`];
        console.log(`step ${done}/${steps}  epoch ${epoch + 1}  ${shown.join("  ")}`);
      }
      if (done === steps) break;
    }
  }
  return losses;
}
