// An existing page: it loads pyodide.js by a script element and calls
// loadPyodide. What the test varies is where the drop-in stands.
"use strict";

const script = (src, data) => {
  const element = Object.assign(document.createElement("script"), { src, async: false });
  Object.assign(element.dataset, data);
  const loaded = new Promise((resolve, reject) => Object.assign(element, { onload: resolve, onerror: reject }));
  document.head.append(element);
  return loaded;
};

window.addEventListener("initgrace:load", (e) => page.note("load", e.detail));
window.addEventListener("initgrace:unprotected", (e) => page.note("unprotected", e.detail));

page.loaded = (async () => {
  const indexURL = await page.indexURL();
  const scripts = [() => script("/initgrace/auto.js", query.get("url") ? { url: query.get("url"), waitMs: "1000" } : {}), () => script(indexURL + "pyodide.js")];
  if (query.get("order") === "after") scripts.reverse();
  for (const load of scripts) await load();
  return indexURL;
})();

// start is all that the page does.
page.loadPyodide = async () => {
  const indexURL = await page.loaded;
  page.pyodide = await loadPyodide({ indexURL });
  return page.pyodide.runPython("sum(range(101))");
};
