import { html } from "./dom.ts";

const tip = html("div", { class: "tip", "aria-hidden": true });

/** Shows `text` beside the pointer. What it says is also to be had without a pointer. */
function show(event: PointerEvent, text: string): void {
  if (!tip.isConnected) document.body.append(tip);
  tip.textContent = text;
  tip.classList.add("on");
  const { offsetWidth: width, offsetHeight: height } = tip;
  const x = Math.max(8, Math.min(innerWidth - width - 8, event.clientX + 12));
  const below = event.clientY + 18;
  const y = below + height > innerHeight - 8 ? event.clientY - height - 12 : below;
  tip.style.transform = `translate(${x}px, ${y}px)`;
}

export const hideTip = (): void => tip.classList.remove("on");

/** `text` is asked at every move of the pointer; undefined shows nothing. */
export function tipOn(element: Element, text: (event: PointerEvent) => string | undefined): void {
  (element as HTMLElement).addEventListener("pointermove", (event) => {
    const now = text(event);
    if (now === undefined) hideTip();
    else show(event, now);
  });
  element.addEventListener("pointerleave", hideTip);
}
