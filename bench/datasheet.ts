/** What NVIDIA's datasheets promise of its devices. None of these numbers was measured here. */

export interface Datasheet {
  /** As the driver's name for the device contains it. */
  readonly name: string;
  /** Of products of bf16 on tensor cores that add in f32, without sparsity; TFLOP/s. */
  readonly bf16: number;
  /** Of multiply-adds in f32 on the other cores; TFLOP/s. */
  readonly f32: number;
  /** Of memory; GB/s. */
  readonly memory: number;
}

const entry = (name: string, bf16: number, f32: number, memory: number): Datasheet => ({
  name,
  bf16,
  f32,
  memory,
});

/** The first whose name fits is the one: longer names before those they begin with. */
const datasheets: readonly Datasheet[] = [
  entry("A100-SXM4-80GB", 312, 19.5, 2039),
  entry("A100 80GB PCIe", 312, 19.5, 1935),
  entry("A100-SXM4-40GB", 312, 19.5, 1555),
  entry("A100-PCIE-40GB", 312, 19.5, 1555),
  entry("H100 PCIe", 756, 51, 2000),
  entry("H100 80GB HBM3", 989, 67, 3350),
  entry("H200 NVL", 835, 60, 4800),
  entry("H200", 989, 67, 4800),
  entry("L40S", 362, 91.6, 864),
  entry("RTX 3090", 71, 35.6, 936),
  entry("RTX 4090", 165.2, 82.6, 1008),
];

/** Undefined for a device that is not in the table. */
export function datasheetOf(device: string): Datasheet | undefined {
  const variant = /RTX \d+ (Ti|D|SUPER|Laptop)\b/i; // another device
  return variant.test(device) ? undefined : datasheets.find(({ name }) => device.includes(name));
}
