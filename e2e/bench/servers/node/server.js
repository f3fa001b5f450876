// Socket.IO on Node, with the same events and the same grace as the other
// servers of the comparison: a disconnect holds the seat for 30 s, or until the
// lease of a load ends.
import { createServer } from "node:http";
import { Server } from "socket.io";

const LEASE = 60_000, HOLD = 30_000;
const http = createServer();
const io = new Server(http, {
	transports: ["websocket"], serveClient: false, pingInterval: 2000, pingTimeout: 7500, perMessageDeflate: false,
});
const seats = new Map();
const groups = new Map();

function tell(seat, state) {
	seat.seq++;
	for (const partner of seat.partners) {
		if (partner !== seat) {
			partner.socket?.emit("partner_state", { participant: seat.participant, state, seq: seat.seq });
		}
	}
}

io.on("connection", (socket) => {
	const { participant, group, token } = socket.handshake.auth;
	let seat = seats.get(participant);
	const restored = seat !== undefined;
	if (!restored) {
		if (!groups.has(group)) groups.set(group, []);
		const partners = groups.get(group);
		seat = { participant, token: socket.id, partners, epoch: 0, version: 0, seq: 0, scene: "", loading: 0 };
		partners.push(seat);
		seats.set(participant, seat);
	} else if (seat.token !== token) {
		socket.disconnect(true);
		return;
	}
	clearTimeout(seat.gone);
	seat.socket = socket;
	seat.epoch++;
	socket.emit("session", {
		participant, token: seat.token, epoch: seat.epoch, restored, scene_id: seat.scene, version: seat.version, group,
	});
	tell(seat, "active");

	socket.on("pyodide_loading_start", (_, ack) => {
		seat.loading = Date.now() + LEASE;
		tell(seat, "loading");
		ack?.({ ok: true, lease_ms: LEASE, cap_ms: 180_000 });
	});
	socket.on("pyodide_loading_complete", (_, ack) => {
		seat.loading = 0;
		tell(seat, "active");
		ack?.({ ok: true, duration_ms: 0 });
	});
	socket.on("send", ({ data }, ack) => {
		for (const partner of seat.partners) {
			if (partner !== seat) partner.socket?.emit("message", { from: participant, data });
		}
		ack?.({ ok: true });
	});
	socket.on("state_save", ({ scene_id }, ack) => {
		seat.scene = scene_id;
		ack?.({ ok: true, version: ++seat.version });
	});
	socket.on("ping", () => socket.emit("pong", {}));
	socket.on("disconnect", () => {
		if (seat.socket !== socket) return;
		seat.socket = undefined;
		tell(seat, "away");
		seat.gone = setTimeout(() => {
			seat.loading = 0;
			tell(seat, "gone");
		}, Math.max(HOLD, seat.loading - Date.now()));
	});
});

http.listen(0, "127.0.0.1", 4096, () => console.log(`serves http://127.0.0.1:${http.address().port}/`));
