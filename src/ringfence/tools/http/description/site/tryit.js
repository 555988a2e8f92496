// The form that sends an operation for real, and shows what came back.

import { copying, folded, make, pretty } from "./dom.js";
import { constraints, resolve, sample, typeName } from "./schema.js";

const SHOWN = 200_000; // characters of an answer that are shown; the rest can be saved
const FORBIDDEN = ["cookie", "host", "content-length"]; // a browser sets these itself

/** What is sent with every request, for as long as the page is open. */
export const session = { authorization: "", base: new URL(".", document.baseURI) };

/** Make the form of one operation. */
export function tryit(method, path, operation) {
  const fields = (operation.parameters ?? []).map((one) => parameterField(resolve(one)));
  const body = bodyField(operation.requestBody ? resolve(operation.requestBody) : null);
  const more = make("textarea", { rows: "2", spellcheck: "false", placeholder: "Name: value" });
  const send = make("button", { type: "submit", class: "send" }, "Send");
  const stop = make("button", { type: "button", class: "quiet", hidden: true }, "Stop");
  const curl = make("pre", { class: "curl", tabindex: "0" });
  const answer = make("div", { class: "answer", "aria-live": "polite" });
  const build = () => request(method, path, fields, body, more.value);
  const refresh = () => { curl.textContent = asCurl(build()); };
  const form = make("form", { class: "try", novalidate: true },
    fields.length ? make("div", { class: "inputs" }, fields.map((field) => field.element)) : null,
    body?.element,
    folded("More headers", () => make("label", {}, make("span", { class: "unseen" }, "Headers"), more), { class: "nested" }),
    make("div", { class: "bar" }, send, stop),
    make("div", { class: "shown" }, make("div", { class: "bar" }, make("h4", {}, "curl"), copying(() => curl.textContent)), curl),
    answer);
  form.addEventListener("input", refresh);
  form.addEventListener("change", refresh);
  form.addEventListener("focusin", refresh);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const missing = fields.find((field) => field.required && field.values().length === 0);
    for (const field of fields) field.mark(field === missing);
    if (missing) return missing.focus();
    const aborted = new AbortController();
    stop.onclick = () => aborted.abort();
    send.disabled = true;
    stop.hidden = false;
    try {
      await exchange(build(), answer, aborted.signal);
    } finally {
      send.disabled = false;
      stop.hidden = true;
    }
  });
  refresh();
  return form;
}

let count = 0;

function parameterField(parameter) {
  const schema = resolve(parameter.schema ?? {});
  const id = `field-${(count += 1)}`;
  const given = parameter.example ?? schema.examples?.[0];
  const input = control(schema, id, parameter.required, given ?? (parameter.required ? sample(schema) : undefined));
  const many = schema.type === "array";
  const unsendable = parameter.in === "cookie";
  if (unsendable) input.disabled = true;
  const element = make("div", { class: "input" },
    make("label", { for: id },
      make("code", {}, parameter.name),
      make("span", { class: "place" }, parameter.in),
      parameter.required ? make("span", { class: "required" }, "required") : null),
    input,
    unsendable ? make("small", {}, "A page cannot set cookies of a request; curl can.") : null);
  return {
    element,
    name: parameter.name,
    place: parameter.in,
    required: parameter.required && !unsendable,
    focus: () => input.focus(),
    mark: (wrong) => input.setAttribute("aria-invalid", String(wrong)),
    values: () => (many ? input.value.split("\n") : [input.value]).filter((text) => text !== ""),
  };
}

/** An input that suits a schema. */
function control(schema, id, required, value) {
  const inner = (schema.anyOf ?? []).map(resolve).filter((arm) => arm.type !== "null");
  const own = inner.length === 1 ? { ...schema, ...inner[0] } : schema;
  const options = own.enum ?? ("const" in own ? [own.const] : own.type === "boolean" ? [true, false] : null);
  if (options) {
    const select = make("select", { id },
      required ? null : make("option", { value: "" }, "—"),
      options.map((one) => make("option", {}, String(one))));
    if (value !== undefined) select.value = String(value);
    return select;
  }
  if (own.type === "array") {
    const lines = Array.isArray(value) ? value.join("\n") : "";
    return make("textarea", { id, rows: "2", spellcheck: "false", placeholder: "one a line", value: lines });
  }
  const hints = [own.default !== undefined && own.default !== null && own.default !== "" ? `default ${own.default}` : "", typeName(own), ...constraints(own)];
  return make("input", {
    id,
    type: "text",
    inputmode: own.type === "integer" ? "numeric" : undefined,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: hints.filter(Boolean).slice(0, 3).join(" · "),
    value: value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value),
  });
}

