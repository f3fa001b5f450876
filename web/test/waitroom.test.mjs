import assert from "node:assert/strict";
import test from "node:test";

import { waitRoom } from "../demo/waitroom.js";

test("the wait room in words", () => {
	const alone = { present: 1, size: 2, position: 1 };
	assert.deepEqual(waitRoom(alone), { words: "1 of 2 players is here", detail: "" });
	assert.equal(
		waitRoom({ ...alone, expected_ms: 40_000, timeout_ms: 130_000 }, 10_000).detail,
		"Going by the latest arrivals, the next player comes in about 30 s. You wait for at most another 2:00 min.",
	);
	assert.equal(waitRoom({ ...alone, expected_ms: 5000 }, 6000).detail, "", "what was expected has passed");
	assert.equal(waitRoom({ ...alone, timeout_ms: 5000 }, 6000).detail, "You wait for at most another 0 s.");
	assert.equal(waitRoom({ present: 5, size: 2, position: 5 }).detail, "You are number 5 in the queue.");
});
