// A page that follows the protocol with socket.io-client as npm has it, and
// uses nothing of ours.
"use strict";

const socket = io({ transports: ["websocket"], auth });

Object.assign(page, {
  connected: new Promise((resolve) => socket.once("session", resolve)),

  // guarded does what a page should: declare, wait for the ack, work, complete.
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
    const complete = await socket.emitWithAck("pyodide_loading_complete", {});
    return { id: ack.id, from, took: complete.duration_ms, value };
  },

  async loadPyodide() {
    const indexURL = await page.indexURL();
    const { loadPyodide } = await import(indexURL + "pyodide.mjs");
    return page.guarded(async () => {
      page.pyodide = await loadPyodide({ indexURL });
    });
  },

  save: (state) => socket.emitWithAck("state_save", { ...state, version: 0 }),
});

socket.onAny(page.note);
socket.on("connect", () => page.connects++);
socket.on("disconnect", (reason) => page.disconnects.push(reason));
