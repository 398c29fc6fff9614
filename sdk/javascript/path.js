// Values by dotted path.

const own = (value, key) =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key) ? value[key] : undefined;

/** The value at a path, or undefined. A number steps into an array. */
export const path = (data, dotted) => dotted.split(".").reduce(own, data);

/** All values at a path. An array without a number in the path means each of its elements. */
export function values(data, dotted) {
  let found = [data];
  for (const key of dotted.split(".")) {
    const into = (value) =>
      Array.isArray(value) && !/^\d+$/.test(key) ? value.flatMap(into) : [own(value, key)];
    found = found.flatMap(into).filter((value) => value !== undefined);
  }
  return found.flatMap((value) => (Array.isArray(value) ? value : [value]));
}
