// What the player wants to do next, from the keyboard and the arrow buttons. A
// key that is held counts every tick; a short press counts once, even if it
// fell between two ticks.
const keys = {
	ArrowUp: 1, KeyW: 1,
	ArrowRight: 2, KeyD: 2,
	ArrowDown: 3, KeyS: 3,
	ArrowLeft: 4, KeyA: 4,
};

export class Input {
	constructor(pad) {
		this.held = []; // the newest last
		this.pressed = 0; // since the last take
		addEventListener("keydown", (event) => {
			const action = keys[event.code];
			if (!action || event.ctrlKey || event.altKey || event.metaKey) return;
			event.preventDefault(); // no scrolling
			if (!event.repeat) this.press(action);
		});
		addEventListener("keyup", (event) => this.release(keys[event.code]));
		addEventListener("blur", () => (this.held = []));
		for (const button of pad.querySelectorAll("[data-action]")) {
			const action = Number(button.dataset.action);
			button.addEventListener("pointerdown", (event) => {
				event.preventDefault();
				button.setPointerCapture(event.pointerId);
				this.press(action);
			});
			for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
				button.addEventListener(end, () => this.release(action));
			}
			button.addEventListener("contextmenu", (event) => event.preventDefault());
		}
	}

	press(action) {
		this.release(action);
		this.held.push(action);
		this.pressed = action;
	}

	release(action) {
		this.held = this.held.filter((a) => a !== action);
	}

	// take returns the action for one tick; 0 is to stay.
	take() {
		const action = this.pressed || this.held.at(-1) || 0;
		this.pressed = 0;
		return action;
	}
}
