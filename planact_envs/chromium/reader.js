// Writes the live document as the HTML that would have been served had the page always looked like this: what fields
// hold stands in their attributes, what cannot be seen is `hidden`, shadow trees and frames of the same origin stand in
// place, and what reacts to clicks has an `onclick`. `planact_envs.page.read_html` reads it like any served page.
// Runs in a world of its own, where the page's scripts reach nothing.
globalThis.planact = (() => {
  const KEPT = ["id", "for", "href", "type", "role", "title", "placeholder", "aria-label", "aria-hidden", "contenteditable", "name"];
  const LEFT_OUT = new Set(["script", "style", "template", "noscript", "head", "meta", "link", "base"]);
  const VOID = new Set(["area", "br", "col", "embed", "hr", "img", "input", "source", "track", "wbr"]);
  const RAW = new Set(["iframe", "frame", "frameset", "xmp", "noembed", "noframes", "plaintext", "object", "html", "body"]); // not parsed as elements
  const CONTROL = "a[href], button, input, select, textarea";
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const quoted = (text) => escaped(text).replace(/"/g, "&quot;");
  let elements = [];
  let listening = new Set();

  document.addEventListener("planact-listening", (event) => listening.add(event.composedPath()[0]), true);

  function clickable(element, style) {
    if (element.hasAttribute("onclick") || listening.has(element)) return true;
    const parent = element.parentElement;
    return style.cursor === "pointer" && parent !== null && getComputedStyle(parent).cursor !== "pointer";
  }

  function attributes(element, tag, style) {
    let out = "";
    for (const name of KEPT) {
      const value = element.getAttribute(name);
      if (value !== null) out += ` ${name}="${quoted(value)}"`;
    }
    if (style.display === "none" || element.hasAttribute("hidden")) out += " hidden";
    const control = element.matches(CONTROL);
    if (control && element.matches(":disabled")) out += " disabled";
    if (tag === "input") {
      out += ` value="${quoted(element.value)}"`;
      if (element.checked) out += " checked";
    } else if (tag === "option" && element.selected) out += " selected";
    const clicks = !control && clickable(element, style);
    if (clicks) out += ' onclick=""';
    if (control || clicks || element.isContentEditable) out += ` planact="${elements.push(element) - 1}"`;
    return out;
  }

  function children(element) {
    if (element.shadowRoot) return element.shadowRoot.childNodes;
    if (element.localName === "slot") {
      const assigned = element.assignedNodes({ flatten: true });
      if (assigned.length) return assigned;
    }
    return element.childNodes;
  }

  function written(node, seen) {
    if (node.nodeType === Node.TEXT_NODE) return seen ? escaped(node.data) : "";
    if (node.nodeType === Node.COMMENT_NODE) return "<!---->";
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    let tag = node.localName;
    if (LEFT_OUT.has(tag)) return "<!---->";
    const style = getComputedStyle(node);
    const visible = style.visibility === "visible" || tag === "option" || tag === "optgroup";
    if (RAW.has(tag) || !/^[a-z][a-z0-9-]*$/.test(tag)) tag = "div";
    const open = `<${tag}${attributes(node, tag, style)}${visible ? "" : node.matches(CONTROL) ? " hidden" : ""}>`;
    if (VOID.has(tag)) return open;
    if (tag === "textarea") return `${open}\n${escaped(node.value)}</textarea>`;
    let inner = "";
    const frame = node.localName === "iframe" || node.localName === "frame" ? node.contentDocument : null;
    if (frame && frame.body) inner = written(frame.body, visible);
    else for (const child of children(node)) inner += written(child, visible);
    return `${open}${inner}</${tag}>`;
  }

  function snapshot() {
    elements = [];
    listening = new Set();
    document.dispatchEvent(new CustomEvent("planact-who-listens"));
    const body = document.body ? written(document.body, true) : "";
    return `<html><head><title>${escaped(document.title)}</title></head><body>${body}</body></html>`;
  }

  // Where the middle of element `n` is after it has been scrolled into view, or why it cannot be reached.
  function locate(n) {
    const element = elements[n];
    if (!element || !element.isConnected) return { fault: "stale" };
    element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const box = [...element.getClientRects()].find((rect) => rect.width > 0 && rect.height > 0);
    if (!box || !element.checkVisibility({ visibilityProperty: true })) return { fault: "hidden" };
    if (element.matches(":disabled")) return { fault: "disabled" };
    let [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const hit = element.getRootNode().elementFromPoint(x, y);
    for (let view = element.ownerDocument.defaultView; view !== window; view = view.parent) {
      const frame = view.frameElement.getBoundingClientRect();
      [x, y] = [x + frame.x + view.frameElement.clientLeft, y + frame.y + view.frameElement.clientTop];
    }
    const reached = hit && (element.contains(hit) || hit.contains(element) || (element.labels && [...element.labels].some((l) => l.contains(hit))));
    if (!reached) return { fault: "covered", by: hit ? hit.localName : "" };
    return { x, y };
  }

  // The caret at the end, or everything selected.
  function focus(n, all) {
    const element = elements[n];
    element.focus();
    if (element.isContentEditable) {
      const range = document.createRange();
      range.selectNodeContents(element);
      if (!all) range.collapse(false);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
    } else if (all && element.select) element.select();
    return true;
  }

  // Date, colour and range fields take no typed text: their value is set as a picker would.
  function set(n, text) {
    const element = elements[n];
    element.focus();
    element.value = text;
    changed(element);
    return element.value === text;
  }

  function select(n, index) {
    const element = elements[n];
    element.focus();
    element.selectedIndex = index;
    changed(element);
    return true;
  }

  function changed(element) {
    element.dispatchEvent(new Event("input", { bubbles: true, composed: true }));
    element.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function scroll(direction) {
    let element = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
    while (element && !(element.scrollHeight > element.clientHeight && /auto|scroll/.test(getComputedStyle(element).overflowY)))
      element = element.parentElement;
    (element || document.scrollingElement || document.body).scrollBy({ top: direction * innerHeight * 0.8, behavior: "instant" });
    return true;
  }

  const kind = (n) => (elements[n].localName === "input" ? elements[n].type : elements[n].localName);
  return { snapshot, locate, focus, set, select, scroll, kind };
})();
