// Two trials that start Python, with the progress element; init fails as often as
// the page's address says. With alone=yes Python is there before they connect.
import { loadUnprotected } from "/initgrace/loader.js";
import InitgracePyodide from "/initgrace/jspsych-plugin.js";
import "/initgrace/progress-element.js";

const query = new URLSearchParams(location.search);
if (query.get("alone")) await loadUnprotected();

let failures = Number(query.get("failures"));
const init = () => {
  if (failures-- > 0) throw new Error("no environment");
};
const connect = { participant: query.get("PROLIFIC_PID") };
const jsPsych = initJsPsych({ on_finish: () => (document.body.dataset.done = "yes") });
globalThis.study = jsPsych;
jsPsych.run([
  { type: InitgracePyodide, connect, init, retry_label: "Nochmal" },
  { type: InitgracePyodide, connect },
]);
