// The page: reads openapi.json and shows its operations by domain.

import { folded, make, phrases, pretty, prose } from "./dom.js";
import { facts, resolve, use, view } from "./schema.js";
import { session, tryit } from "./tryit.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const $ = (id) => document.getElementById(id);
const shown = []; // every operation: its words, its entry in the list, its card
const linkTo = (id) => `#${encodeURIComponent(id)}`;

async function start() {
  themed();
  const place = new URL("openapi.json", document.baseURI);
  try {
    const response = await fetch(place, { cache: "no-cache" });
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    show(await response.json());
  } catch (error) {
    $("state").textContent = `openapi.json could not be read: ${error.message}`;
    return;
  }
  searching();
  go();
  window.addEventListener("hashchange", go);
}

function show(api) {
  use(api);
  const { title = "API", version = "", description = "" } = api.info ?? {};
  document.title = `${title} · API`;
  $("title").textContent = title;
  $("version").textContent = version && version !== "0" ? version : "";
  const groups = grouped(api);
  const main = $("content");
  main.replaceChildren(
    make("div", { class: "intro" },
      make("h2", {}, title),
      description ? prose(description) : null,
      make("p", { class: "meta" }, `${shownCount(groups)} operations in ${groups.size} ${groups.size === 1 ? "domain" : "domains"}`),
      authorization()));
  for (const [name, operations] of groups) {
    const said = (api.tags ?? []).find((tag) => tag.name === name)?.description;
    const list = make("ul");
    const section = make("section", { "aria-label": name }, make("h2", {}, name), said ? prose(said) : null);
    const group = make("div", { class: "group" }, make("h3", {}, name), list);
    for (const one of operations) {
      const entry = make("li", {}, make("a", { href: linkTo(one.id), title: one.operation.summary }, badge(one.method), make("span", {}, one.path)));
      const card = cardOf(one);
      list.append(entry);
      section.append(card);
      shown.push({ ...one, entry, card, group, section, text: words(name, one) });
    }
    $("nav").append(group);
    main.append(section);
  }
  main.append(make("p", { id: "none", class: "waiting", hidden: true }, "Nothing matches."));
}

const shownCount = (groups) => [...groups.values()].reduce((sum, list) => sum + list.length, 0);

function grouped(api) {
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, []]));
  const add = (method, path, operation, common) => {
    const tag = operation.tags?.[0] ?? "other";
    const parameters = [...common, ...(operation.parameters ?? [])];
    if (!groups.has(tag)) groups.set(tag, []);
    const id = operation.operationId ?? `${method}.${path}`;
    groups.get(tag).push({ id, method, path, operation: { ...operation, parameters } });
  };
  for (const [path, item] of Object.entries(api.paths ?? {})) {
    for (const method of METHODS) if (item[method]) add(method, path, item[method], item.parameters ?? []);
  }
  for (const [path, operation] of Object.entries(api["x-websockets"] ?? {})) add("ws", path, operation, []);
  return new Map([...groups].filter(([, list]) => list.length));
}

const words = (tag, { id, method, path, operation }) =>
  [tag, id, method, path, operation.summary, operation.description].join(" ").toLowerCase();

const badge = (method) => make("span", { class: `method ${method}` }, method.toUpperCase());

function pathOf(path) {
  return make("code", { class: "path" }, path.split(/(\{[^}]*\})/).map((part) => (part.startsWith("{") ? make("var", {}, part) : part)));
}

function cardOf({ id, method, path, operation }) {
  const label = [
    badge(method),
    pathOf(path),
    make("span", { class: "summary" }, phrases(operation.summary ?? "")),
    operation.deprecated ? make("span", { class: "deprecated" }, "deprecated") : null,
  ].filter(Boolean);
  const card = folded("", () => detail(id, method, path, operation), { class: `card ${method}`, id });
  card.firstChild.append(...label);
  card.firstChild.addEventListener("click", () => {
    if (!card.open) history.replaceState(null, "", linkTo(id));
  });
  return card;
}

function detail(id, method, path, operation) {
  const told = make("div", { class: "told" },
    make("p", { class: "meta" }, make("code", {}, id)),
    operation.description ? prose(operation.description) : null,
    parameters(operation.parameters),
    operation.requestBody ? body(resolve(operation.requestBody)) : null,
    answers(operation.responses ?? {}));
  const form = method === "ws"
    ? make("p", { class: "waiting" }, "A WebSocket: open it with a client that speaks the protocol.")
    : tryit(method, path, operation);
  return make("div", { class: "detail" }, told, make("div", { class: "side" }, make("h3", {}, "Try it"), form));
}

