// A page that uses the loader, as studies do.
import { connect } from "/initgrace/loader.js";

const on = {};
for (const name of ["session", "partner_state", "presence", "load", "expired", "replaced", "close"]) {
  on[name] = (data) => page.note(name, data);
}
on.session = (data) => (page.connects++, page.note("session", data));
on.reconnecting = (why) => page.disconnects.push(why.message);

page.connected = (async () => {
  page.session = await connect({ ...auth, on });
  await page.until(() => page.seen.some((e) => e.name === "session"));
  return page.seen.find((e) => e.name === "session").data;
})();

Object.assign(page, {
  async guarded(work, { phase = "work", expected_ms } = {}) {
    await page.connected;
    let from;
    const value = await page.session.blocking(phase, () => ((from = Date.now()), work()), { expectedMs: expected_ms });
    const load = page.session.lastLoad;
    return { id: load.id, from, took: load.tookMs, value, load };
  },

  async loadPyodide(options = {}) {
    const indexURL = await page.indexURL();
    await page.connected;
    page.pyodide = await page.session.loadPyodide({ indexURL, ...options });
    return page.session.lastLoad;
  },

  save: async (state) => ({ ok: true, version: await page.session.saveState(state) }),
});
