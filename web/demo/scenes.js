// Which scene is on the screen.
import { startClock } from "./clock.js";

export const scenes = ["welcome", "wait", "load", "play", "done"];

export const $ = (selector) => document.querySelector(selector);

// enter shows a scene and starts its clock.
export function enter(scene) {
	document.body.dataset.scene = scene;
	for (const section of document.querySelectorAll("[data-in]")) {
		section.hidden = section.dataset.in !== scene;
	}
	for (const step of document.querySelectorAll("[data-step]")) {
		const place = scenes.indexOf(step.dataset.step) - scenes.indexOf(scene);
		step.classList.toggle("past", place < 0);
		if (place === 0) step.setAttribute("aria-current", "step");
		else step.removeAttribute("aria-current");
	}
	$("#partner").hidden = !["load", "play"].includes(scene);
	const clock = $(`[data-in="${scene}"].card .clock`);
	if (clock) startClock(clock);
}

// pressed resolves when a button is pressed.
export function pressed(button) {
	return new Promise((resolve) => button.addEventListener("click", resolve, { once: true }));
}
