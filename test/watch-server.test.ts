import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import type { HistoryData, WatchLine } from "../src/inspect/watch/history.ts";
import { WatchServer } from "../src/inspect/watch/index.ts";
import { RunFile } from "../src/inspect/watch/run-file.ts";
import { ask } from "./http.ts";

const root = mkdtempSync(path.join(tmpdir(), "trainformer-watch-server-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newFolder = () => path.join(root, String(folders++));

describe("the server", () => {
  const servers: WatchServer[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
  });
  const start = async () => {
    const folder = newFolder();
    const file = new RunFile(folder);
    await file.resume(0);
    const server = await WatchServer.start(folder, { pollInterval: 20 });
    servers.push(server);
    return { file, server, events: server.url.replace("/?", "/events?") };
  };

  test("listens on this machine alone, and answers who has the token", async () => {
    const { server } = await start();
    const { hostname, port, searchParams } = new URL(server.url);
    expect(hostname).toBe("127.0.0.1");
    expect(searchParams.get("token")!.length).toBeGreaterThanOrEqual(20);
    const page = await ask(server.url);
    expect(page.status).toBe(200);
    expect(page.body).toContain("Is it learning?");
    expect(page.body).toMatch(/default-src 'none'.*connect-src 'self'"/);
    expect(page.headers["access-control-allow-origin"]).toBeUndefined();
    expect(page.headers["x-frame-options"]).toBe("DENY");
    const origin = `http://127.0.0.1:${port}`;
    expect((await ask(`${origin}/`)).status).toBe(403);
    expect((await ask(`${origin}/events?token=wrong`)).status).toBe(403);
    expect((await ask(`${server.url.slice(0, -1)}x`)).status).toBe(403);
    expect((await ask(server.url, { headers: { Host: "evil.example" } })).status).toBe(421);
    expect((await ask(server.url, { headers: { Host: `evil.example:${port}` } })).status).toBe(421);
    expect((await ask(server.url, { method: "POST" })).status).toBe(405);
    expect((await ask(server.url.replace("/?", "/../etc/passwd?"))).status).toBe(404);
    expect(
      (await ask(server.url.replace("/?", "/events?"), { headers: { "Last-Event-ID": "-1" } })).status,
    ).toBe(400);
  });

  test("a port that is taken is refused by name", async () => {
    const { server } = await start();
    const port = Number(new URL(server.url).port);
    await expect(WatchServer.start(newFolder(), { port })).rejects.toThrow(
      new RegExp(`port ${port} cannot be had`),
    );
    await expect(WatchServer.start(newFolder(), { port: 99_999 })).rejects.toThrow(
      /port must be an integer from 0/,
    );
  });

  test("sends what happened, what happens, and after a break what was missed and nothing twice", async () => {
    const { file, events } = await start();
    const log = (at: number): WatchLine => ({ kind: "log", step: at, time: 1, values: { loss: at } });
    for (let at = 1; at <= 5; at++) await file.append(log(at));
    const first = await ask(events, { until: "\n\n" });
    expect(first.headers["content-type"]).toBe("text/event-stream");
    const [, name, id, data] = /event: (\w+)\nid: (\d+)\ndata: (.*)\n\n/.exec(first.body)!;
    expect(name).toBe("history");
    expect(Number(id)).toBe(await file.size());
    expect((JSON.parse(data!) as HistoryData).series.loss).toHaveLength(5);
    const later = ask(events, { headers: { "Last-Event-ID": id! }, until: "\n\n" });
    await file.append(log(6));
    const second = /event: (\w+)\nid: (\d+)\ndata: (.*)\n\n/.exec((await later).body)!;
    expect(second[1]).toBe("lines");
    expect(JSON.parse(second[3]!)).toEqual([log(6)]);
    expect(Number(second[2])).toBe(await file.size());
  });

  test("sends many missed lines thinned", async () => {
    const { file, events } = await start();
    const lines = Array.from({ length: 6000 }, (_, at) =>
      JSON.stringify({ kind: "log", step: at, time: 1, values: { loss: at } }),
    );
    appendFileSync(file.path, `${lines.join("\n")}\n`);
    const { body } = await ask(events, {
      headers: { "Last-Event-ID": String(lines[0]!.length + 1) },
      until: "\n\n",
    });
    const data = JSON.parse(/data: (.*)\n/.exec(body)![1]!) as HistoryData;
    expect(data.series.loss!.length).toBeLessThanOrEqual(2000);
    expect(data.series.loss![0]).toEqual([0, 0]);
  });

  test("says what is wrong with a file", async () => {
    const { file, events } = await start();
    appendFileSync(file.path, "{oops\n");
    const { body } = await ask(events, { until: "\n\n" });
    expect(body).toContain("event: trouble");
    expect(body).toContain("watch.jsonl: line 1");
  });
});
