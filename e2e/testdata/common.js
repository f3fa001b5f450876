// What the pages have in common. A page adds: connected, a promise of its first
// session event; guarded(work, options), which does a piece of work under a
// lease; and loadPyodide(). Times are Date.now(), the clock that the server in
// the same machine uses too.
"use strict";

const query = new URLSearchParams(location.search);
const auth = Object.fromEntries(query);

const page = {
  seen: [], // every event, in order
  connects: 0,
  disconnects: [], // reasons
  waiting: new Set(),

  note(name, data) {
    page.seen.push({ name, data, at: Date.now() });
    for (const look of page.waiting) look();
  },

  // until waits for a condition that an event brings about.
  until(condition) {
    return new Promise((resolve) => {
      const look = () => condition() && (page.waiting.delete(look), resolve());
      page.waiting.add(look);
      look();
    });
  },

  // partner is what was told about another participant.
  partner(name) {
    return page.seen.filter((e) => e.name === "partner_state" && e.data.participant === name).map((e) => e.data);
  },

  // block keeps the main thread from doing anything else.
  block(ms) {
    const end = performance.now() + ms;
    while (performance.now() < end);
  },

  // python blocks as block does, in Python.
  python(seconds) {
    page.pyodide.runPython(`import time\nend = time.monotonic() + ${seconds}\nwhile time.monotonic() < end: pass`);
  },

  // meter measures the longest stretch in which no timer came through: the
  // longest block. What it returns ends it.
  meter() {
    let last = performance.now(), longest = 0;
    const look = () => {
      const now = performance.now();
      longest = Math.max(longest, now - last - 20);
      last = now;
    };
    const timer = setInterval(look, 20);
    return () => {
      look();
      clearInterval(timer);
      return longest;
    };
  },

  // run starts a task and keeps its outcome for the test to await.
  run(task) {
    page.outcome = task();
    page.outcome.catch(() => {}); // the test sees it
  },

  // indexURL is where this server has Pyodide.
  async indexURL() {
    return (await (await fetch("/initgrace/config.json")).json()).pyodide.index_url;
  },
};
