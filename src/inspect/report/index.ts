export { type ReportOptions, reportHTML, writeReport } from "./html.ts";
