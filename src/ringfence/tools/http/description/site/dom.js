// Elements are made here and nowhere else; whatever a document says is inserted as text.

/** Make an element: `make("a", { href: "#x", class: "y" }, "text", child, …)`. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Split text at its `code`. */
export function phrases(text) {
  return text.split(/(`[^`]+`)/).map((part) =>
    part.length > 2 && part.startsWith("`") && part.endsWith("`")
      ? make("code", {}, part.slice(1, -1))
      : part,
  );
}

/** Show a docstring: paragraphs, lists with `- `, and indented lines as they stand. */
export function prose(text) {
  const blocks = String(text ?? "").split(/\n\s*\n/).filter((block) => block.trim());
  return make("div", { class: "prose" }, blocks.map((block) => {
    const lines = block.replace(/^\n+|\s+$/g, "").split("\n");
    if (lines.every((line) => /^\s{2,}/.test(line))) {
      const indent = Math.min(...lines.map((line) => line.search(/\S/)));
      return make("pre", {}, lines.map((line) => line.slice(indent)).join("\n"));
    }
    if (/^[-*] /.test(lines[0])) {
      const items = [];
      for (const line of lines) {
        if (/^[-*] /.test(line)) items.push(line.slice(2));
        else items[items.length - 1] += ` ${line.trim()}`;
      }
      return make("ul", {}, items.map((item) => make("li", {}, phrases(item))));
    }
    return make("p", {}, phrases(lines.join(" ")));
  }));
}

/** A part that is made when it is first opened. */
export function folded(label, fill, attributes = {}) {
  const box = make("details", attributes, make("summary", {}, label));
  let filled = false;
  const open = () => {
    if (!box.open || filled) return;
    filled = true;
    box.append(...[fill()].flat());
  };
  box.addEventListener("toggle", open);
  box.fill = () => { box.open = true; open(); };
  return box;
}

/** Colour JSON; anything else is shown as it is. */
export function pretty(text) {
  const box = make("pre", { class: "json", tabindex: "0" });
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  let at = 0;
  for (const match of text.matchAll(token)) {
    box.append(text.slice(at, match.index));
    const kind = match[2] ? "key" : match[1] ? "string" : match[3] ? "word" : "number";
    box.append(make("span", { class: kind }, match[1] ?? match[0]), match[2] ?? "");
    at = match.index + match[0].length;
  }
  box.append(text.slice(at));
  return box;
}

/** A button that copies text; nothing where the browser has no clipboard. */
export function copying(text) {
  if (!navigator.clipboard) return null;
  const button = make("button", { type: "button", class: "quiet" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1200);
  });
  return button;
}
