import {
  AdamW,
  attention,
  type Device,
  GPT,
  matmul,
  noGrad,
  randn,
  scope,
  step,
  type Tensor,
  tensor,
} from "../index.ts";

type Dtype = "f32" | "bf16";

/** Something to time: `work` units of it in each call. */
export interface Measurement {
  name: string;
  unit: string;
  /** Units a second are divided by this. */
  scale: number;
  /** Makes what is to be run on a device: each call does so much work and waits for its end. */
  prepare(device: Device): { work: number; run(): Promise<void> };
}

/** Waits for all that was enqueued before, by reading one element of what comes last. */
async function wait(result: Tensor): Promise<void> {
  await result.reshape(result.size).slice(0, 0, 1).toTypedArray();
}

/** C = A·B of [n, n], `times` of them in a row: 2·n³ operations each. */
function product(n: number, dtype: Dtype, times: number): Measurement {
  return {
    name: `product ${n} x ${n}, ${dtype}`,
    unit: "GFLOP/s",
    scale: 1e9,
    prepare(device) {
      const [a, b] = [randn([n, n], { dtype, device }), randn([n, n], { dtype, device })];
      return {
        work: 2 * n ** 3 * times,
        async run() {
          const last = scope(() => {
            let c = matmul(a, b);
            for (let i = 1; i < times; i++) c = matmul(a, b);
            return c;
          });
          await wait(last);
          last.dispose();
        },
      };
    },
  };
}

/** Causal attention forward and backward: T²/2 pairs, 4·D operations each forward and 10·D backward. */
function attentionPass(B: number, T: number, H: number, D: number, dtype: Dtype): Measurement {
  return {
    name: `attention ${B} x ${T} x ${H} x ${D}, ${dtype}`,
    unit: "GFLOP/s",
    scale: 1e9,
    prepare(device) {
      const make = () => randn([B, T, H, D], { dtype, device, requiresGrad: true });
      const inputs = [make(), make(), make()] as const;
      return {
        work: (B * H * T * T * D * 14) / 2,
        async run() {
          scope(() => {
            attention(...inputs, { causal: true })
              .sum()
              .backward();
          });
          await wait(inputs[0].grad!); // to which each run adds
        },
      };
    },
  };
}

const medium = { vocabSize: 4096, contextLength: 128, numLayers: 6, numHeads: 6, hiddenSize: 384, seed: 1 };
const tiny = { ...medium, contextLength: 32, numLayers: 1, numHeads: 2, hiddenSize: 32 };

/** Tokens that follow each other without a pattern that matters for speed. */
const tokens = (count: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => (i * 2654435761) % medium.vocabSize);

/** An update of a GPT: forward, backward, AdamW. */
function trainingStep(size: typeof medium, batchSize: number, dtype: Dtype): Measurement {
  const T = size.contextLength;
  return {
    name: `GPT ${size.numLayers} x ${size.hiddenSize}, trains ${batchSize} x ${T}, ${dtype}`,
    unit: "tokens/s",
    scale: 1,
    prepare(device) {
      const model = new GPT({ ...size, dtype }).to(device);
      const optimizer = new AdamW(model.parameters(), {});
      const ids = tokens(batchSize * T + 1);
      const inputs = tensor(ids.slice(0, -1), [batchSize, T], { device });
      const targets = tensor(ids.slice(1), [batchSize, T], { device });
      return {
        work: batchSize * T,
        async run() {
          const loss = step(() => {
            const { loss } = model(inputs, { targets });
            loss!.backward();
            optimizer.step({ learningRate: 1e-4, maxGradNorm: 1 });
            return loss!;
          });
          await loss.item();
          loss.dispose();
        },
      };
    },
  };
}

/** Tokens written one by one, behind a prompt of 16. */
function decoding(size: typeof medium, count: number, dtype: Dtype): Measurement {
  return {
    name: `GPT ${size.numLayers} x ${size.hiddenSize}, writes, ${dtype}`,
    unit: "tokens/s",
    scale: 1,
    prepare(device) {
      const model = new GPT({ ...size, dtype }).to(device);
      const prompt = tokens(16);
      return {
        work: count,
        async run() {
          await noGrad(() => model.generate(prompt, { maxNewTokens: count, eosTokenId: null }));
        },
      };
    },
  };
}

/** What `trainformer bench` times. @param small sizes for a look at whether it works */
export function measurements(small: boolean): readonly Measurement[] {
  const [n, T, batch, count] = small ? [64, 32, 1, 4] : [1024, 512, 8, 100];
  const size = small ? tiny : medium;
  const dtypes: readonly Dtype[] = ["f32", "bf16"];
  return [
    ...dtypes.map((dtype) => product(n, dtype, small ? 1 : 4)),
    ...dtypes.map((dtype) => attentionPass(small ? 1 : 4, T, 8, 64, dtype)),
    ...dtypes.map((dtype) => trainingStep(size, batch, dtype)),
    ...dtypes.map((dtype) => decoding(size, count, dtype)),
  ];
}
