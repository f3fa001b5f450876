// A jsPsych study with Python in it: a trial that starts Python under grace, and
// one whose stimulus Python computes.
import InitgracePyodide from "/initgrace/jspsych-plugin.js";

const jsPsych = initJsPsych({
	on_finish: () => {
		document.body.dataset.done = "yes";
		document.body.textContent = "Thank you.";
	},
});
globalThis.study = jsPsych; // for whoever looks in from outside

// A question with buttons, as a plugin of jsPsych's own would ask it.
class Question {
	static info = {
		name: "question",
		version: "1.0.0",
		parameters: { text: { type: 4, default: () => "" }, choices: { type: 1, array: true, default: [] } },
		data: { response: { type: 1 } },
	};

	constructor(jsPsych) {
		this.jsPsych = jsPsych;
	}

	trial(display, trial) {
		display.innerHTML = "<p></p>";
		display.firstChild.textContent = trial.text();
		for (const choice of trial.choices) {
			const button = Object.assign(document.createElement("button"), { className: "jspsych-btn", textContent: choice });
			button.addEventListener("click", () => {
				display.innerHTML = "";
				this.jsPsych.finishTrial({ response: choice });
			});
			display.append(button);
		}
	}
}

jsPsych.run([
	{
		type: InitgracePyodide,
		connect: {
			participant: jsPsych.data.getURLVariable("PROLIFIC_PID"),
			host: jsPsych.data.getURLVariable("host"),
		},
		init: (python) => python.runPython("def sum_to(n): return n * (n + 1) // 2"),
	},
	{
		type: Question,
		text: () => `Python says that the numbers up to 100 add up to ${jsPsych.initgrace.python.runPython("sum_to(100)")}.`,
		choices: ["right", "wrong"],
	},
]);
