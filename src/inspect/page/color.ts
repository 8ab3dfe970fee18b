/**
 * Two hues, one meaning each: "up" is more attention, or raises a prediction; "down" is surprise, or lowers one. Ramps
 * go from the page away from it, so more is always further from the paper, in both themes.
 */
export type Hue = "up" | "down";
export type Color = readonly [number, number, number];

const stops: Readonly<Record<"light" | "dark", Readonly<Record<Hue, readonly string[]>>>> = {
  light: {
    up: ["#fcfcfa", "#dfe9f5", "#aec8ea", "#6697d5", "#245fb5", "#0d2c61"],
    down: ["#fcfcfa", "#f8e8da", "#efcba8", "#e2a065", "#c56f20"],
  },
  dark: {
    up: ["#16191d", "#1b2f4c", "#265189", "#3d7dca", "#7db2f5", "#e4f0ff"],
    down: ["#16191d", "#37281b", "#614023", "#97632f", "#dc9250"],
  },
};

const parts = (hex: string): Color => [
  Number.parseInt(hex.slice(1, 3), 16),
  Number.parseInt(hex.slice(3, 5), 16),
  Number.parseInt(hex.slice(5, 7), 16),
];

function ramp(names: readonly string[]): Color[] {
  const colors = names.map(parts);
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (colors.length - 1);
    const k = Math.min(colors.length - 2, Math.floor(at));
    const [a, b] = [colors[k]!, colors[k + 1]!];
    const mix = (c: 0 | 1 | 2) => Math.round(a[c] + (b[c] - a[c]) * (at - k));
    return [mix(0), mix(1), mix(2)];
  });
}

let ramps: Record<Hue, Color[]> = { up: ramp(stops.light.up), down: ramp(stops.light.down) };

export const useTheme = (theme: "light" | "dark"): void => {
  ramps = { up: ramp(stops[theme].up), down: ramp(stops[theme].down) };
};

/** The color of a share in [0, 1]. */
export const shade = (hue: Hue, share: number): Color =>
  ramps[hue][Math.max(0, Math.min(255, Math.round(share * 255)))]!;

export const css = (color: Color): string => `rgb(${color.join(" ")})`;

/** Relative luminance by WCAG 2. */
function luminance(color: Color): number {
  const [r, g, b] = color.map((part) => {
    const c = part / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as unknown as Color;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Black or white, whichever stands out more on `color`: at least 4.58 to 1. */
export const inkOn = (color: Color): string => (luminance(color) > 0.1791 ? "#000" : "#fff");
