// A page that follows the protocol with socket.io-client as npm has it, and
// uses nothing of ours. Times are Date.now(), the clock that the server in the
// same machine uses too.
"use strict";

const query = new URLSearchParams(location.search);
const auth = Object.fromEntries(query);
const socket = io({ transports: ["websocket"], auth });

const page = {
  seen: [], // every event, in order
  connects: 0,
  disconnects: [], // reasons
  stamps: {},

  connected: new Promise((resolve) => socket.once("session", resolve)),

  // block keeps the main thread from doing anything else.
  block(ms) {
    const end = performance.now() + ms;
    while (performance.now() < end);
  },

  // guarded does what a page should: declare, wait for the ack, block, complete.
  async guarded(work, start = {}) {
    await page.connected;
    const ack = await socket.emitWithAck("pyodide_loading_start", start);
    const from = Date.now();
    let value;
    try {
      value = await work();
    } catch (e) {
      await socket.emitWithAck("pyodide_loading_complete", { error: true, reason: String(e) });
      throw e;
    }
    const to = Date.now();
    const complete = await socket.emitWithAck("pyodide_loading_complete", {});
    return { ack, complete, from, to, value };
  },

  async loadPyodide() {
    const config = await (await fetch("/initgrace/config.json")).json();
    const { loadPyodide } = await import(config.pyodide.index_url + "pyodide.mjs");
    page.pyodide = await loadPyodide({ indexURL: config.pyodide.index_url });
    return page.pyodide.version;
  },

  // longest measures the longest stretch in which no timer came through, until
  // stopped; the longest block, that is.
  meter() {
    let last = performance.now(), longest = 0;
    const timer = setInterval(look, 20);
    function look() {
      const now = performance.now();
      longest = Math.max(longest, now - last - 20);
      last = now;
    }
    return () => {
      look();
      clearInterval(timer);
      return longest;
    };
  },

  // until waits for a condition that an event brings about.
  until(condition) {
    return new Promise((resolve) => {
      const look = () => condition() && (socket.offAny(look), resolve());
      socket.onAny(look);
      look();
    });
  },

  // run starts a task and keeps its outcome for the test to await.
  run(task) {
    page.outcome = task();
    page.outcome.catch(() => {}); // the test sees it
  },

  // partner is what was told about another participant.
  partner(name) {
    return page.seen.filter((e) => e.name === "partner_state" && e.data.participant === name).map((e) => e.data);
  },
};

socket.onAny((name, data) => page.seen.push({ name, data, at: Date.now() }));
socket.on("connect", () => {
  page.connects++;
  document.getElementById("status").textContent = "connected";
});
socket.on("disconnect", (reason) => page.disconnects.push(reason));
