// Watches, inside a page, what an action sets in motion: requests, short timers and changes of the document.
// Runs in the page's own world before its scripts, because only there can they be seen.
(() => {
  const KEY = Symbol.for("planact.activity");
  if (window[KEY]) return;
  const LONGEST = 1500; // ms; a timer set for later is no answer to an action
  const DEEPEST = 3; // a timer set by a timer set by a timer: polling, not an answer
  const later = window.setTimeout.bind(window);
  const cancel = window.clearTimeout.bind(window);
  const now = performance.now.bind(performance);
  const timers = new Map(); // number -> when it is due
  const requests = new Set();
  let depth = 0;
  let changed = -Infinity; // when the document last changed
  let watcher = null;

  window.setTimeout = function setTimeout(handler, delay = 0, ...rest) {
    if (typeof handler !== "function" || !(delay <= LONGEST) || depth >= DEEPEST) return later(handler, delay, ...rest);
    const own = depth + 1;
    const number = later(function (...values) {
      timers.delete(number);
      depth = own;
      later(() => (depth = 0), 0); // after the promises that the handler settles
      return handler.apply(this, values);
    }, delay, ...rest);
    timers.set(number, now() + delay);
    return number;
  };
  window.clearTimeout = function clearTimeout(number) {
    timers.delete(number);
    return cancel(number);
  };
  // What is under way until the function that this returns is called. The page is left a turn to take the answer up,
  // and the quiet is counted from then on: what it does with the answer may be a promise further.
  const begin = () => {
    const request = Symbol();
    requests.add(request);
    return () => later(() => requests.delete(request) && (changed = now()), 0);
  };
  const until = (answer) => {
    const end = begin();
    answer.then(end, end);
    return answer;
  };
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...values) {
    this.addEventListener("loadend", begin(), { once: true });
    return send.apply(this, values);
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

  const listening = new Set();
  const add = EventTarget.prototype.addEventListener;
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

  const inert = () => !document.scripts.length && !window.length; // nothing that could change it later
  const loading = () => [...document.images].some((image) => !image.complete && image.loading !== "lazy");

  // Resolves with "" when nothing is under way and the document has not changed for `quiet` ms, or with what is still
  // under way after `limit` ms. A document that keeps changing by itself is waited for during `patience` ms only.
  window[KEY] = (quiet, patience, limit) =>
    new Promise((resolve) => {
      const start = now();
      if (!watcher) {
        watcher = new MutationObserver(() => (changed = now()));
        watcher.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
      }
      const look = () => {
        const at = now();
        if (at - start > limit) {
          const left = requests.size ? "a request" : timers.size ? "a timer" : "its own end";
          requests.clear(); // what has been given up is not waited for again
          timers.clear();
          return resolve(left);
        }
        if (document.readyState === "loading" || requests.size || loading()) return later(look, 5);
        if (timers.size) return later(look, Math.max(1, Math.min(50, Math.min(...timers.values()) - at)));
        if (at - changed < quiet && at - start < patience && !inert()) return later(look, quiet - (at - changed));
        return resolve("");
      };
      later(look, inert() ? 0 : quiet);
    });
})();
