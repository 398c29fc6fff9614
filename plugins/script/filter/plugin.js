// The bundled filter `script-filter`.

import { runScript, schema } from "./script.js";

export const description =
  "Passes or drops events by a function in JavaScript that is written in the config: true passes, a text drops with it as the reason.";

export const config = schema(
  'JavaScript: a function that gets the event. ({ data }) => data.labels.includes("vip") || "no label vip"',
);

export const filter = (event, config) => runScript("filter", event, config);
