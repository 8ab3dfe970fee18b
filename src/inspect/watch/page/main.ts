import { byId, choice } from "../../page/dom.ts";
import { Themes } from "../../page/theme.ts";
import { History, type HistoryData, type WatchLine } from "../history.ts";
import { drawForming } from "./forming.ts";
import { type Connection, drawHead, drawState } from "./head.ts";
import { drawHealth } from "./health.ts";
import { drawLearning } from "./learning.ts";
import { Writes } from "./writes.ts";

type Header = HistoryData & { readonly isLive: boolean };

function open(): void {
  const header = JSON.parse(byId("header").textContent!) as Header;
  let history = History.from(header);
  let connection: Connection = "none";
  const given = new URLSearchParams(location.hash.slice(1));
  let isLog = given.get("steps") === "log";
  const themes = new Themes(byId("theme"), given.get("theme"), () => {
    remember();
    draw();
  });
  const writes = new Writes();
  const press = choice<"linear" | "log">(byId("scale"), (value) => {
    isLog = value === "log";
    remember();
    draw();
  });
  const remember = () => {
    const values = { ...(isLog ? { steps: "log" } : {}), ...(themes.chosen ? { theme: themes.chosen } : {}) };
    window.history.replaceState(null, "", `${location.search}#${new URLSearchParams(values)}`);
  };

  function draw(): void {
    press(isLog ? "log" : "linear");
    drawState(history, connection);
    drawHead(history);
    drawLearning(history, isLog);
    writes.draw(history);
    drawHealth(history);
    drawForming(history);
  }

  let frame = 0;
  const drawSoon = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  };
  addEventListener("resize", drawSoon);
  draw();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
  if (!header.isLive) return;

  const token = new URLSearchParams(location.search).get("token") ?? "";
  const source = new EventSource(`/events?token=${encodeURIComponent(token)}`);
  const on = (name: string, hear: (data: unknown) => void) =>
    source.addEventListener(name, (event) => hear(JSON.parse((event as MessageEvent<string>).data)));
  on("history", (data) => {
    history = History.from(data as HistoryData);
    if (history.end) source.close();
    drawSoon();
  });
  on("lines", (lines) => {
    for (const line of lines as WatchLine[]) history.add(line);
    if (history.end) source.close();
    drawSoon();
  });
  on("trouble", (data) => {
    byId("trouble").textContent = (data as { message: string }).message;
    source.close();
  });
  source.addEventListener("open", () => {
    connection = "open";
    drawState(history, connection);
  });
  source.addEventListener("error", () => {
    connection = "lost";
    drawState(history, connection);
  });
  setInterval(() => drawState(history, connection), 1000);
}

open();
