// JSON Schemas: what they refer to, how they read, and a value that fits one.

import { folded, make, prose } from "./dom.js";

let root = {};

/** Take the document that references point into. */
export function use(document) {
  root = document;
}

/** Follow references; what stands beside a reference is kept. */
export function resolve(schema) {
  let found = schema ?? {};
  for (let hops = 0; found.$ref && hops < 20; hops += 1) {
    const { $ref, ...beside } = found;
    const parts = $ref.replace(/^#\//, "").split("/");
    const target = parts
      .map((part) => decodeURIComponent(part).replace(/~1/g, "/").replace(/~0/g, "~"))
      .reduce((at, part) => (at && Object.hasOwn(at, part) ? at[part] : undefined), root);
    found = { ...(target ?? {}), ...beside };
  }
  return found;
}

const refName = (schema) => (schema.$ref ? schema.$ref.split("/").pop() : "");
const arms = (schema) => schema.anyOf ?? schema.oneOf ?? [];
const isNull = (schema) => resolve(schema).type === "null";

/** Name a type: `integer`, `Order[]`, `string | null`. */
export function typeName(schema) {
  if (schema === true || !schema || !Object.keys(schema).length) return "anything";
  if (schema.$ref) return refName(schema);
  if (arms(schema).length) return [...new Set(arms(schema).map(typeName))].join(" | ");
  if (schema.allOf) return schema.allOf.map(typeName).join(" & ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.every((one) => typeof one === "string") ? "string" : "enum";
  if (schema.type === "array") {
    const item = typeName(schema.items ?? {});
    return item.includes(" ") ? `(${item})[]` : `${item}[]`;
  }
  if (schema.format === "binary") return "file";
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return `{ [key]: ${typeName(schema.additionalProperties)} }`;
  }
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type;
  return schema.format ? `${type ?? "string"} · ${schema.format}` : (type ?? schema.title ?? "object");
}

function range(low, high, unit) {
  const noun = high === 1 || (high === undefined && low === 1) ? unit.replace(/s$/, "") : unit;
  if (low !== undefined && high !== undefined) {
    return low === high ? `${low} ${noun}` : `${low}–${high} ${noun}`;
  }
  return low !== undefined ? `≥ ${low} ${noun}` : `≤ ${high} ${noun}`;
}

/** List what a value must be beside its type. */
export function constraints(schema) {
  const own = resolve(schema);
  const found = [];
  const has = (name) => own[name] !== undefined;
  if (has("minimum")) found.push(`≥ ${own.minimum}`);
  if (has("exclusiveMinimum")) found.push(`> ${own.exclusiveMinimum}`);
  if (has("maximum")) found.push(`≤ ${own.maximum}`);
  if (has("exclusiveMaximum")) found.push(`< ${own.exclusiveMaximum}`);
  if (has("multipleOf")) found.push(`multiple of ${own.multipleOf}`);
  if (has("minLength") || has("maxLength")) found.push(range(own.minLength, own.maxLength, "characters"));
  if (has("minItems") || has("maxItems")) found.push(range(own.minItems, own.maxItems, "items"));
  if (own.uniqueItems) found.push("each once");
  if (has("pattern")) found.push(`/${own.pattern}/`);
  if (own.enum) found.push(own.enum.map((one) => JSON.stringify(one)).join(" | "));
  for (const arm of arms(own)) if (!arm.$ref && !isNull(arm)) found.push(...constraints(arm));
  return found;
}

/** Show a value's type, what it must be, and its default. */
export function facts(schema) {
  const own = resolve(schema);
  const shown = constraints(schema).map((text) => make("span", { class: "fact" }, text));
  if (own.default !== undefined && own.default !== null) {
    shown.push(make("span", { class: "fact" }, "default ", make("code", {}, JSON.stringify(own.default))));
  }
  return [make("span", { class: "type" }, typeName(schema)), ...shown];
}

/** Every object that a schema may be, as `[name, schema]`; those of arrays with their items. */
function objects(schema) {
  const own = resolve(schema);
  const name = refName(schema) || own.title || typeName(own);
  if (own.properties) return [[name, own]];
  if (own.type === "array") return objects(own.items ?? {});
  if (typeof own.additionalProperties === "object") return objects(own.additionalProperties);
  return [...arms(own), ...(own.allOf ?? [])].flatMap(objects);
}

function rows(schema, told) {
  const required = new Set(schema.required ?? []);
  const names = Object.keys(schema.properties);
  if (told) names.sort((a, b) => required.has(b) - required.has(a));
  return make("ul", { class: "fields" }, names.map((name) => {
    const field = schema.properties[name];
    const said = field.description ?? "";
    return make("li", {},
      make("div", { class: "field" },
        make("code", { class: "fieldname" }, name),
        told && required.has(name) ? make("span", { class: "required" }, "required") : null,
        facts(field)),
      said ? prose(said) : null,
      objects(field).map(([title, inner]) => folded(`Fields of ${title}`, () => rows(inner, told), { class: "nested" })));
  }));
}

/** Show a schema whole; what it holds in turn is folded. `told`: whether it says what is required. */
export function view(schema, told = true) {
  const found = objects(schema);
  const own = resolve(schema);
  const head = make("div", { class: "field" }, facts(schema));
  const said = own.description ? prose(own.description) : null;
  if (found.length === 1) return make("div", { class: "schema" }, head, said, rows(found[0][1], told));
  return make("div", { class: "schema" }, head, said,
    found.map(([title, inner]) => folded(title, () => rows(inner, told), { class: "nested" })));
}

const FORMATS = {
  "date-time": "2026-01-31T12:00:00Z",
  date: "2026-01-31",
  time: "12:00:00",
  uuid: "3fa85f64-5717-4562-b3fc-2c963f66afa6",
  duration: "PT1H",
  byte: "",
};

/** Return a value that fits a schema: its example, its default, or one made up. */
export function sample(schema, depth = 0) {
  const own = resolve(schema);
  if (own.examples?.length) return own.examples[0];
  if (own.example !== undefined) return own.example;
  if (own.default !== undefined) return own.default;
  if ("const" in own) return own.const;
  if (own.enum) return own.enum[0];
  if (depth > 6) return null;
  if (arms(own).length) {
    return sample(arms(own).find((arm) => !isNull(arm)) ?? arms(own)[0], depth + 1);
  }
  const type = Array.isArray(own.type) ? own.type.find((one) => one !== "null") : own.type;
  if (own.properties) {
    const required = new Set(own.required ?? []);
    const chosen = Object.entries(own.properties)
      .filter(([name]) => required.has(name) || depth < 2);
    return Object.fromEntries(chosen.map(([name, field]) => [name, sample(field, depth + 1)]));
  }
  if (type === "array") return own.maxItems === 0 ? [] : [sample(own.items ?? {}, depth + 1)];
  if (type === "integer" || type === "number") return number(own, type === "integer");
  if (type === "boolean") return false;
  if (type === "string") return text(own);
  return type === "null" ? null : {};
}

function number(schema, whole) {
  const step = schema.multipleOf ?? (whole ? 1 : 0.5);
  let value = schema.minimum ?? (schema.exclusiveMinimum !== undefined ? schema.exclusiveMinimum + step : 1);
  if (schema.maximum !== undefined) value = Math.min(value, schema.maximum);
  if (schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum) {
    value = schema.exclusiveMaximum - step;
  }
  return value;
}

function text(schema) {
  if (schema.format in FORMATS) return FORMATS[schema.format];
  const fits = (word) => {
    if (!schema.pattern) return true;
    try { return new RegExp(schema.pattern, "u").test(word); } catch { return true; }
  };
  const word = ["text", "a", "A", "1", "a@example.com"].find(fits) ?? "text";
  return word.padEnd(schema.minLength ?? 0, word[0]).slice(0, schema.maxLength ?? undefined);
}
