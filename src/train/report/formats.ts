/** 950, 10.2k, 3.1M, 2.0G: four characters and a unit at most. */
export function formatCount(n: number): string {
  if (n < 999.5) return n.toFixed(0);
  for (const [unit, suffix] of [
    [1e3, "k"],
    [1e6, "M"],
  ] as const) {
    if (n / unit < 999.95) return (n / unit).toFixed(1) + suffix;
  }
  return `${(n / 1e9).toFixed(1)}G`;
}

/** 0:58, 12:05, 3:00:07. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const two = (n: number): string => String(n).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  const clock = minutes < 60 ? `${minutes}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}`;
  return `${clock}:${two(seconds % 60)}`;
}

/** A measure in few characters: 1.712, 231.1, 12345, 6.1e-4, NaN. */
export function formatNumber(n: number): string {
  const size = Math.abs(n);
  if (Number.isInteger(n) && size < 1e9) return String(n);
  if (!Number.isFinite(n)) return String(n);
  if (size < 1e-2 || size >= 1e9) return n.toExponential(1);
  return n.toFixed(Math.max(0, Math.min(3, 4 - Math.ceil(Math.log10(size)))));
}
