// Where the participant stands, kept in the session: a refresh goes on from
// here, on this server or on the next one.
import { scenes } from "./scenes.js";

export class Progress {
	constructor(session) {
		this.session = session;
		this.scene = session.state?.scene_id || "welcome";
		const kept = session.state?.globals ?? {};
		this.group = kept.group ?? "";
		this.members = kept.members ?? [];
		this.moves = kept.moves ?? ""; // of the game so far, see lockstep.js
		this.result = kept.result ?? null;
		this.last = Promise.resolve();
		this.reconcile();
	}

	// reconcile takes the server's word for the group: it may have been made, or
	// have ended, while no page was there to hear of it.
	reconcile() {
		const { partners, participant } = this.session;
		const group = partners.length ? this.session.group : ""; // alone in one is to wait for somebody
		this.groupEnded = !group && this.group !== "";
		if (!group || group === this.group) return;
		this.group = group;
		this.members = [participant, ...partners].sort();
		this.moves = "";
		this.result = null;
	}

	// save stores the position with these changes. Saves that come while one is
	// under way become one. It rejects if the server could not store it.
	save(changes) {
		Object.assign(this, changes);
		this.next ??= this.last.then(() => {
			this.next = null;
			const { scene, group, members, moves, result } = this;
			return this.session.saveState({
				scene_id: scene,
				stager_state: { scene: scenes.indexOf(scene) },
				globals: { group, members, moves, result },
			});
		});
		const save = this.next;
		this.last = save.catch((err) => console.warn("saving failed:", err));
		return save;
	}
}
