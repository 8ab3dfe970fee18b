import { randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ArgumentError, checkInteger } from "../../errors.ts";
import { PageFile } from "../report/page-file.ts";
import { History, type WatchLine } from "./history.ts";
import { RunFile } from "./run-file.ts";

export interface WatchServerOptions {
  /** Default 0: a free one. */
  port?: number;
  /** How often the run's file is looked at while somebody watches, in milliseconds. Default 500. */
  pollInterval?: number;
}

/** Milliseconds after which a connection without news gets a sign of life. */
const heartbeat = 15_000;

/**
 * Shows the run in a folder to browsers of this machine: on 127.0.0.1, to those who know the token in `url`. Pages get
 * what happened so far, thinned, and then every new line of `watch.jsonl` as a server-sent event whose id is the offset
 * behind it, so that a page that comes back gets what it missed and nothing twice. Without a page open nothing is read.
 */
export class WatchServer {
  readonly url: string;
  private readonly server: Server;
  private readonly file: RunFile;
  private readonly token: string;
  private readonly hosts: ReadonlySet<string>;
  private readonly page = new PageFile("watch");
  private readonly watchers = new Set<Watcher>();
  private readonly pollInterval: number;

  private constructor(server: Server, folder: string, pollInterval: number) {
    this.server = server;
    this.file = new RunFile(folder);
    this.pollInterval = pollInterval;
    this.token = randomBytes(16).toString("base64url");
    const { port } = server.address() as AddressInfo;
    this.hosts = new Set([`127.0.0.1:${port}`, `localhost:${port}`]);
    this.url = `http://127.0.0.1:${port}/?token=${this.token}`;
    server.on("request", (request, response) => this.answer(request, response));
  }

  /** @throws ArgumentError if the port cannot be had */
  static async start(folder: string, options: WatchServerOptions = {}): Promise<WatchServer> {
    const port = checkInteger("WatchServer: port", options.port ?? 0, 0, 65535);
    const pollInterval = checkInteger("WatchServer: pollInterval", options.pollInterval ?? 500, 1);
    const server = createServer({ requestTimeout: 10_000 });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: Error) =>
        reject(new ArgumentError(`WatchServer: port ${port} cannot be had: ${cause.message}`)),
      );
      server.listen(port, "127.0.0.1", resolve);
    });
    server.unref();
    return new WatchServer(server, folder, pollInterval);
  }

  /** Sends what is new to every page at once. */
  async notify(): Promise<void> {
    await Promise.all([...this.watchers].map((watcher) => watcher.send()));
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    for (const watcher of this.watchers) watcher.end();
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const refuse = (status: number, text: string) => {
      response
        .writeHead(status, { "Content-Type": "text/plain; charset=utf-8", ...safeHeaders })
        .end(`${text}\n`);
    };
    if (!this.hosts.has(request.headers.host ?? "")) return refuse(421, "ask for it as 127.0.0.1");
    if (!isSame(url.searchParams.get("token") ?? "", this.token))
      return refuse(403, "the address lacks its token");
    if (request.method !== "GET") return refuse(405, "only GET");
    if (url.pathname === "/") {
      const header = { isLive: true, ...new History().data() };
      response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", ...safeHeaders });
      response.end(this.page.with("training", header, "", "; connect-src 'self'"));
      return;
    }
    if (url.pathname !== "/events") return refuse(404, "no such page");
    const last = Number(request.headers["last-event-id"] ?? 0);
    if (!Number.isSafeInteger(last) || last < 0)
      return refuse(400, "Last-Event-ID must be an offset in bytes");
    this.watch(response, last);
  }

  private watch(response: ServerResponse, from: number): void {
    response.writeHead(200, { "Content-Type": "text/event-stream", ...safeHeaders });
    const watcher = new Watcher(this.file, response, from, this.pollInterval);
    this.watchers.add(watcher);
    response.on("close", () => {
      watcher.end();
      this.watchers.delete(watcher);
    });
  }
}

const safeHeaders = {
  "Cache-Control": "no-store",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** Without telling by its time how much of the token was right. */
function isSame(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}

/** Lines above which what is missed is sent thinned, as a whole new history. */
const manyLines = 2000;

/** One page that is open. */
class Watcher {
  private readonly file: RunFile;
  private readonly response: ServerResponse;
  private offset: number;
  private readonly timer: NodeJS.Timeout;
  private lastSent = Date.now();
  private sending: Promise<void> = Promise.resolve();

  constructor(file: RunFile, response: ServerResponse, offset: number, pollInterval: number) {
    this.file = file;
    this.response = response;
    this.offset = offset;
    this.timer = setInterval(() => void this.send(), pollInterval);
    this.timer.unref();
    void this.send();
  }

  send(): Promise<void> {
    this.sending = this.sending.then(() => this.sendNew());
    return this.sending;
  }

  private async sendNew(): Promise<void> {
    if (this.response.writableEnded || this.response.writableNeedDrain) return;
    try {
      const size = await this.file.size();
      if (size < this.offset) this.offset = 0; // a run that began anew
      if (size > this.offset || this.offset === 0) await this.sendFrom(this.offset);
    } catch (error) {
      this.event("trouble", { message: error instanceof Error ? error.message : String(error) });
      this.end();
      return;
    }
    if (Date.now() - this.lastSent > heartbeat) this.write(": still here\n\n");
  }

  private async sendFrom(offset: number): Promise<void> {
    const { lines, end } = await this.file.read(offset);
    if (lines.length === 0) return;
    this.offset = end;
    if (offset > 0 && lines.length <= manyLines) this.event("lines", lines, end);
    else this.event("history", (await this.history(offset, lines)).data(), end);
  }

  private async history(offset: number, lines: readonly WatchLine[]): Promise<History> {
    const history = new History();
    const all = offset === 0 ? lines : (await this.file.read(0)).lines;
    for (const line of all) history.add(line);
    return history;
  }

  private event(name: string, data: unknown, id?: number): void {
    const json = JSON.stringify(data, (_, v) =>
      typeof v === "number" && !Number.isFinite(v) ? String(v) : v,
    );
    this.write(`event: ${name}\n${id === undefined ? "" : `id: ${id}\n`}data: ${json}\n\n`);
  }

  private write(text: string): void {
    this.lastSent = Date.now();
    this.response.write(text);
  }

  end(): void {
    clearInterval(this.timer);
    this.response.end();
  }
}
