import { type IncomingHttpHeaders, request } from "node:http";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Asks once; of an endless answer, what had come when `until` was seen. */
export function ask(
  url: string,
  options: { headers?: Record<string, string>; method?: string; until?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      url,
      { headers: options.headers ?? {}, method: options.method ?? "GET" },
      (response) => {
        let body = "";
        const done = () => resolve({ status: response.statusCode!, headers: response.headers, body });
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          body += text;
          if (options.until && body.includes(options.until)) {
            done();
            asked.destroy();
          }
        });
        response.on("end", done);
        response.on("error", () => {});
      },
    );
    asked.on("error", reject);
    asked.end();
  });
}
