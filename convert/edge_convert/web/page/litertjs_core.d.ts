// As much of @litertjs/core as the page calls. The exporter puts the package's own module here.
import type { LiteRt } from "../js/litert.js";
export function loadLiteRt(path: string): Promise<LiteRt>;
