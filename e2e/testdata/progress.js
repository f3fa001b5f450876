// The progress element, and beside it a number that a script moves.
import "/initgrace/progress-element.js";

const element = document.querySelector("initgrace-progress");
const script = document.querySelector("#script");
(function count() {
  script.textContent = Number(script.textContent) + 1;
  requestAnimationFrame(count);
})();

const frame = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
const area = (e) => {
  const { left, top, width, height } = e.getBoundingClientRect();
  return { left, top, width, height };
};

Object.assign(page, {
  element,

  // freeze shows a phase and blocks the page.
  async freeze(progress, ms) {
    element.session ??= page.session;
    element.show(progress);
    await frame();
    const part = (selector) => element.shadowRoot.querySelector(selector);
    const areas = { spinner: area(part(".spinner")), bar: area(part(".bar")), script: area(script) };
    const from = Date.now();
    page.block(ms);
    return { ...areas, from, to: Date.now(), text: element.shadowRoot.textContent.replace(/\s+/g, " ").trim() };
  },
});
