export { WatchServer, type WatchServerOptions } from "./server.ts";
export { WatchReporter, type WatchReporterOptions, writeWatchPage } from "./watch-reporter.ts";
