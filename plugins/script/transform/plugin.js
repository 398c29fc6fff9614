// The bundled transform `script-transform`.

import { runScript, schema } from "./script.js";

export const description =
  "Makes new data by a function in JavaScript that is written in the config: it gets the event and returns the data.";

export const config = schema(
  'JavaScript: a function that gets the event and returns new data. ({ data }) => ({ ...data, source: "chat" })',
);

export const transform = (event, config) => runScript("transform", event, config);
