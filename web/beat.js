// A worker's sign of life. The page's main thread may be frozen; this thread is
// not, and a POST from here comes all the way from the participant's machine,
// where a WebSocket pong may be a proxy's. It is sent only while a load is open
// or the page is silent, and says for how long the page has been.
//
// The page is asked twice a second and answers with any message. What it says
// with it is kept: {url}, {participant, token}, {loading}.

const every = 1000; // ms between two beats, and the silence that begins them

const page = {};
let heard = performance.now();

onmessage = ({ data }) => {
	heard = performance.now();
	Object.assign(page, data);
};

const ask = () => postMessage("?");
ask(); // also says that this thread has started
setInterval(ask, every / 2);

setInterval(() => {
	const silent = performance.now() - heard;
	if (!page.token || !(page.loading || silent > every)) return;
	// Nobody waits for the answer: in some browsers it arrives only when the
	// page runs again. It is not read, so that any origin may ask ("no-cors").
	// But it is not waited for for ever: browsers have six connections to a
	// server, and a network that has gone silent would soon hold them all, also
	// when there is another one.
	fetch(page.url, {
		method: "POST", mode: "no-cors", credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(4 * every),
		body: JSON.stringify({
			participant: page.participant, token: page.token, page_silent_ms: Math.round(silent),
		}),
	}).catch(() => {});
}, every);