function bodyField(body) {
  if (!body) return null;
  const types = Object.keys(body.content ?? {});
  const box = make("div", { class: "body" });
  let current = null;
  const choose = (type) => {
    current = ofType(type, resolve(body.content[type].schema ?? {}), body.content[type].examples);
    box.replaceChildren(current.element);
  };
  const select = make("select", { "aria-label": "Content type" }, types.map((type) => make("option", {}, type)));
  select.addEventListener("change", () => choose(select.value));
  choose(types[0]);
  const element = make("div", { class: "input" },
    make("div", { class: "bar" }, make("span", { class: "label" }, "Body"), types.length > 1 ? select : make("small", {}, types[0])),
    box);
  return { element, content: () => current.content() };
}

function ofType(type, schema, examples) {
  if (type.includes("json")) return jsonBody(type, schema, examples);
  if (type === "multipart/form-data" || type === "application/x-www-form-urlencoded") return formBody(type, schema);
  return rawBody(type);
}

function jsonBody(type, schema, examples) {
  const written = Object.values(examples ?? {}).map((one) => resolve(one).value);
  const start = written.length ? written[0] : sample(schema);
  const area = make("textarea", { class: "code", rows: "4", spellcheck: "false", "aria-label": "JSON" });
  const wrong = make("small", { class: "wrong", role: "status" });
  const check = () => {
    try { if (area.value.trim()) JSON.parse(area.value); wrong.textContent = ""; }
    catch (error) { wrong.textContent = String(error.message); }
  };
  const put = (value) => {
    area.value = JSON.stringify(value, null, 2);
    area.rows = Math.min(18, Math.max(4, area.value.split("\n").length));
    check();
  };
  area.addEventListener("input", check);
  put(start);
  const chosen = written.length > 1
    ? make("div", { class: "bar" }, written.map((value, n) =>
      make("button", { type: "button", class: "quiet", onclick: () => { put(value); area.dispatchEvent(new Event("input", { bubbles: true })); } }, `Example ${n + 1}`)))
    : null;
  return {
    element: make("div", {}, chosen, area, wrong),
    content: () => (area.value.trim() ? { type, text: area.value, send: area.value } : null),
  };
}

function formBody(type, schema) {
  const required = new Set(schema.required ?? []);
  const inputs = Object.entries(schema.properties ?? {}).map(([name, given]) => {
    const field = resolve(given);
    const many = field.type === "array";
    const isFile = (many ? resolve(field.items ?? {}) : field).format === "binary";
    const id = `field-${(count += 1)}`;
    const input = isFile
      ? make("input", { id, type: "file", multiple: many })
      : control(field, id, required.has(name), required.has(name) ? sample(field) : undefined);
    const element = make("div", { class: "input" },
      make("label", { for: id }, make("code", {}, name), required.has(name) ? make("span", { class: "required" }, "required") : null),
      input);
    const values = () => (isFile ? [...input.files] : (many ? input.value.split("\n") : [input.value]).filter((text) => text !== ""));
    return { name, element, values };
  });
  const content = () => {
    const pairs = inputs.flatMap(({ name, values }) => values().map((value) => [name, value]));
    if (type !== "multipart/form-data") {
      return { type, pairs, send: new URLSearchParams(pairs.filter(([, value]) => !(value instanceof File))) };
    }
    const data = new FormData();
    for (const [name, value] of pairs) data.append(name, value);
    return { type, pairs, multipart: true, send: data };
  };
  return { element: make("div", { class: "inputs" }, inputs.map((input) => input.element)), content };
}

function rawBody(type) {
  const area = make("textarea", { class: "code", rows: "3", spellcheck: "false", "aria-label": "Text" });
  const file = make("input", { type: "file", "aria-label": "File" });
  const kind = make("input", { type: "text", "aria-label": "Content type", value: type === "*/*" ? "application/octet-stream" : type });
  return {
    element: make("div", {}, kind, area, make("div", { class: "bar" }, make("small", {}, "or a file"), file)),
    content: () => {
      const [picked] = file.files;
      if (picked) return { type: kind.value, file: picked.name, send: picked };
      return area.value ? { type: kind.value, text: area.value, send: area.value } : null;
    },
  };
}