function parameters(list) {
  if (!list.length) return null;
  return make("section", {}, make("h3", {}, "Parameters"),
    make("ul", { class: "fields" }, list.map((given) => {
      const parameter = resolve(given);
      return make("li", {},
        make("div", { class: "field" },
          make("code", { class: "fieldname" }, parameter.name),
          make("span", { class: "place" }, parameter.in),
          parameter.required ? make("span", { class: "required" }, "required") : null,
          facts(parameter.schema ?? {})),
        parameter.description ? prose(parameter.description) : null);
    })));
}

function body(request) {
  return make("section", {}, make("h3", {}, "Body", request.required ? make("span", { class: "required" }, "required") : null),
    request.description ? prose(request.description) : null,
    media(request.content));
}

function media(content, told = true) {
  const entries = Object.entries(content ?? {});
  return entries.map(([type, { schema, examples, example, "x-itemSchema": item }], n) => {
    const values = example !== undefined ? [example] : Object.values(examples ?? {}).map((one) => resolve(one).value);
    const same = n > 0 && JSON.stringify(schema) === JSON.stringify(entries[n - 1][1].schema);
    return make("div", { class: "media" },
      make("p", { class: "meta" }, make("code", {}, type === "*/*" ? "any content type" : type)),
      item ? [make("p", { class: "meta" }, "The data of each event:"), view(item, told)] : !same && schema ? view(schema, told) : null,
      same ? null : values.map((value, k) => folded(values.length > 1 ? `Example ${k + 1}` : "Example", () => pretty(JSON.stringify(value, null, 2)), { class: "nested" })));
  });
}

function answers(responses) {
  const all = Object.entries(responses);
  const own = all.filter(([, response]) => !response.$ref);
  const common = all.filter(([, response]) => response.$ref);
  return make("section", {}, make("h3", {}, "Answers"),
    own.map(([status, response]) => answer(status, response, status[0] === "2" || status[0] === "1")),
    common.length ? folded("What Ringfence itself may answer", () => common.map(([status, response]) => answer(status, resolve(response), false)), { class: "nested" }) : null);
}

function answer(status, response, open) {
  const codes = Object.entries(response["x-codes"] ?? {});
  const said = codes.length ? String(response.description).split("\n")[0] : response.description;
  return make("div", { class: "response" },
    make("div", { class: "field" }, make("strong", { class: `status s${status[0]}` }, status === "default" ? "any other" : status), make("span", {}, phrases(said ?? ""))),
    codes.length ? make("dl", { class: "codes" }, codes.map(([code, text]) => [make("dt", {}, make("code", {}, code)), make("dd", {}, phrases(text))]).flat()) : null,
    open && response.content ? media(response.content, false) : null);
}

function authorization() {
  const input = make("input", { id: "authorization", type: "password", autocomplete: "off", placeholder: "Bearer …" });
  input.addEventListener("input", () => { session.authorization = input.value.trim(); });
  return folded("Authorization", () => make("label", {}, make("span", { class: "meta" }, "Sent as the header Authorization with every request; forgotten with this page."), input), { class: "nested" });
}

function searching() {
  const input = $("search");
  const filter = () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const visible = new Set();
    for (const one of shown) {
      const hit = wanted.every((word) => one.text.includes(word));
      one.entry.hidden = one.card.hidden = !hit;
      if (hit) visible.add(one.group).add(one.section);
    }
    for (const { group, section } of shown) {
      group.hidden = !visible.has(group);
      section.hidden = !visible.has(section);
    }
    $("none").hidden = visible.size > 0;
  };
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { input.value = ""; filter(); input.blur(); }
    const first = shown.find((one) => !one.entry.hidden);
    if (event.key === "Enter" && first) { location.hash = linkTo(first.id); go(); }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
    }
  });
  $("menu").addEventListener("click", () => menu($("menu").getAttribute("aria-expanded") !== "true"));
}

function menu(open) {
  $("menu").setAttribute("aria-expanded", String(open));
  $("side").classList.toggle("open", open);
}

/** Open what the address points at. */
function go() {
  const id = decodeURIComponent(location.hash.slice(1));
  const found = shown.find((one) => one.id === id);
  for (const one of shown) one.entry.classList.toggle("here", one === found);
  if (!found) return;
  menu(false);
  found.card.fill();
  found.card.scrollIntoView({ block: "start" });
  found.card.firstChild.focus({ preventScroll: true });
}

function themed() {
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const put = (theme) => {
    document.documentElement.style.colorScheme = theme ?? "";
  };
  put(kept());
  $("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = kept() ?? (dark ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", next); } catch { /* it then lasts as long as the page */ }
    put(next);
  });
}

start();
