// A clock that keeps running while the page is frozen: its digits are columns
// that CSS moves in steps, which the browser's compositor does without the
// page's main thread. It shows minutes and seconds up to 9:59.
const columns = [
	["minutes", "0123456789"],
	["colon", ":"],
	["tens", "012345"],
	["ones", "0123456789"],
];

// startClock shows the time since a moment some milliseconds ago.
export function startClock(element, ms = 0) {
	element.replaceChildren(
		...columns.map(([name, digits]) => {
			const window = document.createElement("span");
			const column = document.createElement("span");
			column.className = name;
			column.style.animationDelay = `${-ms}ms`;
			column.append(...[...digits].map((digit) => Object.assign(document.createElement("b"), { textContent: digit })));
			window.append(column);
			return window;
		}),
	);
}

// startBar fills a bar in about the expected time, the same way: fast first,
// then ever slower, so that it does not promise an end. Without an expectation
// it wanders to and fro.
export function startBar(element, elapsedMs = 0, expectedMs = 0) {
	const bar = document.createElement("i");
	bar.className = expectedMs > 0 ? "filling" : "wandering";
	if (expectedMs > 0) bar.style.animationDuration = `${1.5 * expectedMs}ms`;
	bar.style.animationDelay = `${-elapsedMs}ms`;
	element.replaceChildren(bar);
}
