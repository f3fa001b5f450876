// What the wait room says, in words.
import { duration } from "./partner.js";

// waitRoom describes what the server told some milliseconds ago.
export function waitRoom({ present, size, position, expected_ms, timeout_ms }, ago = 0) {
	const details = [];
	if (position > size) details.push(`You are number ${position} in the queue.`);
	const expected = expected_ms - ago;
	if (expected >= 1000 && present < size) details.push(`Going by the latest arrivals, the next player comes in about ${duration(expected / 1000)}.`);
	if (timeout_ms) details.push(`You wait for at most another ${duration((timeout_ms - ago) / 1000)}.`);
	return {
		words: `${present} of ${size} players ${present === 1 ? "is" : "are"} here`,
		detail: details.join(" "),
	};
}