/** Put a request together from what the form says. */
function request(method, path, fields, body, more) {
  const values = (place) => fields.filter((field) => field.place === place);
  let filled = path;
  for (const field of values("path")) {
    filled = filled.replace(`{${field.name}}`, () => encodeURIComponent(field.values()[0] ?? "") || `{${field.name}}`);
  }
  const url = new URL(session.base.pathname.replace(/\/$/, "") + filled, session.base);
  for (const field of values("query")) {
    for (const value of field.values()) url.searchParams.append(field.name, value);
  }
  const headers = values("header").flatMap((field) => field.values().map((value) => [field.name, value]));
  const cookies = values("cookie").flatMap((field) => field.values().map((value) => `${field.name}=${value}`));
  for (const line of more.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) headers.push([line.slice(0, at).trim(), line.slice(at + 1).trim()]);
  }
  if (session.authorization) headers.push(["Authorization", session.authorization]);
  const content = body?.content() ?? null;
  if (content && !content.multipart) headers.push(["Content-Type", content.type]);
  return { method: method.toUpperCase(), url, headers, cookies, content };
}

const quoted = (text) => `'${String(text).replace(/'/g, "'\\''")}'`;

function asCurl({ method, url, headers, cookies, content }) {
  const parts = [`curl -X ${method} ${quoted(url.href)}`];
  for (const [name, value] of headers) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (cookies.length) parts.push(`-b ${quoted(cookies.join("; "))}`);
  if (content?.multipart) {
    for (const [name, value] of content.pairs) {
      parts.push(value instanceof File ? `-F ${quoted(`${name}=@${value.name}`)}` : `--form-string ${quoted(`${name}=${value}`)}`);
    }
  } else if (content?.pairs) {
    for (const [name, value] of content.pairs) parts.push(`--data-urlencode ${quoted(`${name}=${value}`)}`);
  } else if (content?.file) parts.push(`--data-binary ${quoted(`@${content.file}`)}`);
  else if (content) parts.push(`--data-raw ${quoted(content.text)}`);
  return parts.join(" \\\n  ");
}

async function exchange({ method, url, headers, content }, answer, signal) {
  answer.replaceChildren(make("p", { class: "waiting" }, "Waiting…"));
  const started = performance.now();
  const time = () => `${Math.round(performance.now() - started)} ms`;
  try {
    const sent = headers.filter(([name]) => !FORBIDDEN.includes(name.toLowerCase()));
    const response = await fetch(url, { method, headers: sent, body: content?.send ?? undefined, signal, cache: "no-store" });
    const clock = make("span", { class: "time" }, time());
    const size = make("span", { class: "time" });
    const place = make("div");
    answer.replaceChildren(
      make("div", { class: "bar result" },
        make("strong", { class: `status s${String(response.status)[0]}` }, `${response.status} ${response.statusText}`.trim()),
        clock, size),
      folded("Headers", () => make("pre", { class: "headers", tabindex: "0" }, [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n")), { class: "nested" }),
      place);
    await receive(response, place, (bytes) => {
      clock.textContent = time();
      size.textContent = `${bytes.toLocaleString("en")} bytes`;
    });
  } catch (error) {
    if (error.name === "AbortError") answer.append(make("p", { class: "waiting" }, `Stopped after ${time()}.`));
    else answer.replaceChildren(make("p", { class: "wrong" }, `No answer: ${error.message}`));
  }
}

/** Show a body as it comes in, so that a stream is seen live. */
async function receive(response, place, told) {
  const type = response.headers.get("content-type") ?? "";
  const isText = /^text\/|json|xml|javascript|csv|urlencoded/.test(type);
  const live = make("pre", { class: "json", tabindex: "0" });
  const decoder = new TextDecoder();
  const pieces = [];
  let text = "";
  let bytes = 0;
  const reader = response.body?.getReader();
  if (isText) place.replaceChildren(live);
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.length;
    pieces.push(value);
    if (isText && text.length < SHOWN) {
      const piece = decoder.decode(value, { stream: true });
      text += piece;
      live.append(piece);
    }
    told(bytes);
  }
  told(bytes);
  const blob = new Blob(pieces, { type });
  if (!bytes) place.replaceChildren(make("p", { class: "waiting" }, "No body."));
  else if (isText && text.length < SHOWN) place.replaceChildren(type.includes("json") ? pretty(indented(text)) : live);
  else if (type.startsWith("image/")) place.replaceChildren(make("img", { src: URL.createObjectURL(blob), alt: "The answer" }));
  else place.append(make("a", { href: URL.createObjectURL(blob), download: "answer" }, "Save the whole answer"));
}

function indented(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
