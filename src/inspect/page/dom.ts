type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;
type Child = Node | string | undefined;

/** What is set as a property because a policy forbids `style` as an attribute. */
function fill<E extends HTMLElement | SVGElement>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    if (name.startsWith("--")) element.style.setProperty(name, String(value));
    else element.setAttribute(name, String(value));
  }
  for (const child of children) if (child !== undefined) element.append(child);
  return element;
}

/** An element of HTML. Text is only ever a child, never markup; `--name` sets a custom property. */
export const html = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] => fill(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const svg = <K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/** The element with this id, which the page has. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element "${id}"`);
  return found as E;
}

export const pressed = (button: Element, on: boolean): void =>
  button.setAttribute("aria-pressed", String(on));

/** Puts the buttons of a choice to work: each carries its value as `data-value`. */
export function choice<V extends string>(box: HTMLElement, choose: (value: V) => void): (current: V) => void {
  const buttons = [...box.querySelectorAll("button")];
  for (const button of buttons) button.addEventListener("click", () => choose(button.dataset.value as V));
  return (current) => {
    for (const button of buttons) pressed(button, button.dataset.value === current);
  };
}

const ruler = document.createElement("canvas").getContext("2d")!;
const family = getComputedStyle(document.documentElement).getPropertyValue("--sans");

/** Width of a text in pixels, in the font of the page. */
export function widthOf(text: string, size: number, weight = 400): number {
  ruler.font = `${weight} ${size}px ${family}`;
  return ruler.measureText(text).width;
}

export const fontOf = (size: number, weight = 400): string => `${weight} ${size}px ${family}`;

/** `text`, shortened from its end until it fits `width` pixels. */
export function fitted(text: string, width: number, size: number): string {
  if (widthOf(text, size) <= width) return text;
  const letters = [...text];
  let low = 0;
  let high = letters.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (widthOf(`${letters.slice(0, middle).join("")}…`, size) <= width) low = middle;
    else high = middle - 1;
  }
  return `${letters.slice(0, low).join("")}…`;
}
