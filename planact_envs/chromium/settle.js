// Watches, inside a page, what an action sets in motion: requests, short timers and changes of the document.
// Runs in the page's own world before its scripts, because only there can they be seen.
(() => {
  const KEY = Symbol.for("planact.activity");
  if (window[KEY]) return;
  const LONGEST = 1500; // ms; a timer set for later is no answer to an action
  const DEEPEST = 3; // a timer set by a timer set by a timer: polling, not an answer
  const HANDLER = "boolean(//@*[starts-with(name(), 'on')])"; // an attribute such as onclick
  const later = window.setTimeout.bind(window);
  const now = performance.now.bind(performance);
  const add = EventTarget.prototype.addEventListener;
  const timers = new Map(); // number -> when it is due
  const requests = new Set();
  let depth = 0;
  let active = false; // the page has asked for something, or set a timer
  let changed = -Infinity; // when the document last changed
  let watcher = null;

  window.setTimeout = function setTimeout(handler, delay = 0, ...rest) {
    active = true;
    if (typeof handler !== "function" || !(delay <= LONGEST)) return later(handler, delay, ...rest);
    const own = depth + 1;
    const number = later(function (...values) {
      timers.delete(number);
      depth = own;
      later(() => (depth = 0), 0); // after the promises that the handler settles
      return handler.apply(this, values);
    }, delay, ...rest);
    if (own <= DEEPEST) timers.set(number, now() + delay);
    return number;
  };
  for (const name of ["clearTimeout", "clearInterval"]) { // either ends what the other one may
    const cancel = window[name];
    window[name] = function (number) {
      timers.delete(number);
      return cancel.call(window, number);
    };
  }
  // What is under way until the function that this returns is called. The page is left a turn to take the answer up,
  // and the quiet is counted from then on: what it does with the answer may be a promise further.
  const finished = (all, one) => later(() => all.delete(one) && (changed = now()), 0);
  const begin = () => {
    const request = Symbol();
    active = true;
    requests.add(request);
    return () => finished(requests, request);
  };
  const after = Promise.prototype.finally;
  const until = (answer) => after.call(answer, begin()); // what follows from it, so that nobody has handled its failure
  const pending = new WeakMap(); // XMLHttpRequest -> what ends it
  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (...values) {
    open.apply(this, values);
    pending.get(this)?.(); // the request before is dropped without an event
  };
  XMLHttpRequest.prototype.send = function (...values) {
    const end = begin();
    this.addEventListener("loadend", end, { once: true });
    try {
      send.apply(this, values);
      pending.set(this, end);
    } catch (error) {
      end();
      throw error;
    }
  };
  const fetch = window.fetch;
  window.fetch = function (...values) {
    return until(fetch.apply(this, values)); // its headers; the body may come much later
  };
  for (const name of ["arrayBuffer", "blob", "bytes", "formData", "json", "text"]) {
    const read = Response.prototype[name];
    if (read) Response.prototype[name] = function () {
      return until(read.call(this));
    };
  }
  // A body that is read piece by piece: the stream, what it is piped through, and its reader.
  let streams = new WeakSet();
  const body = Object.getOwnPropertyDescriptor(Response.prototype, "body");
  Object.defineProperty(Response.prototype, "body", {
    ...body,
    get() {
      const stream = body.get.call(this);
      if (stream) streams.add(stream);
      return stream;
    },
  });
  for (const name of ["getReader", "pipeThrough"]) {
    const make = ReadableStream.prototype[name];
    ReadableStream.prototype[name] = function (...values) {
      const made = make.apply(this, values);
      if (streams.has(this)) streams.add(made);
      return made;
    };
  }
  const piece = ReadableStreamDefaultReader.prototype.read;
  ReadableStreamDefaultReader.prototype.read = function () {
    return streams.has(this) ? until(piece.call(this)) : piece.call(this);
  };
  // Scripts that the page inserts. What it loads with import() cannot be seen from here, and is not waited for.
  const scripts = new Set(); // made, and neither run nor failed
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function (...values) {
    const element = create.apply(this, values);
    if (element instanceof HTMLScriptElement) {
      scripts.add(element);
      for (const type of ["load", "error"]) add.call(element, type, () => finished(scripts, element), { once: true });
    }
    return element;
  };
  const runs = (script) => !script.noModule && /^$|(java|ecma)script|^module$/i.test(script.type);
  const fetched = (script) => script.isConnected && script.ownerDocument === document && script.src && runs(script);

  const listening = new Set();
  EventTarget.prototype.addEventListener = function (type, ...rest) {
    if (/^(click|mousedown|mouseup|pointerdown|pointerup)$/.test(type) && this instanceof Element && rest[0]) listening.add(new WeakRef(this));
    return add.call(this, type, ...rest);
  };
  add.call(document, "planact-who-listens", () => {
    for (const reference of listening) {
      const element = reference.deref();
      if (element) element.dispatchEvent(new CustomEvent("planact-listening", { bubbles: true, composed: true }));
      else listening.delete(reference);
    }
  });

  const evaluate = Document.prototype.evaluate;
  const handles = () => evaluate.call(document, HANDLER, document, null, XPathResult.BOOLEAN_TYPE, null).booleanValue;
  const inert = () => !active && !document.scripts.length && !window.length && !handles(); // nothing that could change it later
  const loading = () => [...document.images].some((image) => !image.complete && image.loading !== "lazy");

  const underWay = () => {
    if (requests.size || [...scripts].some(fetched)) return "a request";
    if (timers.size) return "a timer";
    return document.readyState === "loading" || loading() ? "its own end" : "";
  };

  // What has been given up is not waited for again, and a stream without an end not for its next piece.
  const forget = () => {
    for (const all of [requests, timers, scripts]) all.clear();
    streams = new WeakSet();
  };

  // Resolves with "" when nothing is under way and the document has not changed for `quiet` ms, or with what is still
  // under way after `limit` ms. A document that then keeps changing by itself is waited for during `patience` ms only.
  window[KEY] = (quiet, patience, limit) =>
    new Promise((resolve) => {
      const start = now();
      let since = start; // when something was last under way
      if (!watcher) {
        watcher = new MutationObserver(() => (changed = now()));
        watcher.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
      }
      const look = () => {
        const at = now();
        const left = underWay();
        if (left) since = at;
        const restless = at - changed < quiet && at - since < patience && !inert();
        if (at - start > limit || !(left || restless)) {
          if (left) forget();
          return resolve(left);
        }
        if (!left) return later(look, quiet - (at - changed));
        return later(look, left === "a timer" ? Math.max(1, Math.min(50, Math.min(...timers.values()) - at)) : 5);
      };
      later(look, inert() ? 0 : quiet);
    });
})();
